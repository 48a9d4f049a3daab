import copy
import json
from typing import Any, get_type_hints

import fakes
import gymnasium as gym
import numpy as np
import pytest
import tiny_models
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

from stemob_wrappers.backbones import load as backbones
from stemob_wrappers.cache import FrameCache
from stemob_wrappers.config import ConfigFields, StemConfig
from stemob_wrappers.stem.pipeline import StemPipeline
from stemob_wrappers.wrappers.observation import StemObservation
from stemob_wrappers.wrappers.transform import OPTIONS, StemOptions


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_models.save_stem_backbone(tmp_path_factory.mktemp("stem") / "model")


def flat(space, observation) -> np.ndarray:
    return np.asarray(spaces.flatten(space, observation))


def make(layout, **kwargs):
    return gym.make("fakes:fake/Frame-v0", layout=layout, **kwargs)


NESTED: fakes.Layout = {
    "images": {"front": fakes.IMAGE, "wrist": fakes.IMAGE},
    "pair": [fakes.IMAGE],
}


@pytest.mark.parametrize(
    "layout",
    [
        fakes.IMAGE,
        {"shape": [3, 16, 24]},
        {"shape": [16, 16, 3], "dtype": "float32"},
        {"shape": [2, 16, 16, 3]},
        {"shape": [6, 16, 16]},
        fakes.TWO_CAMERAS,
        NESTED,
    ],
    ids=str,
)
def test_space_and_dtype_stay_and_nothing_given_is_mutated(folder, layout):
    env = make(layout)
    raw = env.unwrapped
    assert isinstance(raw, fakes.FrameEnv)
    wrapped = StemObservation(env, backbone=folder)
    assert wrapped.observation_space == env.observation_space
    twin = make(layout)
    expected, _ = twin.reset(seed=0)
    observation, info = wrapped.reset(seed=0)
    for _ in range(3):
        assert wrapped.observation_space.contains(observation)
        before = flat(env.observation_space, expected)
        np.testing.assert_array_equal(flat(env.observation_space, raw.given), before)
        assert (flat(env.observation_space, observation) != before).any()
        assert info == {"step": raw.given_info["step"]}
        observation, _, _, _, info = wrapped.step(0)
        expected = twin.step(0)[0]


def test_frames_are_the_pipelines(folder):
    wrapped = StemObservation(make(fakes.TWO_CAMERAS), backbone=folder, keys=["wrist"])
    pipeline = StemPipeline(StemConfig(backbone=folder))
    observation, _ = wrapped.reset(seed=3)
    raw = wrapped.unwrapped.given  # type: ignore[attr-defined]
    np.testing.assert_array_equal(observation["wrist"], pipeline(raw["wrist"][None])[0])
    np.testing.assert_array_equal(observation["front"], raw["front"])


def test_keys_give_a_level_or_leave_raw(folder):
    keys = {"front": None, "wrist": {"inversion_steps": 3}}
    wrapped = StemObservation(make(fakes.TWO_CAMERAS), backbone=folder, keys=keys)
    assert list(wrapped.pipelines) == ["wrist"]
    assert wrapped.pipelines["wrist"].config.inversion_steps == 3


def test_keep_raw_adds_the_frame(folder):
    for layout, stem, raw in (
        (fakes.IMAGE, "pixels", "pixels_raw"),
        (fakes.TWO_CAMERAS, "front", "front_raw"),
    ):
        wrapped = StemObservation(make(layout), backbone=folder, keep_raw=True)
        observation, _ = wrapped.reset(seed=0)
        assert wrapped.observation_space.contains(observation)
        given = wrapped.unwrapped.given  # type: ignore[attr-defined]
        given = given if layout is fakes.IMAGE else given["front"]
        np.testing.assert_array_equal(observation[raw], given)
        assert (observation[stem] != given).any()
    with pytest.raises(ValueError, match="lies in a Tuple"):
        StemObservation(make([fakes.IMAGE]), backbone=folder, keep_raw=True)


@pytest.mark.parametrize("layout", [fakes.IMAGE, fakes.TWO_CAMERAS], ids=["box", "dict"])
def test_gymnasium_accepts_it_and_rebuilds_it(folder, layout):
    wrapped = StemObservation(make(layout, render_mode="rgb_array"), backbone=folder)
    check_env(wrapped, skip_render_check=False)
    assert wrapped.spec is not None
    json.loads(wrapped.spec.to_json())
    first, _ = wrapped.reset(seed=1)
    again, _ = gym.make(copy.deepcopy(wrapped.spec)).reset(seed=1)
    space = wrapped.observation_space
    np.testing.assert_array_equal(flat(space, first), flat(space, again))


