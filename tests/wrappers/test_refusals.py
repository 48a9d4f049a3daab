"""What a wrapper of stem frames refuses, with advice that fits; noise that a seed repeats."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

from stemob_wrappers import StemObservation, vector

FLOATS = {"shape": [32, 32, 3], "dtype": "float32", "low": 0.0, "high": 255.0}


def make(**kwargs):
    return gym.make("fakes:fake/Frame-v0", **kwargs)


def test_stem_frames_are_not_inverted_again():
    once = StemObservation(make())
    with pytest.raises(ValueError, match="gives stem frames already, by StemObservation"):
        StemObservation(gym.wrappers.TimeLimit(once, 3))
    with pytest.raises(ValueError, match="stem frames already"):
        vector.StemObservation(SyncVectorEnv([lambda: StemObservation(make())]))
    with pytest.raises(ValueError, match="stem frames already"):
        vector.StemObservation(vector.StemObservation(SyncVectorEnv([make])))


def test_stem_frames_are_not_inverted_again_by_stable_baselines():
    pytest.importorskip("stable_baselines3")
    from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

    from stemob_wrappers.wrappers.sb3 import StemVecEnv

    with pytest.raises(ValueError, match="stem frames already"):
        StemVecEnv(VecFrameStack(StemVecEnv(DummyVecEnv([make])), 2))
    with pytest.raises(ValueError, match="stem frames already"):
        StemVecEnv(DummyVecEnv([lambda: StemObservation(make())]))


@pytest.mark.parametrize(
    ("layout", "says"),
    [
        (FLOATS, r"lie in \[0, 255\]: divide them by 255"),
        ({"shape": [32, 32, 1]}, "Grey images .* repeat the channel"),
        ({"a": {"shape": [32, 32]}}, "Grey images"),
        ({"shape": [7], "dtype": "float32"}, "Render the env instead"),
    ],
)
def test_the_advice_fits_the_images(layout, says):
    with pytest.raises(ValueError, match=says):
        StemObservation(make(layout=layout))


def play(env, seed):
    seen = [env.reset(seed=seed)[0]]
    return np.stack([*seen, *(env.step(env.action_space.sample())[0] for _ in range(2))])


def test_fresh_noise_begins_anew_with_the_seed():
    env = StemObservation(make(episode_length=9), noise="fresh", inversion_steps=25)
    first = play(env, 3)
    assert not np.array_equal(first, play(env, 4))
    np.testing.assert_array_equal(first, play(env, 3))
    env.reset(seed=3)
    unwrapped: Any = env.unwrapped
    other = unwrapped.given
    assert not np.array_equal(env.observation(other), env.observation(other))  # still fresh


def test_fresh_noise_is_the_same_alone_and_among_others():
    options = {"noise": "fresh", "inversion_steps": 25}
    alone = StemObservation(make(), **options)
    among = vector.StemObservation(SyncVectorEnv([make] * 2), **options)
    np.testing.assert_array_equal(alone.reset(seed=6)[0], among.reset(seed=5)[0][1])
