"""Whole files, digests, and worker processes that end with their parent."""

import multiprocessing
import os
import threading
from pathlib import Path


def _end_with_parent() -> None:
    """Let a worker end when the process that started it is killed; it would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "runs in workers only"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def write_text(path: Path, text: str) -> None:
    """Write a text file beside its place and rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    temporary.write_text(text)
    os.replace(temporary, path)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")
