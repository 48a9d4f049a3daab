"""robosuite in worker processes: every frame is the one that a single env gives."""

import importlib.util
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode

from stemob_wrappers import StemObservation as SingleStemObservation
from stemob_wrappers.vector import StemObservation

if importlib.util.find_spec("robosuite") is None:
    pytest.skip("needs robosuite", allow_module_level=True)

# A worker's observations are its own only if every camera, frame by frame, is what one env gives:
# garbled images from asynchronous workers have been reported for robosuite's own wrapper.
CAMERAS = ("agentview", "robot0_eye_in_hand")
STEPS = 4
SEED = 5
LIFT = partial(
    gym.make, "stemob_wrappers:stemob/Lift-v0", cameras=CAMERAS, size=32, horizon=STEPS - 1
)


def actions():
    return np.random.default_rng(0).uniform(-1, 1, (STEPS, 2, 7)).astype(np.float32)


def episodes_of_single_envs():
    """The stem and raw observations of two envs, one after the other, with their resets."""
    env = SingleStemObservation(LIFT(), keep_raw=True, noise="episode")
    episodes = []
    for row in range(2):
        observations = [env.reset(seed=SEED + row)[0]]
        finals = []
        for action in actions()[:, row]:
            observation, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                finals.append(observation)
                observation = env.reset()[0]
            observations.append(observation)
        episodes.append((observations, finals))
    env.close()
    return episodes


def test_every_frame_of_async_workers_is_that_of_a_single_env():
    mode = AutoresetMode.SAME_STEP
    # Not forked: other tests have rendered in this process, and OpenGL does not survive a fork.
    venv = AsyncVectorEnv([LIFT, LIFT], context="spawn", copy=False, autoreset_mode=mode)
    venv = StemObservation(venv, keep_raw=True, noise="episode")
    try:
        batches = [venv.reset(seed=SEED)[0]]
        finals = []
        for action in actions():
            observation, *_, infos = venv.step(action)
            batches.append(observation)
            finals += list(infos.get("final_obs", ()))
        assert {stats.inverter_calls for stats in venv.stats.values()} == {1 + STEPS}
    finally:
        venv.close()
    assert len(finals) == 2
    for row, (expected, expected_finals) in enumerate(episodes_of_single_envs()):
        assert len(expected_finals) == 1
        for batch, observation in zip(batches, expected, strict=True):
            assert_same({key: value[row] for key, value in batch.items()}, observation)
        assert_same(finals[row], expected_finals[0])
    raw = batches[0]["agentview_image_raw"]
    assert not np.array_equal(raw[0], raw[1])  # the two envs are not in the same state


def assert_same(observation, expected):
    assert observation.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(observation[key], value, err_msg=key)
