"""What the benchmarks share: frames, timing, the machine's own rate, tables and JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parents[1] / "results"


def random_frames(count: int, size: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return unique frames of smooth random pictures, uint8 [count, size, size, 3]."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 3, size // 4 + 1, size // 4 + 1)).astype(np.float32)
    smooth = torch.nn.functional.interpolate(torch.from_numpy(coarse), size, mode="bilinear")
    return smooth.permute(0, 2, 3, 1).round().byte().contiguous().numpy()


def seconds_per_call(call: Callable[[], Any], *, budget: float = 1.0, most: int = 200) -> float:
    """Return the median duration of a call, over as many as fit into ``budget`` seconds."""
    call()
    durations: list[float] = []
    while sum(durations) < budget and len(durations) < most:
        started = time.perf_counter()
        call()
        durations.append(time.perf_counter() - started)
    return statistics.median(durations)


def matmul_rate(size: int = 2048) -> float:
    """Return this machine's rate of a float32 matrix product, in GFLOP/s."""
    a = torch.randn(size, size)
    return 2 * size**3 / seconds_per_call(lambda: a @ a, budget=1.0) / 1e9


def machine() -> dict[str, Any]:
    """Describe what the figures were measured on."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processor": platform.machine(),
        "matmul_gflops": round(matmul_rate(), 1),
        "load": os.getloadavg()[0],
    }


def report(name: str, columns: Sequence[str], rows: Sequence[dict[str, Any]], **extra: Any) -> None:
    """Print rows as a table; write them, ``extra`` and the machine to results/NAME.json."""
    content = print_report(name, columns, rows, **extra)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


def print_report(
    name: str, columns: Sequence[str], rows: Sequence[dict[str, Any]], **extra: Any
) -> dict[str, Any]:
    """Print rows as a table, and ``extra`` below; return them with the machine, as JSON values."""
    described = machine()
    title = f"{name} ({described['matmul_gflops']} GFLOP/s matmul, load {described['load']:.1f})"
    table = Table(title=title)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_text(row.get(column, "")) for column in columns))
    console = Console()
    console.width = max(console.width, 120)  # a log file would cut the columns
    console.print(table)
    for key, value in extra.items():
        console.print(f"{key}: {_text(value)}", soft_wrap=True)
    return {"machine": described, "rows": list(rows), **extra}


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_text(inner)}" for key, inner in value.items())
    return f"{value:.3g}" if isinstance(value, float) else str(value)
