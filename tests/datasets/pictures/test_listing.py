"""Whatever lies in a folder: converted rightly, or named; the rest goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
import test_pictures
import test_videos

from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets import invert_dataset, verify_dataset
from stemob_wrappers.pictures import read_image, write_image
from stemob_wrappers.stem.pipeline import StemPipeline
from stemob_wrappers.videos import read_video, write_video

CONFIG = StemConfig(inversion_steps=5)
FRAME = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
COARSE = test_videos.COARSE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_image(tmp_path / "frames/0.png", FRAME)
    return tmp_path / "frames"


def files_of(target: Path) -> list[str]:
    return sorted(str(p.relative_to(target)) for p in target.rglob("*") if p.is_file())


def test_links_to_other_disks_are_followed_but_not_in_circles(folder: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "disk/cam/1.png", FRAME)
    (folder / "cam").symlink_to(tmp_path / "disk/cam")
    (folder / "2.png").symlink_to(tmp_path / "disk/cam/1.png")
    (tmp_path / "disk/cam/again").symlink_to(folder)
    (folder / "self").symlink_to(folder)
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe")
    summary = invert_dataset(folder, tmp_path / "stem", CONFIG)
    assert files_of(tmp_path / "stem") == ["0.png", "2.png", "cam/1.png", "stemob.json"]
    assert not any(path.is_symlink() for path in (tmp_path / "stem").rglob("*"))
    assert ["gone: a link that leads nowhere" in text for text in summary.failed] == [True]
    told = {text.split(": ")[0]: text for text in summary.left_out}
    assert told.keys() == {"cam/again", "self", "pipe"}
    assert "a folder that it lies in" in told["cam/again"]
    assert any("gone" in problem for problem in verify_dataset(folder, tmp_path / "stem"))
    (folder / "gone").unlink()
    assert verify_dataset(folder, tmp_path / "stem") == []


def test_names_that_are_not_utf_8_are_names(folder: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    write_image(folder / f"{name}.png", FRAME)
    write_video(folder / name / f"{name}.avi", COARSE[:3], 20)
    (folder / f"b{name}.jpg").write_bytes(b"torn")
    (folder / f"{name}.gif").touch()
    for config in (CONFIG, CONFIG.replace(noise="episode"), CONFIG.replace(noise="fresh")):
        target = tmp_path / f"stem-{config.noise}"
        summary = invert_dataset(folder, target, config)
        assert str(summary).encode().count(b"caf\\xe9") == 3  # can be printed
        assert len(summary.failed) == len(summary.left_out) == 1
        assert (target / f"{name}.png").is_file()
        assert sum(1 for _ in read_video(target / name / f"{name}.avi")) == 3
        assert len(verify_dataset(folder, target)) == 1  # the torn one is missing


def test_what_cannot_be_read_fails_by_name_and_the_rest_goes_on(
    folder: Path, tmp_path: Path
) -> None:
    write_image(folder / "torn.jpg", FRAME.repeat(4, 0).repeat(4, 1))
    os.truncate(folder / "torn.jpg", 2000)
    (folder / "huge.png").write_bytes(test_pictures.huge_png(100_000))
    (folder / "large.png").write_bytes(test_pictures.huge_png(7_000))
    (folder / "empty.webp").touch()
    summary = invert_dataset(folder, tmp_path / "stem", CONFIG)
    assert [text.split(": ")[1] for text in summary.failed] == [
        "empty.webp",
        "huge.png",
        "large.png",
        "torn.jpg",
    ]
    assert files_of(tmp_path / "stem") == ["0.png", "stemob.json"]
    summary = invert_dataset(folder, tmp_path / "small", CONFIG, max_pixels=100)
    assert "more than max_pixels=100" in summary.failed[0]
    with pytest.raises(ValueError, match="max_pixels must be 1 or more"):
        invert_dataset(folder, tmp_path / "none", CONFIG, max_pixels=0)


def test_unusual_pictures_are_converted_rightly_or_named(folder: Path, tmp_path: Path) -> None:
    unusual = test_pictures.unusual(make(folder / "unusual"))
    PIL.Image.fromarray(FRAME).save(folder / "moving.gif")
    PIL.Image.fromarray(FRAME[..., 0]).save(folder / "grey.png")
    write_image(folder / "normals/1.png", FRAME)
    palette = PIL.Image.fromarray(FRAME).quantize(16)
    palette.save(folder / "palette.png")
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.fromarray(FRAME).save(folder / "photo.jpg", exif=exif)
    summary = invert_dataset(folder, tmp_path / "stem", CONFIG)
    assert (summary.items, summary.failed) == (3, [])
    expected = {f"unusual/{path.name}" for path in unusual}
    expected |= {"moving.gif", "grey.png", "normals/1.png"}
    assert {text.split(": ")[0] for text in summary.left_out} == expected
    for name in expected:
        assert (tmp_path / "stem" / name).read_bytes() == (folder / name).read_bytes()
    pipeline = StemPipeline(CONFIG)
    upright: Any = cv2.imread(str(folder / "photo.jpg"))
    for name, pixels in (
        ("palette", np.asarray(palette.convert("RGB"))),
        ("photo", upright[..., ::-1]),
    ):
        stem = read_image(tmp_path / f"stem/{name}.png").astype(int)
        assert np.abs(stem - pipeline(np.ascontiguousarray(pixels)[None])[0]).mean() < 3
    assert verify_dataset(folder, tmp_path / "stem") == []


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_short_video_fails_by_name_or_is_kept_and_listed(folder: Path, tmp_path: Path) -> None:
    write_video(folder / "a.avi", COARSE, 20)
    data = (folder / "a.avi").read_bytes()
    (folder / "a.avi").write_bytes(data[: len(data) // 2])
    summary = invert_dataset(folder, tmp_path / "stem", CONFIG)
    assert "of 30 frames can be read" in summary.failed[0]
    assert not (tmp_path / "stem/a.avi").exists()
    summary = invert_dataset(folder, tmp_path / "kept", CONFIG, allow_short=True)
    assert summary.failed == []
    assert "of 30 frames could be read" in summary.notes[0]
    left = sum(1 for _ in read_video(folder / "a.avi", allow_short=True))
    assert sum(1 for _ in read_video(tmp_path / "kept/a.avi")) == left > 0
    assert verify_dataset(folder, tmp_path / "kept") == []


def test_times_that_vary_and_sound_are_told(folder: Path, tmp_path: Path) -> None:
    test_videos.encode(folder / "a.mp4", "mp4", "mpeg4", "yuv420p", times=[0, 1, 2, 5, 6, 9])
    summary = invert_dataset(folder, tmp_path / "stem", CONFIG)
    assert (summary.failed, len(summary.notes)) == ([], 1)
    assert "varying times" in summary.notes[0]
    assert f"note: {summary.notes[0]}" in str(summary)
