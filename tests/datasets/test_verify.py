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
    with h5py.File(source, "a") as file:
        file["data/demo_0/texts"] = ["of", "varying", "length"]
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


def _attribute_of_an_image(data: Any, source: Any) -> None:
    data["demo_0/obs/eye_image"].attrs["fov"] = 46.0


def _attribute_of_another_type(data: Any, source: Any) -> None:
    data["demo_0"].attrs["num_samples"] = 6.0


def _new_attribute(data: Any, source: Any) -> None:
    data["demo_0/actions"].attrs["note"] = "new"


def _other_total(data: Any, source: Any) -> None:
    data.attrs["total"] = 1


def _other_env(data: Any, source: Any) -> None:
    data.attrs["env_args"] = data.attrs["env_args"].replace("Lift", "Stack")


def _other_soft_link(data: Any, source: Any) -> None:
    del data["demo_1/link"]
    data["demo_1/link"] = h5py.SoftLink("/data/demo_0/states")


def _other_external_link(data: Any, source: Any) -> None:
    del data["demo_1/elsewhere"]
    data["demo_1/elsewhere"] = h5py.ExternalLink("another.hdf5", "/data")


def _link_made_an_object(data: Any, source: Any) -> None:
    del data["demo_1/link"]
    data["demo_1/link"] = data["demo_1/states"]


def _copy_of_a_name(data: Any, source: Any) -> None:
    del data["demo_1/rewards"]
    data.copy(data["demo_1/actions"], data["demo_1"], "rewards")


def _other_chunks(data: Any, source: Any) -> None:
    actions = data["demo_1/actions"][:]
    del data["demo_1/rewards"], data["demo_1/actions"]
    data["demo_1/actions"] = data["demo_1/rewards"] = actions


def _new_data_set(data: Any, source: Any) -> None:
    data["demo_1/new"] = 1


def _new_demo(data: Any, source: Any) -> None:
    data.create_group("demo_7")


def _other_note(data: Any, source: Any) -> None:
    data.file["notes"][()] = "others"


def _other_text(data: Any, source: Any) -> None:
    data["demo_0/texts"][1] = "changed"


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
        (_attribute_of_an_image, "'fov' of /data/demo_0/obs/eye_image differs"),
        (_attribute_of_another_type, "'num_samples' of /data/demo_0 differs"),
        (_new_attribute, "'note' of /data/demo_0/actions is not in the source"),
        (_other_total, "'total' of /data differs"),
        (_other_env, "'env_args' of /data differs"),
        (_other_soft_link, "/link is a link to /data/demo_0/states, but in the source a link to"),
        (_other_external_link, "/elsewhere is a link to /data in another.hdf5, but in the source"),
        (_link_made_an_object, "/link is an object, but in the source a link"),
        (_copy_of_a_name, "/rewards is no longer another name"),
        (_other_chunks, "/actions is stored in other chunks"),
        (_new_data_set, "/data/demo_1/new is not in the source"),
        (_new_demo, "demo_7 is not in the source"),
        (_other_note, "/notes differs from the source"),
        (_other_text, "/data/demo_0/texts differs from the source"),
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


def test_a_source_that_is_not_there(pair: tuple[Path, Path]) -> None:
    with pytest.raises(FileNotFoundError, match="no data set at"):
        verify_dataset(pair[0].with_name("none.hdf5"), pair[1])
