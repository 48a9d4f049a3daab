"""The folder beside a target, ``TARGET.parts``, that a conversion works in: one process at a time.

It holds a part per item, the plan that all parts agree with, and the result until it is renamed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stemob_wrappers.datasets.parts import remove
from stemob_wrappers.datasets.provenance import sidecar_of

PARTS_SUFFIX = ".parts"


def check_parts_folder(target: Path) -> None:
    """Refuse a folder in the place of the parts that no conversion made.

    Raises:
        ValueError: there is one.
    """
    folder = parts_folder(target)
    names = {path.name for path in folder.glob("*")}
    if "plan.json" not in names and names - {"lock", "plan.tmp"}:
        raise ValueError(
            f"{folder} is needed for the parts of the conversion, but holds something else; "
            "move it away, or name another target"
        )


@contextlib.contextmanager
def locked_parts(target: Path) -> Iterator[Path]:
    """Hold the folder of parts; the lock goes with the process, however it ends.

    Raises:
        BlockingIOError: another process holds it.
    """
    folder = parts_folder(target)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _same_file(lock.fileno(), folder / "lock"):  # the other one just finished
                raise BlockingIOError
        except BlockingIOError:
            raise BlockingIOError(
                f"another process is converting to {target}; wait for it, or name another target"
            ) from None
        try:
            yield folder
        except BaseException:
            if not list(folder.glob("plan.json")):  # nothing begun: leave no trace
                shutil.rmtree(folder, ignore_errors=True)
            raise


def check_plan(folder: Path, plan: dict[str, Any], overwrite: bool) -> None:
    """Keep the parts of an earlier run with the same plan; refuse or remove other ones.

    Raises:
        FileExistsError: there are parts of another plan, and they may not be overwritten.
    """
    path = folder / "plan.json"
    if path.exists():
        before = json.loads(path.read_text())
        differing = [name for name in plan if before.get(name) != plan[name]]
        if not differing:
            return
        if not overwrite:
            raise FileExistsError(
                f"{folder} holds parts of another conversion ({', '.join(differing)} differ); "
                "finish it with the same arguments, or remove that folder or --overwrite"
            )
    remove_parts(folder)
    temporary = folder / "plan.tmp"
    temporary.write_text(json.dumps(plan, indent=2))
    os.replace(temporary, path)


def publish(assembled: Path, target: Path, folder: Path) -> None:
    """Rename a finished result to its target; what describes a single video goes first."""
    if target.is_dir():
        os.rename(target, folder / "replaced")
    sidecar = sidecar_of(assembled)
    if assembled.is_file() and sidecar.is_file():
        os.replace(sidecar, sidecar_of(target))
    os.replace(assembled, target)


def remove_parts(folder: Path) -> None:
    """Remove all but lock and plan: they show whose folder it is, should this be cut short."""
    for item in folder.iterdir():
        if item.name not in ("lock", "plan.json"):
            remove(item)


def parts_folder(target: Path) -> Path:
    """Where the parts of a conversion lie until its result is whole."""
    return target.with_name(target.name + PARTS_SUFFIX)


def _same_file(descriptor: int, path: Path) -> bool:
    return path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())
