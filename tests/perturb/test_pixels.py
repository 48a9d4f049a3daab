"""PixelPerturbation and its vector twin: pictures change, and nothing else."""

import functools
import json
from typing import Any

import cv2
import fakes
import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from stemob_wrappers.perturb import PixelPerturbation, VectorPixelPerturbation
from stemob_wrappers.perturb.corruptions import CORRUPTIONS

LAYOUTS = {
    "plain": {"shape": [32, 40, 3]},
    "channels first": {"shape": [3, 32, 40]},
    "float": {"shape": [32, 40, 3], "dtype": "float32", "low": 0.0, "high": 1.0},
    "stacked": {"shape": [4, 32, 40, 3]},
    "cameras": fakes.TWO_CAMERAS,
}
EVERYTHING = list(CORRUPTIONS)


def make(layout: fakes.Layout = fakes.IMAGE, **arguments: Any) -> Any:
    return gym.make("fakes:fake/Frame-v0", layout=layout, **arguments)


def picture(seed: int = 0, height: int = 84, width: int = 84) -> Any:
    """A smooth coloured picture with edges in it."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 216, (7, 7, 3)).astype(np.uint8)
    frame = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    frame[height // 3 : height // 2, width // 4 : width // 2] = rng.integers(0, 256, 3)
    return np.ascontiguousarray(frame)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_change_grows_with_severity(name):
    corruption, frames = CORRUPTIONS[name], [picture(seed) for seed in range(20)]
    means = []
    for severity in range(1, 6):
        distances = []
        for episode, frame in enumerate(frames):
            magnitude = corruption.magnitude(severity, episode)
            changed = corruption.apply(frame, magnitude, episode, np.random.default_rng(episode))
            distances.append(np.abs(changed.astype(int) - frame).mean())
        means.append(np.mean(distances))
    assert means == sorted(means)
    assert means[0] > 0.1
    assert means[4] > 2 * means[0]


@given(
    name=st.sampled_from(EVERYTHING),
    severity=st.integers(1, 5),
    episode=st.integers(0, 2**20),
    height=st.integers(8, 50),
    width=st.integers(8, 50),
)
@settings(max_examples=60, deadline=None)
def test_frames_stay_frames_and_are_left_alone(name, severity, episode, height, width):
    frame = picture(episode, height, width)
    before = frame.copy()
    corruption = CORRUPTIONS[name]
    magnitude = corruption.magnitude(severity, episode)
    changed = [
        corruption.apply(frame, magnitude, episode, np.random.default_rng(0)) for _ in range(2)
    ]
    assert changed[0].shape == frame.shape
    assert changed[0].dtype == np.uint8
    assert np.array_equal(changed[0], changed[1])
    assert np.array_equal(frame, before)
    assert not np.shares_memory(changed[0], frame)


def test_means_and_deviations_are_what_they_are_called():
    grey = np.full((64, 64, 3), 128, np.uint8)
    rng = np.random.default_rng(0)
    noise = CORRUPTIONS["gaussian_noise"].apply(grey, 10.0, 0, rng)
    assert noise.std() == pytest.approx(10.0, rel=0.05)
    shot = CORRUPTIONS["shot_noise"].apply(np.full_like(grey, 200), 0.1, 0, rng)
    assert shot.std() / 255 == pytest.approx(0.1 * np.sqrt(200 / 255), rel=0.05)
    shifted = CORRUPTIONS["brightness"].apply(grey, 20.0, 0, rng)
    assert abs(int(shifted[0, 0, 0]) - 128) == 20
    hidden = CORRUPTIONS["occlusion"].apply(grey, 0.25, 0, rng)
    assert (hidden != grey).any(axis=-1).mean() == pytest.approx(0.25, abs=0.02)
    spread = CORRUPTIONS["motion_blur"].apply(picture(), 9.0, 0, rng)
    assert spread.mean() == pytest.approx(picture().mean(), rel=0.02)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_of_images(layout):
    env: Any = PixelPerturbation(make(layout), EVERYTHING, severity=2)
    for observation, info in (
        env.reset(seed=0) if turn == 0 else env.step(0)[::4] for turn in (0, 1)
    ):
        given = env.unwrapped.given
        assert env.observation_space.contains(observation)
        if isinstance(given, dict):
            assert not np.array_equal(observation["front"], given["front"])
            assert not np.array_equal(observation["wrist"], given["wrist"])
            assert np.array_equal(observation["arm"], given["arm"])
        else:
            assert not np.array_equal(observation, given)
        json.dumps(info["perturbation"])
        assert set(info["perturbation"]) == {*EVERYTHING, "episode"}


def test_the_env_keeps_its_observation_and_info():
    env: Any = PixelPerturbation(make(fakes.TWO_CAMERAS), EVERYTHING)
    bare = make(fakes.TWO_CAMERAS)
    for name, argument in (("reset", {"seed": 3}), ("step", {"action": 1})):
        wrapped = getattr(env, name)(**argument)
        expected = getattr(bare, name)(**argument)
        for key, value in env.unwrapped.given.items():
            assert np.array_equal(value, expected[0][key])
        assert "perturbation" not in env.unwrapped.given_info
        assert wrapped[1:-1] == expected[1:-1]


def test_the_group_is_one_of_its_members_an_episode():
    env = PixelPerturbation(make(), "corruption", severity=1)
    seen = set()
    for seed in range(60):
        (name,) = set(env.reset(seed=seed)[1]["perturbation"]) - {"episode"}
        seen.add(name)
    assert len(seen) > 8


def test_seeds_and_the_spec_reproduce_an_episode():
    env: Any = PixelPerturbation(make(), {"corruption": 4, "hue": 2}, seed=5)
    rebuilt: Any = gym.make(env.spec)
    json.loads(env.spec.to_json())
    (first, info), (again, _) = env.reset(seed=0), env.reset(seed=0)
    (other, other_info), (elsewhere, _) = env.reset(), rebuilt.reset(seed=0)
    assert np.array_equal(first, again)
    assert np.array_equal(first, elsewhere)
    assert not np.array_equal(first, other)
    assert info["perturbation"]["episode"] != other_info["perturbation"]["episode"]


@pytest.mark.parametrize("mode", AutoresetMode)
def test_vector_envs_see_what_single_ones_see(mode):
    arguments = {"factors": EVERYTHING, "severity": 3, "seed": 2}
    maker = functools.partial(make, fakes.TWO_CAMERAS, episode_length=3)

    def make_perturbed() -> Any:
        return PixelPerturbation(maker(), **arguments)

    venv: Any = SyncVectorEnv([maker, maker], autoreset_mode=mode)
    venv = VectorPixelPerturbation(venv, **arguments)
    twins: Any = SyncVectorEnv([make_perturbed, make_perturbed], autoreset_mode=mode)
    results, expected = venv.reset(seed=[7, 9]), twins.reset(seed=[7, 9])
    for step in range(6):
        for key in ("front", "wrist", "arm"):
            assert np.array_equal(results[0][key], expected[0][key]), (key, step)
        finals = results[-1].get("final_obs", ())
        assert len(finals) == (2 if mode == AutoresetMode.SAME_STEP and step == 3 else 0)
        for row in range(len(finals)):
            assert np.array_equal(finals[row]["front"], expected[-1]["final_obs"][row]["front"])
        if mode == AutoresetMode.DISABLED and step == 3:
            options = {"reset_mask": np.array([True, True])}
            results, expected = venv.reset(options=options), twins.reset(options=dict(options))
            assert list(options) == ["reset_mask"]
        else:
            actions = np.zeros(2, int)
            results, expected = venv.step(actions), twins.step(actions)
    assert [sorted(applied) for applied in venv.applied] == [sorted([*EVERYTHING, "episode"])] * 2
    venv.close()
    twins.close()


@pytest.mark.parametrize("wrapper", [PixelPerturbation, VectorPixelPerturbation])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"factors": "blurr"}, "did you mean blur"),
        ({"factors": ()}, "at least one factor"),
        ({"severity": 6}, "severity must be one of"),
        ({"split": "all"}, "split must be one of"),
    ],
)
def test_bad_input(wrapper, arguments, message):
    env: Any = make() if wrapper is PixelPerturbation else SyncVectorEnv([make])
    with pytest.raises(ValueError, match=message):
        wrapper(env, **arguments)


def test_an_env_without_images_is_told_how_to_get_some():
    with pytest.raises(ValueError, match="RenderObservation"):
        PixelPerturbation(make({"shape": [4], "dtype": "float32", "low": -1.0, "high": 1.0}))


def test_the_vector_env_keeps_its_buffer():
    venv: Any = SyncVectorEnv([make, make], copy=False)
    perturbed = VectorPixelPerturbation(venv, "occlusion", severity=5)
    changed, _ = perturbed.reset(seed=0)
    assert not np.shares_memory(changed, venv._observations)
    assert np.array_equal(venv._observations[0], venv.envs[0].unwrapped.given)
