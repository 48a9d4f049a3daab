"""`expect=` refuses frames of another fingerprint, by the path of a data set too."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import fakes
import gymnasium as gym
import numpy as np
import pytest
from robomimic_files import make_file

from stemob_wrappers import FrameCache, StemObservation
from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets import invert_dataset, read_provenance
from stemob_wrappers.pictures import write_image
from stemob_wrappers.stem import identity
from stemob_wrappers.stem.pipeline import StemPipeline
from stemob_wrappers.stem.provenance import expected_identity, provenance

CONFIG = StemConfig(inversion_steps=5)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    source = make_file(folder / "demo.hdf5", demos=1)
    invert_dataset(source, folder / "stem.hdf5", CONFIG)
    return folder / "stem.hdf5"


def test_env_of_the_same_config_is_let_through(converted: Path) -> None:
    env = StemObservation(make_env(), CONFIG, expect=str(converted))
    assert env.spec is not None
    gym.make(env.spec)
    StemObservation(make_env(), CONFIG, expect=read_provenance(converted)["fingerprint"])


def test_another_config_is_refused_with_the_differing_fields(converted: Path) -> None:
    with pytest.raises(ValueError, match="inversion_steps: expected 5, this config gives 10"):
        StemObservation(make_env(), CONFIG, inversion_steps=10, expect=str(converted))


def test_a_key_that_the_data_left_raw_is_refused(tmp_path: Path) -> None:
    source = make_file(tmp_path / "demo.hdf5", demos=1)
    invert_dataset(source, tmp_path / "stem.hdf5", CONFIG, keys=["agentview_image"])
    layout = {"agentview_image": fakes.IMAGE, "eye_image": fakes.IMAGE}
    env = gym.make("fakes:fake/Frame-v0", layout=layout)
    expect = str(tmp_path / "stem.hdf5")
    with pytest.raises(ValueError, match=r"eye_image differ; pass keys="):
        StemObservation(env, CONFIG, expect=expect)
    StemObservation(env, CONFIG, keys=["agentview_image"], expect=expect)


def test_the_config_is_read_from_every_kind_of_data_set(converted: Path, tmp_path: Path) -> None:
    assert StemConfig.from_dataset(converted) == CONFIG
    with pytest.raises(ValueError, match="holds raw frames or was written by another tool"):
        StemConfig.from_dataset(converted.with_name("demo.hdf5"))
    with pytest.raises(FileNotFoundError, match="no data set at"):
        StemConfig.from_dataset(tmp_path / "nothing")
    write_image(tmp_path / "frames" / "0.png", np.zeros((16, 16, 3), np.uint8))
    other = CONFIG.replace(noise="episode", seed=3)
    invert_dataset(tmp_path / "frames", tmp_path / "stems" / "a", other, draws=2)
    assert StemConfig.from_dataset(str(tmp_path / "stems" / "a")) == other
    with pytest.raises(ValueError, match="holds raw frames"):
        StemConfig.from_dataset(tmp_path / "frames")


def test_a_folder_of_data_sets_has_one_config_or_none(converted: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copy(converted, tmp_path / f"{name}.hdf5")
    assert StemConfig.from_dataset(tmp_path) == CONFIG
    invert_dataset(
        converted.with_name("demo.hdf5"), tmp_path / "three.hdf5", CONFIG.replace(inversion_steps=9)
    )
    with pytest.raises(ValueError, match=r"several configs.*three\.hdf5: .*\"inversion_steps\": 9"):
        StemConfig.from_dataset(tmp_path)
    shutil.copy(converted.with_name("demo.hdf5"), tmp_path / "raw.hdf5")
    with pytest.raises(ValueError, match=r"raw\.hdf5 does not say"):
        StemConfig.from_dataset(tmp_path)


def test_what_expect_cannot_be(converted: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing at none\.hdf5"):
        expected_identity("none.hdf5")
    with pytest.raises(ValueError, match="does not say"):
        expected_identity(converted.with_name("demo.hdf5"))
    assert expected_identity(converted)["seed"] == 0  # type: ignore[index]


def test_cache_is_recorded_with_path_and_budgets(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    budgets = {"memory_bytes": 2**20, "disk_bytes": 2**21}
    for cache in (str(folder), folder, FrameCache(folder, **budgets)):
        env = StemObservation(make_env(), CONFIG, cache=cache)
        assert env.spec is not None
        rebuilt = gym.make(env.spec)
        assert isinstance(rebuilt, StemObservation)
        assert rebuilt.pipelines[""].cache.path == folder
    assert json.dumps(env.spec.additional_wrappers[-1].kwargs)
    assert rebuilt.pipelines[""].cache.memory_bytes == budgets["memory_bytes"]
    assert rebuilt.pipelines[""].cache.disk.max_bytes == budgets["disk_bytes"]
    frame, _ = rebuilt.reset(seed=0)
    again, _ = env.reset(seed=0)
    np.testing.assert_array_equal(frame, again)
    assert env.stats[""].hits == 1  # found on disk


def make_env() -> gym.Env:
    return gym.make("fakes:fake/Frame-v0")


def test_a_package_that_is_not_installed_took_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(package: str) -> str:
        if package == "diffusers":
            raise PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr(identity, "version", lacking)
    assert set(provenance(StemPipeline(CONFIG))["versions"]) == {"stemob_wrappers", "torch"}
