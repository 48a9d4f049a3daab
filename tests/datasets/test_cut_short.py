"""A conversion killed at any step, and a power cut there, leave nothing that is not whole."""

from __future__ import annotations

import itertools
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cutting
import numpy as np
import publishes
import pytest
from robomimic_files import contents, make_file

from stemob_wrappers.datasets import invert_dataset, read_provenance
from stemob_wrappers.pictures import write_image
from stemob_wrappers.videos import write_video

if not cutting.SUPPORTED:
    pytest.skip("traces system calls of Linux on x86-64", allow_module_level=True)

CONFIG = publishes.CONFIGS[1]
FRAMES = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)


def hdf5(folder: Path) -> Path:
    return make_file(folder / "demo.hdf5", demos=2, length=2, cameras=("front",))


def pictures(folder: Path) -> Path:
    for name, frame in zip(("0.png", "a/1.png"), FRAMES, strict=False):
        write_image(folder / "frames" / name, frame)
    (folder / "frames/a/notes.txt").write_text("kept")
    return folder / "frames"


def video(folder: Path) -> Path:
    write_video(folder / "demo.avi", FRAMES, 20)
    return folder / "demo.avi"


def state(target: Path) -> Any:
    """Everything in a data set with what describes it; None where there is none."""
    if not target.exists():
        return None
    if target.suffix == ".hdf5":
        return contents(target)
    if target.is_dir():
        files = sorted(path for path in target.rglob("*") if path.is_file())
        return {str(path.relative_to(target)): path.read_bytes() for path in files}
    return target.read_bytes(), read_provenance(target)["fingerprint"]


@pytest.mark.parametrize("make", [hdf5, pictures, video])
def test_killed_at_some_steps_it_goes_on(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    assert cut_short_and_go_on(tmp_path, make, True, cutting.later_and_later())


@pytest.mark.slow
@pytest.mark.parametrize("make", [hdf5, pictures, video])
@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_at_every_step_it_goes_on(
    tmp_path: Path, make: Callable[[Path], Path], overwrite: bool
) -> None:
    steps = itertools.count(1, 20 if "STEMOB_SOAK_COUNT" in os.environ else 1)
    kills = cut_short_and_go_on(tmp_path, make, overwrite, steps)
    print(f"{make.__name__}: {kills} kills and {kills} power cuts")


def test_a_result_removed_before_its_parts_is_not_replaced_by_half_a_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three runs: published and killed; removed, and killed while assembling; the last."""
    source, target = hdf5(tmp_path), tmp_path / "stem.hdf5"
    invert_dataset(source, target, CONFIG)
    whole = contents(target)

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    def tear(folder: Path, plan: object, assembled: Path, finished: object) -> None:
        os.truncate(assembled, 100)
        raise KeyboardInterrupt

    for name, end in (("tidy", kill), ("mark_assembled", tear)):
        target.unlink()
        with monkeypatch.context() as patch:
            patch.setattr(f"stemob_wrappers.datasets.invert.{name}", end)
            with pytest.raises(KeyboardInterrupt):
                invert_dataset(source, target, CONFIG)
    invert_dataset(source, target, CONFIG)
    assert contents(target) == whole


def cut_short_and_go_on(
    folder: Path, make: Callable[[Path], Path], overwrite: bool, steps: Iterator[int]
) -> int:
    """Kill before system calls that change a file, by their number; cut the power there, too.

    Returns:
        the number of kills.
    """
    source, before = make(folder), folder / "before"
    target = folder / "work" / f"stem{source.suffix}"
    target.parent.mkdir()
    publishes.convert(source, target, 1, False)
    new, old = state(target), None
    cutting.empty(target.parent)
    if overwrite:
        publishes.convert(source, target, 0, False)
        old = state(target)
    assert new is not None
    assert new != old
    shutil.copytree(target.parent, before)
    killed_at: list[int] = []
    seen_late = False
    for step in steps:
        restore(before, target.parent)
        work = (publishes.convert, source, target, 1, overwrite)
        disk = cutting.killed(step, target.parent, "publishes", *work)
        if disk is None:
            break
        killed_at.append(step)
        seen_late |= state(target) == new
        go_on(source, target, overwrite, old, new)
        disk.cut(random.Random(step))
        disk.close()
        go_on(source, target, overwrite, old, new)
    every = killed_at == list(range(1, len(killed_at) + 1))
    assert seen_late or not every
    assert killed_at[-1] > 20  # the steps were counted
    return len(killed_at)


def go_on(source: Path, target: Path, overwrite: bool, old: Any, new: Any) -> None:
    assert state(target) in (None, old, new)
    try:
        publishes.convert(source, target, 1, overwrite)
    except FileExistsError:  # it was finished, down to its folder of parts
        assert not overwrite
    assert state(target) == new
    assert not target.with_name(target.name + ".parts").exists()


def restore(before: Path, folder: Path) -> None:
    cutting.empty(folder)
    shutil.copytree(before, folder, dirs_exist_ok=True)
