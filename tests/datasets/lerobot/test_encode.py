"""Encoding leaves the process as it was."""

from __future__ import annotations

import os

import numpy as np
import pytest

from stemob_wrappers.datasets.lerobot.encode import encode_video


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="Linux asks for it")
def test_the_encoder_does_not_keep_a_higher_priority() -> None:
    before = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
    encode_video([np.zeros((2, 64, 64, 3), np.uint8)], 20)
    assert (os.sched_getscheduler(0), os.sched_getparam(0).sched_priority) == before
