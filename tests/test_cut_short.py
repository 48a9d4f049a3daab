"""Whatever is published is the old one or the new one, killed at any step or cut off from power."""

from __future__ import annotations

import itertools
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cutting
import pytest
from publishes import CONFIGS, PUBLISHES, publish
from robomimic_files import make_file

from stemob_wrappers.datasets import invert_dataset

if not cutting.SUPPORTED:
    pytest.skip("traces system calls of Linux on x86-64", allow_module_level=True)

QUICK = ("picture", "checkpoint", "result cell", "cache entries")  # the rest is slow


@pytest.mark.parametrize("name", QUICK)
def test_killed_at_some_steps_a_file_is_old_or_new(tmp_path: Path, name: str) -> None:
    assert cut_short(tmp_path, name, True, 2, cutting.later_and_later())


@pytest.mark.slow
@pytest.mark.parametrize("old", [False, True], ids=["first", "again"])
@pytest.mark.parametrize("name", PUBLISHES)
def test_killed_at_every_step_a_file_is_old_or_new(tmp_path: Path, name: str, old: bool) -> None:
    cuts = min(10, int(os.environ.get("STEMOB_SOAK_COUNT", "10")))
    kills = cut_short(tmp_path, name, old, cuts, itertools.count(1))
    print(f"{name}: {kills} kills, {cuts * kills} power cuts")


def cut_short(tmp_path: Path, name: str, old: bool, cuts: int, steps: Iterator[int]) -> int:
    """Kill before each of the steps, cut the power there, publish again; return the kills."""
    folder, before = tmp_path / "work", tmp_path / "before"
    folder.mkdir()
    if name == "merged shards":
        make_shards(tmp_path)
    if old:
        publish(name, folder, 0)
    shutil.copytree(folder, before)
    versions = [read(name, folder), None]
    publish(name, folder, 1)
    versions[1] = read(name, folder)
    assert versions[0] != versions[1] or name == "cache entries"
    for kills, step in enumerate(steps):
        restore(before, folder)
        disk = cutting.killed(step, folder, "publishes", publish, name, folder, 1)
        if disk is None:
            return kills
        assert read(name, folder) in versions
        for number in range(cuts):
            disk.cut(random.Random(1000 * step + number))
            assert read(name, folder) in versions
        disk.close()
        publish(name, folder, 1)
        assert read(name, folder) == versions[1]
    raise AssertionError("the steps are endless")


def read(name: str, folder: Path) -> Any:
    return PUBLISHES[name].read(folder)


def restore(before: Path, folder: Path) -> None:
    cutting.empty(folder)
    shutil.copytree(before, folder, dirs_exist_ok=True)


def make_shards(folder: Path) -> None:
    source = make_file(folder / "demo.hdf5", demos=2, length=2, cameras=("front",))
    for version, config in enumerate(CONFIGS):
        for index in range(2):
            target = folder / f"shards{version}" / f"{index}.hdf5"
            invert_dataset(source, target, config, shard=(index, 2))
