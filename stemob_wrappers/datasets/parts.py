"""Write the parts of a conversion: in this process or in several, with a progress bar."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from stemob_wrappers.extras import needs

with needs("datasets"):
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

from stemob_wrappers.datasets.lanes import convert_in_lanes
from stemob_wrappers.datasets.part import Part, convert_part
from stemob_wrappers.datasets.plan import DONE, remove
from stemob_wrappers.datasets.ray import convert_on_cluster
from stemob_wrappers.datasets.stems import Item, Stems
from stemob_wrappers.work import file_digest, spawn_pool


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
        left_out: what looks like pictures and is in the result as it was, with the reason.
        notes: what was converted, but not as one may expect.
    """

    target: Path
    contact_sheet: Path | None = None
    items: int = 0
    resumed: int = 0
    frames: int = 0
    seconds: float = 0.0
    failed: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        rate = self.frames / self.seconds if self.seconds else 0.0
        lines = [
            f"{self.target}: {self.items} items, {self.resumed} of them from an earlier run; "
            f"{self.frames} frames in {self.seconds:.1f} s ({rate:.0f} frames/s)"
        ]
        if self.contact_sheet is not None:
            lines.append(f"before and after: {self.contact_sheet}")
        lines += [f"left out: {failure}" for failure in self.failed]
        lines += [f"left as it was: {what}" for what in self.left_out]
        lines += [f"note: {note}" for note in self.notes]
        return printable("\n".join(lines))


def printable(text: str) -> str:
    r"""Return text that UTF-8 can write: names of files may hold any bytes.

    Example:
        >>> printable("caf\udce9.png")
        'caf\\xe9.png'
    """
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


def convert_items(
    reader: Any,
    items: list[Item],
    folder: Path,
    stems: Stems,
    summary: Summary,
    engine: str,
    workers: int | None,
    worker_settings: dict[str, Any],
    show: bool,
) -> dict[Item, Path]:
    """Write the parts that are missing, torn or of a source that has changed; return all.

    Args:
        engine: ``"local"``, ``"ray"`` or ``"ray=ADDRESS"``; the parts are the same.
        workers: processes, or actors; None for one, or for as many as the cluster has room for.
        worker_settings: what each of them makes its stems with.
        show: a bar.
    """
    paths = {item: folder / f"{item.name}{reader.part_suffix}" for item in items}
    parts = _sound_parts(reader, paths, folder)
    missing = [item for item in items if item.name not in parts]
    summary.resumed = len(items) - len(missing)
    failures: dict[Item, str] = {}
    started = time.perf_counter()
    with _bar(show) as bar, explained(folder), open(folder / DONE, "a") as done:
        total = sum(reader.count(item) for item in missing) if show else None
        task = bar.add_task("inverting", total=total, rate="")

        def advance(frames: int) -> None:
            summary.frames += frames
            rate = summary.frames / max(1e-9, time.perf_counter() - started)
            bar.update(task, advance=frames, rate=f"{rate:.0f} frames/s")

        def finish(item: Item, made: Part | str) -> None:
            if isinstance(made, str):
                failures[item] = made
                return
            parts[item.name] = made
            # In a line of its own, whatever a run that was cut short has left. It needs no wait
            # for the disk: a part that is not listed, or whose name is lost, is made again.
            done.write(f"\n{json.dumps(asdict(made))}\n")
            done.flush()

        lacking = {item: paths[item] for item in missing}
        if engine != "local" and missing:
            settings = {**worker_settings, "device": stems.pipelines[0].device}
            convert_on_cluster(reader, lacking, workers, settings, finish, advance)
        elif workers in (None, 1) or len(missing) < 2:
            convert_in_lanes(reader, lacking, stems, finish, advance)
        else:
            workers = min(workers or 1, len(missing))
            _convert_in_processes(reader, missing, paths, workers, worker_settings, finish, advance)
    summary.seconds = time.perf_counter() - started
    summary.failed += [failures[item] for item in items if item in failures]
    summary.notes += [
        note for item in items if item.name in parts for note in parts[item.name].notes
    ]
    return {item: path for item, path in paths.items() if item.name in parts}


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Say with a failure to write what is kept, and how to go on."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        for path in folder.iterdir():
            if ".tmp" in path.name or path.name.startswith("assembled"):
                remove(path)
        kept = len([path for path in folder.iterdir() if path.name.startswith(("demo_", "item_"))])
        raise OSError(
            f"the conversion stopped: {error}. The source is untouched and {kept} finished parts "
            f"are kept in {folder}; free space there if the disk is full, then run the same "
            "command again to go on"
        ) from error


def _sound_parts(reader: Any, paths: dict[Item, Path], folder: Path) -> dict[str, Part]:
    """The parts of earlier runs that are whole and made of the source as it is now."""
    listed: dict[str, Part] = {}
    if (folder / DONE).exists():
        for line in (folder / DONE).read_bytes().splitlines():
            with contextlib.suppress(ValueError, TypeError):  # torn
                part = Part(**json.loads(line))
                listed[part.name] = part
    return {
        item.name: listed[item.name]
        for item, path in paths.items()
        if item.name in listed
        and path.is_file()
        and listed[item.name].digest == file_digest(path)
        and listed[item.name].stamp == reader.stamp(item)
    }


def _convert_in_processes(
    reader: Any,
    items: list[Item],
    paths: dict[Item, Path],
    workers: int,
    settings: dict[str, Any],
    finish: Callable[[Item, Part | str], None],
    advance: Callable[[int], None],
) -> None:
    threads = max(1, torch.get_num_threads() // workers)
    pool = spawn_pool(workers, _start_worker, (threads, settings))
    try:
        futures = {pool.submit(_work, reader, item, paths[item]): item for item in items}
        for future in as_completed(futures):
            made, frames = future.result()
            finish(futures[future], made)
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
    torch.set_num_threads(threads)
    _worker_stems = Stems(**settings)


def _work(reader: Any, item: Item, path: Path) -> tuple[Part | str, int]:
    assert _worker_stems is not None
    counts: list[int] = []
    made = convert_part(reader, item, _worker_stems, path, counts.append)
    return made, sum(counts)


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
