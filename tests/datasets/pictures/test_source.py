"""Folders of images and videos."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from stemob_wrappers.cli.app import app
from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets import invert_dataset, merge_shards, read_provenance, verify_dataset
from stemob_wrappers.pictures import read_image, write_image
from stemob_wrappers.stem.pipeline import StemPipeline
from stemob_wrappers.stem.provenance import check_expected, expected_identity
from stemob_wrappers.videos import read_video, write_video

CONFIG = StemConfig(inversion_steps=5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "frames"
    for name in ("a/0.png", "a/1.jpg", "b/2.png"):
        write_image(path / name, rng.integers(0, 256, (16, 24, 3), dtype=np.uint8))
    write_video(path / "b/episode.avi", rng.integers(0, 256, (5, 16, 24, 3), dtype=np.uint8), 20)
    (path / "a/actions.csv").write_text("1,2\n")
    return path


def test_folder_becomes_a_folder_of_stem_frames(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "stem"
    summary = invert_dataset(folder, target, CONFIG)
    assert (summary.items, summary.frames, summary.failed) == (4, 8, [])
    files = sorted(str(p.relative_to(target)) for p in target.rglob("*") if p.is_file())
    assert files == ["a/0.png", "a/1.png", "a/actions.csv", "b/2.png", "b/episode.avi",
                     "stemob.json"]  # fmt: skip
    pipeline = StemPipeline(CONFIG)
    for name, result in (("a/0.png", "a/0.png"), ("a/1.jpg", "a/1.png")):
        expected = pipeline(read_image(folder / name)[None])[0]
        np.testing.assert_array_equal(read_image(target / result), expected)
    assert sum(1 for _ in read_video(target / "b/episode.avi")) == 5
    assert read_provenance(target)["fingerprint"] == pipeline.fingerprint
    assert summary.contact_sheet is not None
    assert summary.contact_sheet.read_text().count("<figure>") == 4
    with pytest.raises(FileExistsError):
        invert_dataset(folder, target, CONFIG)
    invert_dataset(folder, target, CONFIG, overwrite=True)


def test_corrupt_image_is_named_and_the_rest_finished(folder: Path, tmp_path: Path) -> None:
    (folder / "b/2.png").write_bytes(b"no image")
    summary = invert_dataset(folder, tmp_path / "stem", CONFIG, draws=2)
    assert [failure.split(": ")[1][:7] for failure in summary.failed] == ["b/2.png", "b/2.png"]
    assert not (tmp_path / "stem/b/2.png").exists()
    first, second = (read_image(tmp_path / "stem/a" / name) for name in ("0.png", "0.draw1.png"))
    assert (first != second).any()


def test_one_video(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "stem.avi"
    invert_dataset(folder / "b/episode.avi", target, CONFIG)
    assert sum(1 for _ in read_video(target)) == 5
    assert read_provenance(target)["config"] == CONFIG.to_dict()
    assert (tmp_path / "stem.avi.stemob.json").is_file()
    assert verify_dataset(folder / "b/episode.avi", target) == []
    with pytest.raises(ValueError, match="stem frames already"):
        invert_dataset(target, tmp_path / "twice.avi", CONFIG)
    with pytest.raises(ValueError, match="does not say what made its frames"):
        read_provenance(folder / "b/episode.avi")
    other = StemPipeline(CONFIG.replace(inversion_steps=10)).identity
    with pytest.raises(ValueError, match="steps: expected 5, this config gives 10"):
        check_expected(other, expected_identity(str(target)))


def test_nothing_to_convert(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="nothing to convert"):
        invert_dataset(tmp_path / "empty", tmp_path / "stem", CONFIG)
    with pytest.raises(ValueError, match="for HDF5 files"):
        invert_dataset(tmp_path / "empty", tmp_path / "stem", CONFIG, keys=["a"])
    image = np.zeros((16, 16, 3), np.uint8)
    write_image(tmp_path / "twice/a.png", image)
    write_image(tmp_path / "twice/a.jpg", image)
    with pytest.raises(ValueError, match=r"become a\.png"):
        invert_dataset(tmp_path / "twice", tmp_path / "stem", CONFIG)


def test_what_is_no_colour_image_is_copied_bit_for_bit(folder: Path, tmp_path: Path) -> None:
    frame = read_image(folder / "a/0.png")
    write_image(folder / "a/0_Depth.png", frame)
    write_image(folder / "segmentation/0.png", frame)
    alpha = np.dstack([frame, frame[..., :1]])
    for name, image in (("16.png", frame[..., 0] * np.uint16(256)), ("alpha.png", alpha)):
        cv2.imwrite(str(folder / "b" / name), image)
    summary = invert_dataset(folder, tmp_path / "stem", CONFIG)
    assert (summary.items, summary.failed) == (4, [])
    for name in ("a/0_Depth.png", "segmentation/0.png", "b/16.png", "b/alpha.png"):
        assert (tmp_path / "stem" / name).read_bytes() == (folder / name).read_bytes()


def test_source_and_target_do_not_swallow_each_other(folder: Path) -> None:
    before = sorted(folder.parent.rglob("*"))
    for target in (folder.parent, folder / "out", folder / "../frames/b"):
        with pytest.raises(ValueError, match="within each other"):
            invert_dataset(folder, target, CONFIG, overwrite=True)
        assert sorted(folder.parent.rglob("*")) == before


def test_only_a_converted_folder_is_overwritten_or_refused_as_source(
    folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "stem"
    target.mkdir()
    (target / "notes.txt").write_text("precious")
    with pytest.raises(ValueError, match=r"without stemob\.json"):
        invert_dataset(folder, target, CONFIG, overwrite=True)
    assert (target / "notes.txt").read_text() == "precious"
    invert_dataset(folder, tmp_path / "other", CONFIG)
    with pytest.raises(ValueError, match="stem frames already"):
        invert_dataset(tmp_path / "other", tmp_path / "twice", CONFIG)


@pytest.mark.parametrize("noise", ["frame", "episode", "fresh"])
def test_a_sound_folder_is_verified(folder: Path, tmp_path: Path, noise: str) -> None:
    config = CONFIG.replace(noise=noise)
    invert_dataset(folder, tmp_path / "stem", config, draws=2)
    assert verify_dataset(folder, tmp_path / "stem") == []
    invert_dataset(folder, tmp_path / "shard", config, shard=(1, 2))
    assert verify_dataset(folder, tmp_path / "shard") == []
    with pytest.raises(ValueError, match="only shards of an HDF5"):
        merge_shards(tmp_path / "merged", [tmp_path / "shard"])


def test_the_command_line_verifies_a_folder(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "stem"
    command = ["invert-dataset", str(folder), str(target), "--inversion_steps", "5", "--verify"]
    assert f"{target}: verified" in CliRunner().invoke(app, command).output
    (target / "a/actions.csv").unlink()
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, "actions.csv is missing" in result.output) == (1, True)


def test_a_long_video_is_verified_by_its_first_frames(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (80, 4, 6, 3), dtype=np.uint8)
    for name in ("episode.avi", "episode.mp4"):
        source, target = tmp_path / name, tmp_path / f"stem-{name}"
        write_video(source, coarse.repeat(8, 1).repeat(8, 2), 20)
        invert_dataset(source, target, CONFIG)
        assert verify_dataset(source, target) == []
        shutil.copy(source, target)
        assert "levels off" in verify_dataset(source, target)[0]


@pytest.mark.parametrize(
    ("name", "change", "found"),
    [
        ("a/0.png", lambda file, raw: shutil.copy(raw / "a/0.png", file), "grey levels off"),
        ("b/2.png", lambda file, raw: file.unlink(), "2.png is missing"),
        ("b/2.png", lambda file, raw: file.write_bytes(b"no image"), "cannot be compared"),
        ("b/2.png", lambda file, raw: write_image(file, np.zeros((8, 8, 3), np.uint8)), "(8, 8"),
        ("a/actions.csv", lambda file, raw: file.write_text("1,3\n"), "csv differs"),
        ("a/actions.csv", lambda file, raw: file.unlink(), "actions.csv is missing"),
        ("a/new.csv", lambda file, raw: file.touch(), "new.csv is not made from the source"),
        (
            "b/episode.avi",
            lambda file, raw: write_video(file, np.zeros((4, 16, 24, 3), np.uint8), 20),
            "has 4 frames, but the source 5",
        ),
        (
            "b/episode.avi",
            lambda file, raw: shutil.copy(raw / "b/episode.avi", file),
            "frame 0: ",
        ),
    ],
)
def test_every_change_of_a_folder_is_found(
    folder: Path, tmp_path: Path, name: str, change: Any, found: str
) -> None:
    invert_dataset(folder, tmp_path / "stem", CONFIG)
    change(tmp_path / "stem" / name, folder)
    assert found in "\n".join(verify_dataset(folder, tmp_path / "stem"))
