"""Verification finds what was changed behind its back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import pytest
from robomimic_files import make_file

from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets import invert_dataset, read_provenance, verify, verify_dataset
from stemob_wrappers.datasets.stems import Stems

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


def test_an_unreadable_chunk_is_a_problem_of_its_demo(pair: tuple[Path, Path]) -> None:
    source, target = pair
    with h5py.File(target) as file:
        image: Any = file["data/demo_1/obs/eye_image"]
        chunk = image.id.get_chunk_info(0)
    with open(target, "r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"\xff" * 64)
    problems = verify_dataset(source, target)
    assert len(problems) == 1
    assert problems[0].startswith("demo_1 cannot be compared")


def test_frames_are_computed_again_in_their_precision(tmp_path: Path) -> None:
    source = make_file(tmp_path / "demo.hdf5")
    target = tmp_path / "stem.hdf5"
    invert_dataset(source, target, CONFIG, num_trajs=1, dtype="float64")
    assert read_provenance(target)["dtype"] == "float64"
    with pytest.MonkeyPatch.context() as patch:
        given = []
        patch.setattr(verify, "Stems", lambda *a, **k: given.append(k["dtype"]) or Stems(*a, **k))
        assert verify_dataset(source, target) == []
    assert given == ["float64"]


def test_folders_are_refused(pair: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match="only HDF5"):
        verify_dataset(pair[0].parent, pair[1])
