"""Trainings of a second: crops of 32 pixels."""

import pytest

from stemob_wrappers.training import batches


@pytest.fixture(scope="session")
def small_crops():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "SIZES", (32, 40))
        patch.setattr(batches, "CROP", 32)
        yield
