"""The folder of parts of a conversion: its lock, its plan, and how its result is published.

``TARGET.parts`` holds a lock, the plan, a list of finished parts and the parts. Every step can be
cut short, by a power cut too, and is repeated by the next run: files that are resumed from are on
the disk before they get their names.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stemob_wrappers.made_by import is_converted, read_provenance, sidecar_of
from stemob_wrappers.work import sync_to_disk, write_text

try:
    import fcntl
except ImportError as error:
    raise ImportError(
        "converting a data set needs fcntl.flock, which this platform lacks (Windows): convert it "
        "on Linux or macOS, or frame by frame with StemPipeline"
    ) from error

PARTS_SUFFIX = ".parts"
LOCK, PLAN, DONE, REPLACED = "lock", "plan.json", "done.jsonl", "replaced"
_OURS = re.compile(
    r"lock|plan\.json|done\.jsonl|replaced|assembled.*|(demo|item)_\d+(_\d+)?(\.hdf5|\.npz)?"
    r"|\.[0-9a-f]{32}\.tmp.*"
)


def parts_folder(target: Path) -> Path:
    """Where the parts of a conversion lie until its result is whole."""
    return target.with_name(target.name + PARTS_SUFFIX)


def target_of(assembled: Path) -> Path:
    """Where a result that is assembled among the parts will lie.

    Example:
        >>> target_of(parts_folder(Path("stem-v0")) / "assembled")
        PosixPath('stem-v0')
    """
    folder = assembled.parent
    return folder.with_name(folder.name.removesuffix(PARTS_SUFFIX))


def check_parts_folder(target: Path) -> None:
    """Refuse a folder in the place of the parts that no conversion made.

    Raises:
        ValueError: there is one.
    """
    folder = parts_folder(target)
    if not all(_OURS.fullmatch(path.name) for path in folder.glob("*")):
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
    with open(folder / LOCK, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _same_file(lock.fileno(), folder / LOCK):  # the other one just finished
                raise BlockingIOError
        except BlockingIOError:
            raise BlockingIOError(
                f"another process is converting to {target}; wait for it, or name another target"
            ) from None
        try:
            yield folder
        except BaseException:
            if not is_begun(folder):  # leave no trace
                shutil.rmtree(folder, ignore_errors=True)
            raise


def is_begun(folder: Path) -> bool:
    """Whether a conversion has begun in a folder of parts: it has a plan, if only a torn one."""
    return (folder / PLAN).exists()


def finished_run(
    folder: Path, plan: dict[str, Any], assembled: Path, target: Path
) -> dict[str, Any] | None:
    """Return what :func:`mark_assembled` noted, if only the end of publishing is missing."""
    state = _read_plan(folder) or {}
    if state.get("plan") != plan or "finished" not in state:
        return None
    published = target.exists() and is_converted(target)
    if published:
        published = read_provenance(target)["fingerprint"] == plan["fingerprint"]
    return state["finished"] if assembled.exists() or published else None


def check_plan(folder: Path, plan: dict[str, Any], overwrite: bool) -> None:
    """Keep the parts of an earlier run with the same plan; refuse or remove other ones.

    A plan that is torn, as after a power cut, is no plan: its parts are made again.

    Raises:
        FileExistsError: there are parts of another plan, and they may not be overwritten.
    """
    state = _read_plan(folder)
    if state is not None:
        differing = [name for name in plan if state["plan"].get(name) != plan[name]]
        if not differing:
            if "finished" in state:  # and removed since: what is assembled now is not whole yet
                _write_plan(folder, {"plan": plan})
            return
        if not overwrite:
            raise FileExistsError(
                f"{folder} holds parts of another conversion ({', '.join(differing)} differ); "
                "finish it with the same arguments, or remove that folder or --overwrite"
            )
    remove_parts(folder)
    _write_plan(folder, {"plan": plan})


def mark_assembled(
    folder: Path, plan: dict[str, Any], assembled: Path, finished: dict[str, Any]
) -> None:
    """Note that the result is whole, so that a run cut short from here on only publishes it."""
    for path in (*assembled.rglob("*"), assembled, sidecar_of(assembled), folder):
        # A file of two names is a part, too, and on the disk already.
        if path.exists() and (path.is_dir() or path.stat().st_nlink == 1):
            sync_to_disk(path)
    _write_plan(folder, {"plan": plan, "finished": finished})


def publish(assembled: Path, target: Path, folder: Path) -> None:
    """Rename a finished result to its target; what describes a single video goes first."""
    if not assembled.exists():
        return  # done by a run that was cut short
    if os.path.lexists(target) and (target.is_dir() or assembled.is_dir()):
        remove(folder / REPLACED)
        os.rename(target, folder / REPLACED)
    sidecar = sidecar_of(assembled)
    if assembled.is_file() and sidecar.is_file():
        target.unlink(missing_ok=True)  # no old video beside a new description
        os.replace(sidecar, sidecar_of(target))
    os.replace(assembled, target)
    sync_to_disk(target.parent)


def tidy(folder: Path) -> None:
    """Remove the folder of a published result; the plan goes late, to show whose folder it is."""
    remove_parts(folder)
    (folder / PLAN).unlink(missing_ok=True)
    (folder / LOCK).unlink()
    folder.rmdir()


def remove_parts(folder: Path) -> None:
    """Remove all but lock and plan: they show whose folder it is, should this be cut short."""
    for item in folder.iterdir():
        if item.name not in (LOCK, PLAN):
            remove(item)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder, or nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _read_plan(folder: Path) -> dict[str, Any] | None:
    try:
        state = json.loads((folder / PLAN).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    whole = isinstance(state, dict) and isinstance(state.get("plan"), dict)
    return state if whole else None


def _write_plan(folder: Path, state: dict[str, Any]) -> None:
    write_text(folder / PLAN, json.dumps(state, indent=2), sync=True)


def _same_file(descriptor: int, path: Path) -> bool:
    return path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())
