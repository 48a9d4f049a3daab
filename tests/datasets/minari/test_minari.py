"""Minari's own library records, loads what we wrote, and recovers the env that goes with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import fakes
import gymnasium as gym
import h5py
import minari
import numpy as np
import pytest

from stemob_wrappers import StemObservation
from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets import invert_dataset, read_provenance, verify_dataset
from stemob_wrappers.datasets.minari.metadata import MAIN_FILE, METADATA
from stemob_wrappers.stem.pipeline import StemPipeline

CONFIG = StemConfig(inversion_steps=5)
# Minari asks for a description and more, which a test has no use for.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:minari")
BLIND: fakes.Layout = {"arm": {"shape": [3], "dtype": "float32", "low": -1.0, "high": 1.0}}
LAYOUT: fakes.Layout = {
    "front": {"shape": [32, 40, 3]},
    "depth": {"shape": [32, 40, 3]},
    "arm": {"shape": [3], "dtype": "float32", "low": -1.0, "high": 1.0},
}


def record(name: str, jpeg: bool, layout: fakes.Layout = LAYOUT, wrap: bool = False) -> Any:
    env: Any = gym.make("fakes:fake/Frame-v0", layout=layout)
    if wrap:
        env = StemObservation(env, CONFIG)
    collector = minari.DataCollector(env, jpeg_encoding=jpeg)
    for seed in (1, 2):
        collector.reset(seed=seed, options={"hard": True})
        done = False
        while not done:
            *_, terminated, truncated, _ = collector.step(collector.action_space.sample())
            done = terminated or truncated
    made = collector.create_dataset(
        name,
        algorithm_name="random",
        author="a",
        author_email="b",
        ref_min_score=0.0,
        ref_max_score=1.0,
    )
    env.close()
    return made


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("minari")
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        yield root


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "jpeg"])
def source(request: pytest.FixtureRequest, home: Path) -> Any:
    return record(f"fakes/{'jpeg' if request.param else 'plain'}-v0", request.param)


def test_minari_loads_what_we_wrote_with_all_that_is_no_image(source: Any, home: Path) -> None:
    name = source.spec.dataset_id
    target = home / name.replace("-v0", "-stem-v0")
    assert invert_dataset(home / name, target, CONFIG).items == 2
    assert verify_dataset(home / name, target) == []
    made = minari.load_dataset(name.replace("-v0", "-stem-v0"))
    assert made.storage.jpeg_encoding is False
    assert made.total_steps == source.total_steps
    assert made.observation_space == source.observation_space
    for field in ("algorithm_name", "author", "author_email", "ref_max_score", "total_episodes"):
        assert made.storage.metadata[field] == source.storage.metadata[field]
    for before, after in zip(source, made, strict=True):
        stem = StemPipeline(CONFIG)(before.observations["front"])
        np.testing.assert_array_equal(after.observations["front"], stem)
        for key in ("depth", "arm"):
            np.testing.assert_array_equal(after.observations[key], before.observations[key])
        for field in ("actions", "rewards", "terminations", "truncations"):
            np.testing.assert_array_equal(getattr(after, field), getattr(before, field))
    ids = range(2)
    assert list(made.storage.get_episode_metadata(ids)) == list(
        source.storage.get_episode_metadata(ids)
    )


def test_the_env_that_is_recovered_gives_such_frames(source: Any, home: Path) -> None:
    name = source.spec.dataset_id
    target = home / name.replace("-v0", "-env-v0")
    invert_dataset(home / name, target, CONFIG)
    env = minari.load_dataset(name.replace("-v0", "-env-v0")).recover_environment()
    raw = gym.make("fakes:fake/Frame-v0", layout=LAYOUT)
    observation, expected = env.reset(seed=1)[0], raw.reset(seed=1)[0]
    stem = StemPipeline(CONFIG)(expected["front"][None])[0]
    np.testing.assert_array_equal(observation["front"], stem)
    np.testing.assert_array_equal(observation["depth"], expected["depth"])
    metadata = json.loads((target / METADATA).read_text())
    spec = json.loads(metadata["env_spec"])
    spec["additional_wrappers"][-1]["kwargs"]["config"]["inversion_steps"] = 6
    (target / METADATA).write_text(json.dumps(metadata | {"env_spec": json.dumps(spec)}))
    with pytest.raises(ValueError, match="expected frames with fingerprint"):
        minari.load_dataset(name.replace("-v0", "-env-v0")).recover_environment()


def test_a_collector_over_our_wrapper_records_stem_frames(home: Path, tmp_path: Path) -> None:
    made = record("fakes/live-v0", jpeg=False, wrap=True)
    raw = gym.make("fakes:fake/Frame-v0", layout=LAYOUT)
    expected = StemPipeline(CONFIG)(raw.reset(seed=1)[0]["front"][None])[0]
    np.testing.assert_array_equal(made[0].observations["front"][0], expected)
    assert isinstance(made.recover_environment(), StemObservation)
    with pytest.raises(ValueError, match="holds stem frames already"):
        invert_dataset(home / "fakes/live-v0", tmp_path / "twice", CONFIG)


def test_lone_and_stacked_images_are_found(home: Path) -> None:
    lone = record("fakes/lone-v0", jpeg=True, layout={"shape": [32, 32, 3]})
    invert_dataset(home / "fakes/lone-v0", home / "fakes/lone-stem-v0", CONFIG)
    made = minari.load_dataset("fakes/lone-stem-v0")
    stem = StemPipeline(CONFIG)(lone[0].observations)
    np.testing.assert_array_equal(made[0].observations, stem)
    assert made.recover_environment().reset(seed=1)[0].shape == (32, 32, 3)
    stacked = record("fakes/stack-v0", jpeg=False, layout={"a": [{"shape": [2, 16, 16, 3]}]})
    invert_dataset(home / "fakes/stack-v0", home / "fakes/stack-stem-v0", CONFIG, keys=["a/0"])
    made = minari.load_dataset("fakes/stack-stem-v0")
    frames = stacked[0].observations["a"][0]
    stem = StemPipeline(CONFIG)(frames.reshape(-1, 16, 16, 3)).reshape(frames.shape)
    np.testing.assert_array_equal(made[0].observations["a"][0], stem)


def test_damage_is_found(home: Path, tmp_path: Path) -> None:
    record("fakes/damage-v0", jpeg=True)
    source, target = home / "fakes/damage-v0", tmp_path / "stem"
    invert_dataset(source, target, CONFIG)
    assert read_provenance(target)["converted"] == ["front"]
    with h5py.File(target / MAIN_FILE, "a") as file:
        data: Any = file
        data["episode_1/observations/front"][2] += 9
        data["episode_0/observations/depth"][0, 0, 0, 0] += 1
        data["episode_0/rewards"][0] += 1
    text = "\n".join(verify_dataset(source, target))
    for part in ("episode_1/observations/front", "episode_0/observations/depth", "rewards"):
        assert part in text


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda root: edit(root, data_format="arrow"), "arrow files, and hdf5 is needed"),
        (lambda root: edit(root, total_episodes=3), "holds 2 episodes, but .* says 3"),
        (lambda root: edit(root, observation_space=None), "no observation_space"),
        (lambda root: (root / MAIN_FILE).unlink(), "cannot be read as HDF5"),
        (lambda root: (root / MAIN_FILE).write_bytes(b"\x89HDF"), "cannot be read as HDF5"),
    ],
)
def test_bad_data_sets_are_refused_and_nothing_is_written(
    source: Any, home: Path, tmp_path: Path, harm: Any, message: str
) -> None:
    copy = shutil.copytree(home / source.spec.dataset_id, tmp_path / "source")
    harm(copy)
    with pytest.raises((ValueError, OSError), match=message):
        invert_dataset(copy, tmp_path / "stem", CONFIG)
    assert not (tmp_path / "stem").exists()


def edit(root: Path, **fields: Any) -> None:
    metadata = json.loads((root / METADATA).read_text())
    (root / METADATA).write_text(json.dumps(metadata | fields))


def test_a_data_set_without_images_says_so(home: Path, tmp_path: Path) -> None:
    record("fakes/blind-v0", jpeg=True, layout=BLIND)
    with pytest.raises(ValueError, match="no image to convert in its observation space"):
        invert_dataset(home / "fakes/blind-v0", tmp_path / "stem", CONFIG)
    record("fakes/seeing-v0", jpeg=True)
    with pytest.raises(ValueError, match="no image 'rear'"):
        invert_dataset(home / "fakes/seeing-v0", tmp_path / "stem", CONFIG, keys=["rear"])
