"""Ten thousand steps without growth of memory, file descriptors or processes."""

import gc
import multiprocessing
import os
import sys
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode

from stemob_wrappers import FrameCache
from stemob_wrappers.vector import StemObservation

if not sys.platform.startswith("linux"):
    pytest.skip("reads /proc", allow_module_level=True)

NUM_ENVS, WARM_UP, STEPS = 4, 250, 2_500  # ten thousand steps of sub-envs after the warm-up
FRAME = {"shape": [8, 8, 3]}


def test_ten_thousand_steps_grow_nothing():
    run(steps=10)  # what is opened once for all, such as multiprocessing's shared heap
    before = usage()
    warm, after = run(STEPS)
    assert after[1:] == warm[1:]
    # The frames seen are 2 MB, and more as arrays of their own beside their infos.
    assert after[0] - warm[0] < 2**20
    assert usage()[1:] == before[1:]


def run(steps):
    """Step worker processes; return the usage after the warm-up and at the end."""
    make = partial(gym.make, "fakes:fake/Frame-v0", layout=FRAME)
    fns = [partial(make, episode_length=length) for length in (7, 20, 50, 90)]
    # A cache that is full long before the end: it must forget as much as it takes in.
    cache = FrameCache(memory_bytes=100 * 8 * 8 * 3)
    venv = AsyncVectorEnv(fns, autoreset_mode=AutoresetMode.SAME_STEP)
    venv = StemObservation(venv, cache=cache, noise="episode")
    venv.reset(seed=0)
    actions = np.zeros(NUM_ENVS, int)
    for _ in range(WARM_UP):
        venv.step(actions)
    warm = usage()
    for _ in range(steps):
        venv.step(actions)
    after = usage()
    stats = venv.stats[""]
    assert stats.misses == stats.frames > NUM_ENVS * (WARM_UP + steps)
    assert len(cache) == 100
    venv.close()
    return warm, after


def usage():
    """Bytes of resident memory, open descriptors and child processes of this process."""
    gc.collect()
    with open("/proc/self/statm") as statm:
        resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resident, len(os.listdir("/proc/self/fd")), len(multiprocessing.active_children())