def test_episode_noise_is_redrawn_at_reset_and_follows_the_seed(folder):
    wrapped = StemObservation(make(fakes.IMAGE), backbone=folder, noise="episode")
    frame = np.full((32, 32, 3), 99, np.uint8)
    seen = []
    for seed in (0, None, 0, None):
        wrapped.reset(seed=seed)
        seen.append(wrapped.observation(frame).tobytes())
    assert seen[:2] == seen[2:]
    assert seen[0] != seen[1]


def test_nothing_is_loaded_after_construction(folder, monkeypatch):
    wrapped = StemObservation(make(fakes.TWO_CAMERAS), backbone=folder)

    def fail(*args, **kwargs):
        raise AssertionError("loaded in mid-episode")

    monkeypatch.setattr(backbones, "_load", fail)
    monkeypatch.setattr(backbones, "load_backbone", fail)
    wrapped.reset(seed=0)
    wrapped.step(0)


def test_the_cache_is_used(folder):
    wrapped = StemObservation(make(fakes.IMAGE), backbone=folder)
    wrapped.reset(seed=0)
    wrapped.reset(seed=0)
    (stats,) = wrapped.stats.values()
    assert (stats.frames, stats.hits) == (2, 1)


def test_bad_input_is_named(folder):
    with pytest.raises(ValueError, match=r"no RGB image.*arm: float32 \(7,\).*make\(id, size=84\)"):
        StemObservation(
            make({"arm": {"shape": [7], "dtype": "float32", "low": -1.0}}), backbone=folder
        )
    with pytest.raises(ValueError, match="keys names 'fron'"):
        StemObservation(make(fakes.TWO_CAMERAS), backbone=folder, keys=["fron"])
    other = StemPipeline(StemConfig(backbone=folder, seed=1)).identity
    with pytest.raises(ValueError, match="seed: expected 1, this config gives 0"):
        StemObservation(make(fakes.IMAGE), backbone=folder, expect=other)


def test_a_key_that_is_named_is_an_image_whatever_its_name_says(folder):
    layout: fakes.Layout = {"front_depth": fakes.IMAGE, "masks": {"left": fakes.IMAGE}}
    for keys in (["front_depth", "masks/left"], "front_depth", {"masks/left": {"seed": 1}}):
        wrapped = StemObservation(make(layout), keys=keys, backbone=folder)
        named = [keys] if isinstance(keys, str) else list(keys)
        assert list(wrapped.pipelines) == named
        observation, _ = wrapped.reset(seed=0)
        raw = wrapped.unwrapped
        assert isinstance(raw, fakes.FrameEnv)
        changed = [
            not np.array_equal(observation["front_depth"], raw.given["front_depth"]),
            not np.array_equal(observation["masks"]["left"], raw.given["masks"]["left"]),
        ]
        assert changed == ["front_depth" in named, "masks/left" in named]
    with pytest.raises(ValueError, match="no RGB image"):
        StemObservation(make(layout), backbone=folder)


def test_options_are_recorded_as_plain_json_and_an_unknown_one_is_named(folder, tmp_path):
    cache = FrameCache(tmp_path, memory_bytes=2**20)
    cases: list[Any] = [{}, {"cache": cache, "keep_raw": True, "keys": ["front"]}, {"cache": False}]
    for options in cases:
        wrapped = StemObservation(make(fakes.TWO_CAMERAS), backbone=folder, seed=3, **options)
        spec = wrapped.spec
        assert spec is not None
        again: Any = gym.make(EnvSpec.from_json(spec.to_json()))
        assert again.config == wrapped.config == StemConfig(folder, seed=3)
        assert again.observation_space == wrapped.observation_space
        assert list(again.pipelines) == list(wrapped.pipelines)
    for wrong, nearest in (("keep_row", "keep_raw"), ("inversion_step", "inversion_steps")):
        options: Any = {wrong: True}
        with pytest.raises(ValueError, match=f"'{wrong}'; did you mean '{nearest}'"):
            StemObservation(make(fakes.IMAGE), **options)


def test_every_field_of_the_config_is_an_option():
    types = get_type_hints(StemConfig)
    assert get_type_hints(ConfigFields) == types
    assert list(StemOptions.__annotations__) == [*types, *OPTIONS]
