"""Write the parts of a conversion: in this process or in several, with a progress bar."""

from __future__ import annotations

import contextlib
import fcntl
import json
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from stemob_wrappers.datasets.stems import CorruptSourceError, Item, Stems
from stemob_wrappers.stem.provenance import sidecar_of


@dataclass
class Summary:
    """What a conversion did.

    Attributes:
        target: the converted data set.
        contact_sheet: HTML page of frames before and after, or None for a shard, and where it
            could not be written.
        items: trajectories, or groups of files, in the result.
        resumed: of them, found done by an earlier run.
        frames: frames converted by this run.
        seconds: time that took.
        failed: what could not be read, with the reason; the rest is in the result.
    """

    target: Path
    contact_sheet: Path | None = None
    items: int = 0
    resumed: int = 0
    frames: int = 0
    seconds: float = 0.0
    failed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        rate = self.frames / self.seconds if self.seconds else 0.0
        lines = [
            f"{self.target}: {self.items} items, {self.resumed} of them from an earlier run; "
            f"{self.frames} frames in {self.seconds:.1f} s ({rate:.0f} frames/s)"
        ]
        if self.contact_sheet is not None:
            lines.append(f"before and after: {self.contact_sheet}")
        return "\n".join([*lines, *(f"left out: {failure}" for failure in self.failed)])


def convert_items(
    reader: Any,
    items: list[Item],
    folder: Path,
    stems: Stems,
    summary: Summary,
    workers: int,
    worker_settings: dict[str, Any],
    show: bool,
) -> dict[Item, Path]:
    """Write the parts that are missing; return all there are."""
    paths = {item: folder / f"{item.name}{reader.part_suffix}" for item in items}
    missing = [item for item in items if not paths[item].exists()]
    summary.resumed = len(items) - len(missing)
    started = time.perf_counter()
    with _bar(show) as bar, explained(folder):
        total = sum(reader.count(item) for item in missing) if show else None
        task = bar.add_task("inverting", total=total, rate="")

        def advance(frames: int) -> None:
            summary.frames += frames
            rate = summary.frames / max(1e-9, time.perf_counter() - started)
            bar.update(task, advance=frames, rate=f"{rate:.0f} frames/s")

        if workers == 1 or len(missing) < 2:
            for item in missing:
                summary.failed += _convert(reader, item, stems, paths[item], advance)
        else:
            _convert_in_processes(
                reader,
                missing,
                paths,
                min(workers, len(missing)),
                worker_settings,
                summary.failed,
                advance,
            )
    summary.seconds = time.perf_counter() - started
    return {item: path for item, path in paths.items() if path.exists()}


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Say with a failure to write what is kept, and how to go on."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        for path in folder.iterdir():
            if ".tmp" in path.name or path.stem == "assembled":
                remove(path)
        kept = len([path for path in folder.iterdir() if path.name.startswith(("demo_", "item_"))])
        raise OSError(
            f"the conversion stopped: {error}. The source is untouched and {kept} finished parts "
            f"are kept in {folder}; free space there if the disk is full, then run the same "
            "command again to go on"
        ) from error


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _convert(
    reader: Any, item: Item, stems: Stems, path: Path, advance: Callable[[int], None]
) -> list[str]:
    """Write one part; return what could not be read."""
    temporary = path.with_name(f"{path.stem}.tmp{os.getpid()}{path.suffix}")
    try:
        failed = reader.convert(item, stems, temporary, advance)
    except CorruptSourceError as error:
        remove(temporary)
        return [f"{item.name}: {error}"]
    os.rename(temporary, path)
    return failed


def _convert_in_processes(
    reader: Any,
    items: list[Item],
    paths: dict[Item, Path],
    workers: int,
    settings: dict[str, Any],
    failed: list[str],
    advance: Callable[[int], None],
) -> None:
    threads = max(1, torch.get_num_threads() // workers)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start_worker, initargs=(threads, settings)
    )
    try:
        futures = [pool.submit(_work, reader, item, paths[item]) for item in items]
        for future in as_completed(futures):
            failures, frames = future.result()
            failed += failures
            advance(frames)
    except BrokenProcessPool as error:
        raise OSError(
            "a worker process died: it ran out of memory (use fewer workers or smaller batches), "
            "or the script that started the conversion lacks 'if __name__ == \"__main__\":' around "
            "what it runs"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_worker_stems: Stems | None = None


def _start_worker(threads: int, settings: dict[str, Any]) -> None:
    global _worker_stems
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    _worker_stems = Stems(**settings)


def _end_with_parent() -> None:
    """Leave at once when the parent has died: it can no longer take the work, nor end this."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(reader: Any, item: Item, path: Path) -> tuple[list[str], int]:
    assert _worker_stems is not None
    counts: list[int] = []
    failed = _convert(reader, item, _worker_stems, path, counts.append)
    return failed, sum(counts)


def _bar(show: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not show,
    )


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
