"""A conversion killed at any step, and a power cut there, leave nothing that is not whole."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cutting
import numpy as np
import pytest
from cutting import CONFIG
from robomimic_files import contents, make_file

from stemob_wrappers.datasets import invert_dataset, read_provenance
from stemob_wrappers.pictures import write_image
from stemob_wrappers.videos import write_video

if not sys.platform.startswith("linux"):
    pytest.skip("forks", allow_module_level=True)

OLD = CONFIG.replace(seed=1)
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
def test_killed_at_many_steps_it_goes_on(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    cut_short_and_go_on(tmp_path, make, overwrite=True, power_cut=True, stride=4)


@pytest.mark.slow
@pytest.mark.parametrize("power_cut", [False, True])
@pytest.mark.parametrize("make", [hdf5, pictures, video])
@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_at_every_step_it_goes_on(
    tmp_path: Path, make: Callable[[Path], Path], overwrite: bool, power_cut: bool
) -> None:
    cut_short_and_go_on(tmp_path, make, overwrite, power_cut, stride=1)


def cut_short_and_go_on(
    folder: Path, make: Callable[[Path], Path], overwrite: bool, power_cut: bool, stride: int
) -> None:
    """End before calls that make, open for writing, rename or remove a file, one at a time.

    A power cut also takes back what was not yet written to the disk.
    """
    source, before = make(folder), folder / "before"
    target = folder / "work" / f"stem{source.suffix}"
    invert_dataset(source, target, CONFIG)
    new, old = state(target), None
    clear(target)
    if overwrite:
        invert_dataset(source, target, OLD)
        old = state(target)
    assert new is not None
    assert new != old
    shutil.copytree(target.parent, before)
    steps, finished, seen_late = 0, False, False
    while not finished:
        steps += 1
        shutil.rmtree(target.parent)
        shutil.copytree(before, target.parent)
        finished = convert_in_child(1 + (steps - 1) * stride, source, target, overwrite, power_cut)
        assert state(target) in (None, old, new)
        seen_late |= not finished and state(target) == new
        try:
            invert_dataset(source, target, CONFIG, overwrite=overwrite)
        except FileExistsError:  # it was finished, down to its folder of parts
            assert not overwrite
        assert state(target) == new
        assert not target.with_name(target.name + ".parts").exists()
    assert seen_late
    assert steps * stride > 20  # the steps were counted


def clear(target: Path) -> None:
    for path in sorted(target.parent.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def convert_in_child(*arguments: Any) -> bool:
    """Convert in a child that ends at a step; whether it got through instead."""
    context = get_context("forkserver")  # forked from a process without threads
    context.set_forkserver_preload(["cutting"])
    child = context.Process(target=cutting.convert_until, args=arguments)
    child.start()
    child.join(60)
    assert child.exitcode in (0, 9)
    return child.exitcode == 0
