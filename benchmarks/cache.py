"""What does a cached frame cost? Hits in memory and on disk against hashing, copying and reading.

    python benchmarks/cache.py

Microseconds a frame through StemPipeline, batch and threads as given; the same frames are hashed
(blake2b, as the pipeline does), copied, and read from plain files in the same run. Bars: a memory
hit <= 2.5 x (hash + copy), a warm disk hit <= 2.5 x (hash + read), and a second epoch over 5,000
frames calls the inverter never and takes <= 100 us a frame.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import random_frames, report, seconds_per_call
from numpy.typing import NDArray

from stemob_wrappers import FrameCache, StemConfig, StemPipeline
from stemob_wrappers.stem.identity import frame_digest

SIZES = (84, 128)
BATCHES = (1, 64)
THREADS = (1, 4)
BAR = 2.5
BAR_EPOCH_US = 100.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=256, help="frames held for each row")
    parser.add_argument("--epoch", type=int, default=5000, help="frames of the second epoch")
    parser.add_argument("--budget", type=float, default=1.0, help="seconds for each figure")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            frames = random_frames(arguments.frames, size)
            for batch in BATCHES:
                for threads in THREADS:
                    rows.append(measure(Path(folder), frames, batch, threads, arguments.budget))
        epoch = second_epoch(Path(folder) / "epoch", arguments.epoch)
    columns = ("size", "batch", "threads", "hash", "copy", "read", "memory", "disk", "memory_ratio",
               "disk_ratio")  # fmt: skip
    worst = {name: max(row[name] for row in rows) for name in ("memory_ratio", "disk_ratio")}
    met = max(worst.values()) <= BAR
    met &= epoch["inverter_calls"] == 0 and epoch["us_a_frame"] <= BAR_EPOCH_US
    report("cache", columns, rows, unit="us a frame", second_epoch=epoch, worst=worst, met=met)


def measure(
    folder: Path, frames: NDArray[np.uint8], batch: int, threads: int, budget: float
) -> dict[str, Any]:
    """Time hits and what they are measured against, for one size, batch and number of threads."""
    size = frames.shape[1]
    place = folder / f"{size}-{batch}-{threads}"
    files = [place / "plain" / str(index) for index in range(len(frames))]
    files[0].parent.mkdir(parents=True)
    for file, frame in zip(files, frames, strict=True):
        file.write_bytes(frame.tobytes())
    pipelines = {
        "memory": StemPipeline(StemConfig(), FrameCache(memory_bytes=2 * frames.nbytes)),
        "disk": StemPipeline(StemConfig(), FrameCache(place / "cache", memory_bytes=0)),
    }
    for pipeline in pipelines.values():
        pipeline(frames)
    parts = np.array_split(np.arange(len(frames)), threads)

    def timed(work: Callable[[NDArray[np.int64]], None]) -> float:
        return 1e6 * seconds_per_call(lambda: in_threads(work, parts), budget=budget) / len(frames)

    def hash_all(part: NDArray[np.int64]) -> None:
        for index in part:
            frame_digest(frames[index])

    def copy_all(part: NDArray[np.int64]) -> None:
        for index in part:
            frames[index].copy()

    def read_all(part: NDArray[np.int64]) -> None:
        for index in part:
            files[index].read_bytes()

    def hits(pipeline: StemPipeline) -> Callable[[NDArray[np.int64]], None]:
        def run(part: NDArray[np.int64]) -> None:
            for start in range(part[0], part[-1] + 1, batch):
                pipeline(frames[start : min(start + batch, part[-1] + 1)])

        return run

    row: dict[str, Any] = {"size": size, "batch": batch, "threads": threads}
    row |= {"hash": timed(hash_all), "copy": timed(copy_all), "read": timed(read_all)}
    for name, pipeline in pipelines.items():
        before = pipeline.stats.inverter_calls
        row[name] = timed(hits(pipeline))
        assert pipeline.stats.inverter_calls == before, f"{name}: a hit called the inverter"
    row["memory_ratio"] = row["memory"] / (row["hash"] + row["copy"])
    row["disk_ratio"] = row["disk"] / (row["hash"] + row["read"])
    return row


def in_threads(work: Callable[[NDArray[np.int64]], None], parts: list[NDArray[np.int64]]) -> None:
    """Do the work of each part in a thread of its own; one part in this one."""
    if len(parts) == 1:
        work(parts[0])
        return
    threads = [threading.Thread(target=work, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def second_epoch(folder: Path, count: int) -> dict[str, Any]:
    """Go twice over frames of 84 px that memory does not hold; the second time comes from disk."""
    frames = random_frames(count, 84)
    pipeline = StemPipeline(StemConfig(), FrameCache(folder, memory_bytes=2**20))
    for start in range(0, count, 64):
        pipeline(frames[start : start + 64])
    before = pipeline.stats.inverter_calls
    started = time.perf_counter()
    for start in range(0, count, 64):
        pipeline(frames[start : start + 64])
    seconds = time.perf_counter() - started
    return {
        "frames": count,
        "inverter_calls": pipeline.stats.inverter_calls - before,
        "us_a_frame": round(1e6 * seconds / count, 1),
    }


if __name__ == "__main__":
    main()
