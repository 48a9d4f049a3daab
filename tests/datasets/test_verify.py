"""Verification finds what was changed behind its back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import pytest
from robomimic_files import make_file

from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets import invert_dataset, verify_dataset

CONFIG = StemConfig(inversion_steps=5)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    source = make_file(tmp_path / "demo.hdf5")
    invert_dataset(source, tmp_path / "stem.hdf5", CONFIG)
    return source, tmp_path / "stem.hdf5"


@pytest.mark.parametrize("noise", ["frame", "fixed", "episode", "fresh"])
def test_a_sound_conversion_passes(tmp_path: Path, noise: str) -> None:
    source = make_file(tmp_path / "demo.hdf5")
    config = CONFIG.replace(noise=noise)
    invert_dataset(source, tmp_path / "a.hdf5", config, draws=2, keys=["eye_image"], num_trajs=2)
    assert verify_dataset(source, tmp_path / "a.hdf5") == []
    invert_dataset(source, tmp_path / "b.hdf5", config, shard=(1, 2))
    assert verify_dataset(source, tmp_path / "b.hdf5") == []


def _raw_frames(data: Any, source: Any) -> None:
    data["demo_1/obs/eye_image"][0] = source["data/demo_1/obs/eye_image"][0]


def _lost_demo(data: Any, source: Any) -> None:
    del data["demo_2"]


def _changed_action(data: Any, source: Any) -> None:
    data["demo_0/actions"][3, 0] += 1e-9


def _lost_attribute(data: Any, source: Any) -> None:
    del data["demo_0"].attrs["model_file"]


def _lost_mask(data: Any, source: Any) -> None:
    del data.file["mask"]


def _shorter(data: Any, source: Any) -> None:
    del data["demo_0/obs/eye_image"]
    data["demo_0/obs/eye_image"] = source["data/demo_0/obs/eye_image"][:3]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (_raw_frames, "grey levels off"),
        (_lost_demo, "demo_2 is missing"),
        (_changed_action, "actions differs from the source"),
        (_lost_attribute, "'model_file'"),
        (_lost_mask, "/mask is missing"),
        (_shorter, "but the source has"),
    ],
)
def test_every_change_is_found(pair: tuple[Path, Path], change: Any, found: str) -> None:
    source, target = pair
    with h5py.File(source) as before, h5py.File(target, "a") as after:
        change(after["data"], before)
    problems = verify_dataset(source, target)
    assert problems
    assert found in "\n".join(problems)
