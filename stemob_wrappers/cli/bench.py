"""Can I run this on my robot's computer? Milliseconds a step by engine and number of threads."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from stemob_wrappers.extras import needs

with needs("cli"):
    from rich.console import Console
    from rich.table import Table

from stemob_wrappers.backbones.engines import graph_hindrance, num_threads
from stemob_wrappers.config import StemConfig
from stemob_wrappers.stem.pipeline import StemPipeline

TICK_MS = 50.0  # a control loop of 20 Hz
SITUATIONS = {"a lone frame": 1, "two cameras": 2, "8 envs": 8}
COLUMNS = ("engine", "threads", "what", "frames", "p50 ms", "p95 ms", "of a 20 Hz tick")
FIRST_FRAME = """
import time; started = time.perf_counter()
import json, sys
import numpy as np
from stemob_wrappers import StemConfig, StemPipeline
config, engine, size = StemConfig(**json.loads(sys.argv[1])), sys.argv[2], int(sys.argv[3])
pipeline = StemPipeline(config, cache=False, device="cpu", engine=engine)
pipeline(np.zeros((1, size, size, 3), np.uint8))
seconds = time.perf_counter() - started
# Of this program alone: ru_maxrss begins with what the process was that started it.
status = dict(line.split(":") for line in open("/proc/self/status") if line.startswith("VmHWM"))
mib = int(status["VmHWM"].split()[0]) / 1024
print(json.dumps({"first_frame_s": seconds, "memory_mib": mib}))
"""


def bench(
    config: StemConfig | None = None,
    *,
    env_id: str | None = None,
    size: int | None = None,
    seconds: float = 1.0,
) -> dict[str, Any]:
    """Measure what stem frames cost on this machine's processor, cache off.

    Args:
        config: what to measure; None is the default.
        env_id: a registered env, whose own step is measured too, and whose cameras are counted.
        size: side of the frames in pixels; None is 84, or what the env gives.
        seconds: how long each figure is measured.

    Returns:
        JSON values: ``machine``; ``start``, seconds to the first frame and memory of a fresh
        process by engine; ``rows``, milliseconds by engine, threads and situation; with an env also
        ``env_step_ms``.

    Raises:
        ValueError, OSError: as StemPipeline; an env that is not registered or renders nothing.

    Example:
        >>> found = bench(size=32, seconds=0.02)
        >>> sorted(found), {row["engine"] for row in found["rows"]} == {"onnxruntime", "torch"}
        (['machine', 'rows', 'start'], True)
    """
    config = config or StemConfig()
    StemPipeline(config, cache=False, device="cpu")  # what is wrong is said here, not by a child
    engines = ["torch"] if graph_hindrance(config, "cpu", "float32") else ["onnxruntime", "torch"]
    result: dict[str, Any] = {"machine": _machine()}
    situations, shape = dict(SITUATIONS), (size or 84,) * 2
    if env_id is not None:
        result["env"] = env_id
        result["env_step_ms"], cameras, shape = _env_step(env_id, size, seconds)
        situations = {"one step": cameras, "8 envs": 8 * cameras}
    result["start"] = {engine: _first_frame(config, engine, shape[0]) for engine in engines}
    result["rows"] = [
        _measure(config, engine, threads, what, (count, *shape, 3), seconds)
        for engine in engines
        for threads in _thread_counts()
        for what, count in situations.items()
    ]
    return result


def print_bench(result: dict[str, Any]) -> None:
    """Print what :func:`bench` found as a table."""
    machine = result["machine"]
    title = (
        f"{result.get('env', 'stem frames')}: {machine['processors']} processors, "
        f"{machine['matmul_gflops']:.0f} GFLOP/s matmul, load {machine['load']:.1f}"
    )
    table = Table(title=title)
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for row in result["rows"]:
        texts = [str(row[column]) for column in COLUMNS[:4]]
        texts += [f"{row[column]:.2f}" for column in COLUMNS[4:6]]
        table.add_row(*texts, f"{row[COLUMNS[6]]:.0%}")
    console = Console()
    console.print(table)
    for engine, start in result["start"].items():
        console.print(
            f"{engine}: {start['first_frame_s']:.2f} s from import to the first frame, "
            f"{start['memory_mib']:.0f} MiB of memory"
        )
    if "env_step_ms" in result:
        console.print(f"{result['env']} itself: {result['env_step_ms']:.1f} ms a step")
    best = min(result["rows"], key=lambda row: row["p50 ms"] / row["frames"])
    console.print(f"cheapest frame: {best['engine']} on {best['threads']} threads, {best['what']}")


def milliseconds(call: Callable[[], Any], seconds: float) -> tuple[float, float]:
    """Return median and 95th percentile of a call's duration, over ``seconds`` but 5 at least."""
    call()
    durations: list[float] = []
    while sum(durations) < seconds or len(durations) < 5:
        started = time.perf_counter()
        call()
        durations.append(time.perf_counter() - started)
    return 1e3 * statistics.median(durations), 1e3 * float(np.percentile(durations, 95))


def _measure(
    config: StemConfig,
    engine: str,
    threads: int,
    what: str,
    shape: tuple[int, ...],
    seconds: float,
) -> dict[str, Any]:
    pipeline = StemPipeline(config, cache=False, device="cpu", engine=engine, threads=threads)
    frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    pipeline.stats.psnr_db = 0.0  # random pixels are nothing to check a backbone on
    p50, p95 = milliseconds(lambda: pipeline(frames), seconds)
    times = {"p50 ms": p50, "p95 ms": p95, "of a 20 Hz tick": p50 / TICK_MS}
    return {"engine": engine, "threads": threads, "what": what, "frames": shape[0], **times}


def _thread_counts() -> Sequence[int]:
    return sorted({1, 2, num_threads(), len(os.sched_getaffinity(0))})


def _first_frame(config: StemConfig, engine: str, size: int) -> dict[str, float]:
    """The second of two fresh processes: the first has read the files."""
    command = [sys.executable, "-W", "ignore", "-c", FIRST_FRAME]
    command += [json.dumps(config.to_dict()), engine, str(size)]
    said = [subprocess.run(command, check=True, capture_output=True).stdout for _ in range(2)]
    return json.loads(said[1])


def _env_step(env_id: str, size: int | None, seconds: float) -> tuple[float, int, tuple[int, int]]:
    """Milliseconds of an env's own step, how many frames it gives, and the first one's size."""
    from stemob_wrappers.wrappers.rendering import make_images
    from stemob_wrappers.wrappers.spaces import find_images

    env = make_images(env_id, size=size)
    layouts = list(find_images(env.observation_space).values())
    cameras = sum(layout.count for layout in layouts)
    env.reset(seed=0)
    env.action_space.seed(0)

    def step() -> None:
        if any(env.step(env.action_space.sample())[2:4]):
            env.reset()

    p50, _ = milliseconds(step, seconds)
    env.close()
    return p50, cameras, (layouts[0].height, layouts[0].width)


def _machine() -> dict[str, Any]:
    a = np.ones((1024, 1024), np.float32)
    p50, _ = milliseconds(lambda: a @ a, 0.5)
    return {
        "python": platform.python_version(),
        "processors": len(os.sched_getaffinity(0)),
        "matmul_gflops": 2 * 1024**3 / p50 / 1e6,
        "load": os.getloadavg()[0],
    }
