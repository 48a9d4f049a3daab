"""Where does a frame's time go? Milliseconds a frame by stage, size and batch; PSNR; start-up.

    python benchmarks/stages.py

Unique frames, cache off (a memory hit is measured on its own). Bars on 2 CPU cores for embedded
DDPM at 84 px: 500 frames/s at batch 16, 2 ms for a single frame, 0.2 GFLOP a frame; a hit takes
at most 2.5 times hash + copy; a batch of 16 at 1.25 times PyTorch eager and at 60 % of the matmul
rate, both in processor time on one thread, in turns, which other processes disturb least.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import random_frames, report, seconds_per_call
from torch.utils.flop_counter import FlopCounterMode

from stemob_wrappers import FrameCache, StemConfig, StemPipeline
from stemob_wrappers.backbones.engines import GRAPH_FILE, WEIGHTS_FILE
from stemob_wrappers.backbones.folder import StemFolder
from stemob_wrappers.stem.identity import frame_digest
from stemob_wrappers.training.card import held_out_frames, held_out_psnr

SIZES = (84, 128)
BATCHES = (1, 8, 16, 64)
COLUMNS = (
    "size",
    "batch",
    "hash",
    "noise",
    "network",
    "total",
    "frames/s",
    "gflops",
)


def main() -> None:
    rows = [measure(size, batch) for size in SIZES for batch in BATCHES]
    report(
        "stages",
        COLUMNS,
        rows,
        gflop_per_frame={size: gflop_per_frame(size) for size in SIZES},
        memory_hit={size: memory_hit(size) for size in SIZES},
        held_out_psnr_db={size: psnr(size) for size in SIZES},
        start_up=start_up(),
        batch_of_16=batch_of_16(),
        operators_percent=operators_percent(),
    )


def measure(size: int, batch: int) -> dict[str, float]:
    pipeline = StemPipeline(StemConfig(), cache=False)
    frames = random_frames(batch, size)
    pipeline(frames)
    pipeline.stats.seconds.clear()
    pipeline.stats.seconds.update({"network": 0.0})
    before = pipeline.stats.frames
    seconds = seconds_per_call(lambda: pipeline(frames), budget=3.0)
    count = pipeline.stats.frames - before
    stages = {k: 1e3 * v / count for k, v in pipeline.stats.seconds.items()}
    rate = batch / seconds
    return {
        "size": size,
        "batch": batch,
        **stages,
        "total": 1e3 / rate,
        "frames/s": rate,
        "gflops": rate * gflop_per_frame(size),
    }


def batch_of_16(rounds: int = 60) -> dict[str, float]:
    """Compare the engines' networks with each other and with a matrix product, in turns."""
    frames, before = random_frames(16, 84), torch.get_num_threads()
    torch.set_num_threads(1)
    calls: dict[str, Any] = {}
    for engine in ("onnxruntime", "torch"):
        inverter = StemPipeline(cache=False, device="cpu", engine=engine, threads=1).inverter
        noise = np.zeros((16, *inverter.latent_shape(84, 84)), np.float32)
        calls[engine] = lambda inverter=inverter, noise=noise: inverter(frames, noise)
    a = torch.randn(1024, 1024)
    calls["matmul"] = lambda: a @ a
    took: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            started = time.process_time()
            call()
            took[name].append(time.process_time() - started)
    torch.set_num_threads(before)
    ms = {name: 1e3 * float(np.median(seconds)) for name, seconds in took.items()}
    rate = {engine: 16 * gflop_per_frame(84) / ms[engine] for engine in ("onnxruntime", "torch")}
    matmul = 2 * 1024**3 / 1e9 / ms["matmul"]
    return {
        **{f"{name}_cpu_ms": value for name, value in ms.items()},
        "torch_over_onnxruntime": ms["torch"] / ms["onnxruntime"],
        "onnxruntime_share_of_matmul": rate["onnxruntime"] / matmul,
        "torch_share_of_matmul": rate["torch"] / matmul,
    }


def operators_percent(calls: int = 40) -> dict[str, float]:
    """Where a batch of 16 spends its time in ONNX Runtime, by operator, on one thread."""
    import onnxruntime

    folder = StemFolder.named("embedded")
    data = folder.autoencoder.data
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_profiling = True
    options.add_external_initializers_from_files_in_memory([WEIGHTS_FILE], [data], [len(data)])
    with tempfile.TemporaryDirectory() as temporary:
        options.profile_file_prefix = f"{temporary}/profile"
        graph = (folder.path / GRAPH_FILE).read_bytes()
        session = onnxruntime.InferenceSession(graph, options, ["CPUExecutionProvider"])
        inputs = {
            "frames": random_frames(16, 84),
            "noise": np.zeros((16, 28, 22, 22), np.float32),
            "alpha_bar": np.array(0.8, np.float32),
        }
        for _ in range(calls):
            session.run(None, inputs)
        events = json.loads(Path(session.end_profiling()).read_text())
    durations: Counter[str] = Counter()
    for event in events:
        if event["name"].endswith("_kernel_time"):
            durations[event["args"]["op_name"]] += event["dur"]
    total = durations.total()
    return {name: 100 * took / total for name, took in durations.most_common(6)}


def gflop_per_frame(size: int) -> float:
    pipeline = StemPipeline(StemConfig(), cache=False, engine="torch")  # whose work is counted
    with FlopCounterMode(display=False) as counter:
        pipeline(random_frames(2, size))
    return counter.get_total_flops() / 2 / 1e9


def psnr(size: int) -> dict[str, float]:
    """PSNR by inversion steps on scenes that the backbone never saw."""
    with tempfile.TemporaryDirectory() as folder:
        return held_out_psnr("embedded", held_out_frames(Path(folder), size, workers=2))


def memory_hit(size: int) -> dict[str, float]:
    pipeline = StemPipeline(StemConfig(), FrameCache())
    frame = random_frames(1, size)
    hit = seconds_per_call(lambda: pipeline(frame), most=5000)
    bare = seconds_per_call(lambda: (frame_digest(frame[0]), frame.copy()), most=5000)
    return {"hit_us": 1e6 * hit, "hash_and_copy_us": 1e6 * bare, "ratio": hit / bare}


def start_up() -> dict[str, float]:
    """Time a fresh interpreter: the import alone, and from import to the first stem frame."""
    bare = "import stemob_wrappers, sys; assert 'torch' not in sys.modules"
    first = (
        "import numpy as np, stemob_wrappers as s; "
        "s.StemPipeline()(np.zeros((1, 84, 84, 3), np.uint8))"
    )
    nothing = _interpreter_seconds("pass")
    return {
        "import_s": _interpreter_seconds(bare) - nothing,
        "first_frame_s": _interpreter_seconds(first) - nothing,
    }


def _interpreter_seconds(code: str) -> float:
    durations = []
    for _ in range(4):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        durations.append(time.perf_counter() - started)
    return float(np.median(durations[1:]))


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
