"""Convert in this process: while the network has one item's frames, another is read or written.

A lane is a thread that takes items until none is left. Each has a memory of its own, so that what a
part holds depends on its item alone (see ``Stems.begin``), not on what the other lane is at.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from stemob_wrappers.datasets.part import Part, convert_part
from stemob_wrappers.datasets.stems import Item, Stems


def convert_in_lanes(
    reader: Any,
    paths: dict[Item, Path],
    stems: Stems,
    finish: Callable[[Item, Part | str], None],
    advance: Callable[[int], None],
) -> None:
    """Write the parts of some items, in this thread and one beside it.

    Args:
        reader: of the data set; ``has_lanes`` says whether two threads can read it.
        paths: where the part of each item goes.
        stems: of this thread.
        finish, advance: are told what was made, and of how many frames, by one lane at a time.

    Raises:
        OSError: a part cannot be written. After an error, or an interrupt, in one lane the other
            stops at its next block of frames.
    """
    items, telling, stopped = iter(paths), threading.Lock(), threading.Event()

    def advance_or_stop(frames: int) -> None:
        if stopped.is_set():
            raise _StoppedError
        with telling:
            advance(frames)

    def lane(stems: Stems) -> None:
        try:
            while not stopped.is_set() and (item := next(items, None)) is not None:
                made = convert_part(reader, item, stems, paths[item], advance_or_stop)
                with telling:
                    finish(item, made)
        except _StoppedError:
            return
        except BaseException:
            stopped.set()
            raise

    two = reader.has_lanes and len(paths) > 1
    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(lane, stems.beside()) if two else None
        lane(stems)
        if beside is not None:
            beside.result()


class _StoppedError(Exception):
    """The other lane met an error."""
