"""Runs in a process of its own: a conversion that ends at a step, as by a kill or a power cut."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets import invert_dataset

CONFIG = StemConfig(inversion_steps=5)


def convert_until(step: int, source: Path, target: Path, overwrite: bool, power_cut: bool) -> None:
    """Convert, and end this process before a step that changes a file, or with 0 after all."""
    folder = target.parent
    disk = _Disk(folder)
    left = [step]

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if _changes(event, arguments, folder):
            left[0] -= 1
            if not left[0]:
                left[0] = -1  # what follows here is not counted
                if power_cut:
                    disk.cut()
                os._exit(9)

    sys.addaudithook(watch)
    invert_dataset(source, target, CONFIG, overwrite=overwrite)
    os._exit(0)


def _changes(event: str, arguments: tuple[Any, ...], folder: Path) -> bool:
    if event == "open":
        path, _, flags = arguments
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        return bool(writes) and str(path).startswith(str(folder))
    return event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir")


class _Disk:
    """What of the files below a folder is on the disk, as the calls for that say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sizes: dict[int, int] = {}  # by inode
        for path in folder.rglob("*"):
            self.sizes[path.stat().st_ino] = path.stat().st_size
        fsync = os.fsync

        def sync_one(descriptor: int) -> None:
            fsync(descriptor)
            status = os.fstat(descriptor)
            self.sizes[status.st_ino] = status.st_size

        os.fsync = sync_one

    def cut(self) -> None:
        for path in self.folder.rglob("*"):
            status = path.stat()
            if path.is_file() and self.sizes.get(status.st_ino, 0) < status.st_size:
                os.truncate(path, self.sizes.get(status.st_ino, 0))
