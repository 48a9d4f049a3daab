"""What an earlier run left is used if it is whole and of the source as it is now."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from robomimic_files import contents, make_file

from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets import invert_dataset, verify_dataset
from stemob_wrappers.pictures import read_image, write_image

CONFIG = StemConfig(inversion_steps=5)
FRAMES = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)


@pytest.fixture(params=["folder", "hdf5"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "hdf5":
        return make_file(tmp_path / "demo.hdf5", demos=3, length=2, cameras=("front",))
    for index in range(3):
        write_image(tmp_path / f"frames/{index}.png", FRAMES[index])
    return tmp_path / "frames"


def interrupted(source: Path, target: Path) -> list[Path]:
    """Stop when all parts are there; return them."""

    def stop(path: Path) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stemob_wrappers.datasets.invert.remove", stop)
        with pytest.raises(KeyboardInterrupt):
            invert_dataset(source, target, CONFIG)
    folder = target.with_name(target.name + ".parts")
    return sorted(path for path in folder.iterdir() if path.name.startswith(("demo_", "item_")))


def state(target: Path) -> Any:
    if target.suffix == ".hdf5":
        return contents(target)
    return {path.name: path.read_bytes() for path in target.iterdir()}


@pytest.mark.parametrize("size", [0, 0.5, 1])
def test_a_torn_part_is_made_again(source: Path, tmp_path: Path, size: float) -> None:
    target = tmp_path / f"stem{source.suffix}"
    invert_dataset(source, target, CONFIG)
    expected = state(target)
    other = tmp_path / f"other{source.suffix}"
    part = interrupted(source, other)[1]
    if size == 1:  # of the right size, with other bytes
        data = bytearray(part.read_bytes())
        data[len(data) // 2] ^= 1
        part.write_bytes(data)
    else:
        os.truncate(part, int(size * part.stat().st_size))
    assert invert_dataset(source, other, CONFIG).resumed == 2
    assert state(other) == expected
    assert verify_dataset(source, other) == []


@pytest.mark.parametrize("torn", [b"", b'{"name": "demo_1", "dig', b"\0" * 40, b"[1]\n{}\nnull\n"])
def test_a_torn_list_of_parts_costs_only_time(source: Path, tmp_path: Path, torn: bytes) -> None:
    target = tmp_path / f"stem{source.suffix}"
    listed = interrupted(source, target)[0].with_name("done.jsonl")
    lines = listed.read_bytes().split(b"\n")
    listed.write_bytes(b"\n".join([*lines[:2], torn]))
    summary = invert_dataset(source, target, CONFIG)
    assert (summary.items, summary.resumed, summary.failed) == (3, 1, [])
    assert verify_dataset(source, target) == []


@pytest.mark.parametrize("torn", [b"", b"[]", b'{"plan": ', b'{"plan": 1}', b"\0\0\0"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_torn_plan_is_made_again(
    source: Path, tmp_path: Path, torn: bytes, overwrite: bool
) -> None:
    target = tmp_path / f"stem{source.suffix}"
    interrupted(source, target)[0].with_name("plan.json").write_bytes(torn)
    summary = invert_dataset(source, target, CONFIG, overwrite=overwrite)
    assert (summary.items, summary.resumed) == (3, 0)
    assert not target.with_name(target.name + ".parts").exists()


def test_what_a_torn_plan_lies_beside_is_not_removed(source: Path, tmp_path: Path) -> None:
    target = tmp_path / f"stem{source.suffix}"
    theirs = tmp_path / f"{target.name}.parts/notes.txt"
    theirs.parent.mkdir()
    theirs.write_text("precious")
    (theirs.parent / "plan.json").touch()
    with pytest.raises(ValueError, match="holds something else"):
        invert_dataset(source, target, CONFIG, overwrite=True)
    assert theirs.read_text() == "precious"


@pytest.mark.parametrize("keep_time", [False, True])
def test_a_picture_changed_in_place_is_converted_again(tmp_path: Path, keep_time: bool) -> None:
    for index in range(3):
        write_image(tmp_path / f"frames/{index}.png", FRAMES[index])
    changed, target = tmp_path / "frames/1.png", tmp_path / "stem"
    interrupted(tmp_path / "frames", target)
    before = changed.stat()
    write_image(changed, FRAMES[3])
    if keep_time:
        os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert invert_dataset(tmp_path / "frames", target, CONFIG).resumed == 2
    assert verify_dataset(tmp_path / "frames", target) == []


def test_a_picture_changed_while_it_is_read_fails_by_name(tmp_path: Path) -> None:
    from stemob_wrappers.datasets.pictures import source as pictures

    write_image(tmp_path / "frames/0.png", FRAMES[0])

    def read_and_change(path: Path, **options: Any) -> Any:
        image = read_image(path, **options)
        write_image(path, FRAMES[1])
        return image

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "read_image", read_and_change)
        summary = invert_dataset(tmp_path / "frames", tmp_path / "stem", CONFIG)
    assert summary.failed == ["item_0_0: 0.png: changed while it was read"]


def test_other_files_in_the_places_of_the_old_are_another_conversion(tmp_path: Path) -> None:
    for index in range(3):
        write_image(tmp_path / f"frames/{index}.png", FRAMES[index])
    interrupted(tmp_path / "frames", tmp_path / "stem")
    (tmp_path / "frames/1.png").rename(tmp_path / "frames/9.png")
    with pytest.raises(FileExistsError, match="items differ"):
        invert_dataset(tmp_path / "frames", tmp_path / "stem", CONFIG)


def test_a_target_beside_an_unfinished_run_is_told(source: Path, tmp_path: Path) -> None:
    target = tmp_path / f"stem{source.suffix}"
    interrupted(source, target)
    target.write_text("precious")
    with pytest.raises(FileExistsError, match=r"there already.*\.parts holds what another"):
        invert_dataset(source, target, CONFIG)
    assert target.read_text() == "precious"
