"""Whole files, digests, and worker processes that end with their parent."""

import contextlib
import hashlib
import json
import multiprocessing
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def whole_file(path: Path, *, sync: bool = False) -> Iterator[Path]:
    """Give a temporary path beside ``path``, and rename it there when the block ends well.

    A reader sees the old file or the new one, never half of it, after a power cut too: its bytes
    are on the disk before it gets its name. After an error nothing is left. The folder is made if
    missing.

    Args:
        path: where the file goes; the temporary path has the same suffix.
        sync: wait for the name as well, so that what is done next comes after it on the disk.

    Raises:
        FileNotFoundError: the block wrote nothing to the temporary path.

    Example:
        >>> with whole_file(Path("settings.json")) as temporary:
        ...     _ = temporary.write_text("{}")
        >>> Path("settings.json").read_text()
        '{}'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp{path.suffix}")
    try:
        yield temporary
        sync_to_disk(temporary)
        os.replace(temporary, path)
        if sync:
            sync_to_disk(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, sync: bool = False) -> None:
    """Write a text file whole or not at all, as UTF-8.

    Example:
        >>> write_text(Path("new") / "note.txt", "one line")
        >>> Path("new/note.txt").read_text()
        'one line'
    """
    with whole_file(path, sync=sync) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sync_to_disk(path: Path) -> None:
    """Wait until a file's bytes, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digest(settings: Any, *, size: int = 16) -> str:
    """Hash JSON values to ``2 * size`` hexadecimal digits; the order of keys does not matter.

    Raises:
        TypeError: a value that JSON does not have.

    Example:
        >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
        True
        >>> len(digest({}, size=6))
        12
    """
    text = json.dumps(settings, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()


def file_digest(path: Path) -> str:
    """Hash a file's bytes to 32 hexadecimal digits.

    Raises:
        OSError: the file cannot be read.

    Example:
        >>> write_text(Path("a.txt"), "one line")
        >>> len(file_digest(Path("a.txt")))
        32
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def spawn_pool(
    workers: int, initializer: Callable[..., None] | None = None, initargs: tuple[Any, ...] = ()
) -> ProcessPoolExecutor:
    """Start fresh processes that end with this one, however it ends.

    They are spawned, not forked: a process that has rendered, or runs threads, must not be forked.

    Args:
        workers: how many.
        initializer, initargs: what each of them calls first.

    Example:
        >>> with spawn_pool(1) as pool:
        ...     pool.submit(max, 2, 3).result()
        3
    """
    return ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(initializer, initargs),
    )


def _start_worker(initializer: Callable[..., None] | None, initargs: tuple[Any, ...]) -> None:
    _end_with_parent()
    if initializer is not None:
        initializer(*initargs)


def _end_with_parent() -> None:
    """Let a worker end when the process that started it is killed; it would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "runs in workers only"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
