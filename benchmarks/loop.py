"""A control loop's figures: lone frames and batches, beside busy processes; start and memory.

    python benchmarks/loop.py

Both engines in one run, cache off, 84 px, on the default number of threads each. "torch, spinning"
is PyTorch by itself: two threads, OpenMP's own way of waiting. `cpu_ms` is the processor time of a
call, less changed by other processes; `load` says how many of them there were. "torch" pays for
setting its number of threads at each call, so it is no measure of PyTorch by itself.
Bars on 2 CPU cores: lone frame 2 ms and 0.45 of PyTorch; two cameras 3.5 ms; batch of 16 at 1.25 x
PyTorch; lone frame beside one / two busy processes 6 / 15 ms; first frame 0.5 s after import;
HalfCheetah 400 MiB. `diffusers` are lone frames of networks of true size with random weights, which
PyTorch runs, quiet and beside one busy process; bar: 3 times the quiet time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import random_frames, report

from stemob_wrappers import StemConfig, StemPipeline
from stemob_wrappers.cli.bench import milliseconds
from stemob_wrappers.diffusion.schedule import SD_SCHEDULE

WAYS: dict[str, dict[str, Any]] = {
    "onnxruntime": {"engine": "onnxruntime"},
    "torch": {"engine": "torch"},
    "torch, spinning": {"engine": "torch", "threads": 2},
}
COUNTS = (1, 2, 16)
DIFFUSERS = {"TAESD": 84, "KL": 32}  # and the side of their frames: a call takes about 50 ms
COLUMNS = ("way", "busy", "frames", "p50_ms", "p95_ms", "cpu_ms", "load")
ENV = """
import json, sys, time
started = time.perf_counter()
import stemob_wrappers
env = stemob_wrappers.make("HalfCheetah-v5", size=84, cache=False, engine=sys.argv[1])
env.reset(seed=0)
for _ in range(20):
    env.step(env.action_space.sample())
# Of this program alone: ru_maxrss begins with what the process was that started it.
status = dict(line.split(":") for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({
    "first_observation_s": time.perf_counter() - started,
    "memory_mib": int(status["VmHWM"].split()[0]) / 1024,
    "torch": "torch" in sys.modules,
}))
"""
FRAME = """
import json, sys, time
started = time.perf_counter()
import numpy as np, stemob_wrappers
stemob_wrappers.StemPipeline(engine=sys.argv[1])(np.zeros((1, 84, 84, 3), np.uint8))
print(json.dumps(time.perf_counter() - started))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="measured for each figure")
    parser.add_argument("--one", help="measure one way in this process, for the others to collect")
    parser.add_argument("--diffusers", help="measure this codec, from its folder, likewise")
    settings = parser.parse_args()
    if settings.diffusers:
        print(json.dumps(measure_diffusers(Path(settings.diffusers), settings.seconds)))
        return
    if settings.one:
        print(json.dumps(measure(settings.one, settings.seconds)))
        return
    rows = []
    for busy in (0, 1, 2):
        with busy_processes(busy):
            for way in WAYS:
                one = ["--one", way, "--seconds", str(settings.seconds)]
                rows += [{**row, "busy": busy} for row in in_fresh_process(one, way)]
    report(
        "loop",
        COLUMNS,
        rows,
        first_frame_s={engine: run(FRAME, engine) for engine in ("onnxruntime", "torch")},
        diffusers=diffusers_beside_another(settings.seconds),
        half_cheetah={engine: run(ENV, engine) for engine in ("onnxruntime", "torch")},
    )


def measure(way: str, seconds: float) -> list[dict[str, Any]]:
    pipeline = StemPipeline(StemConfig(), cache=False, device="cpu", **WAYS[way])
    rows = []
    for count in COUNTS:
        frames = random_frames(count, 84)
        processor_times: list[float] = []

        def call(frames: Any = frames, into: list[float] = processor_times) -> None:
            started = time.process_time()
            pipeline(frames)
            into.append(time.process_time() - started)

        p50, p95 = milliseconds(call, seconds)
        times = {"p50_ms": p50, "p95_ms": p95, "cpu_ms": 1e3 * statistics.median(processor_times)}
        times["load"] = os.getloadavg()[0]
        rows.append({"way": way, "frames": count, **times})
    return rows


@contextmanager
def busy_processes(count: int) -> Generator[None]:
    """Processes that compute without end, as renderers and trainings do."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def diffusers_beside_another(seconds: float) -> dict[str, dict[str, float]]:
    """Median milliseconds of a lone frame, quiet and beside one busy process, for two codecs."""
    found: dict[str, dict[str, float]] = {}
    for name, size in DIFFUSERS.items():
        with tempfile.TemporaryDirectory() as folder:
            save_codec(name, Path(folder))
            arguments = ["--diffusers", folder, "--seconds", str(seconds)]
            took: list[float] = []
            for busy in (0, 1):
                with busy_processes(busy):
                    took.append(in_fresh_process(arguments)["ms"])
        found[f"{name}, {size} px"] = {"quiet": took[0], "beside": took[1]}
        found[f"{name}, {size} px"]["times"] = took[1] / took[0]
    return found


def save_codec(name: str, folder: Path) -> None:
    """Write a codec of true size with random weights, as a model's folder has it."""
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler
    from original import save_true_size_model

    if name == "KL":
        save_true_size_model(folder)
        return
    AutoencoderTiny().save_pretrained(folder / "vae")
    DDIMScheduler(**SD_SCHEDULE, clip_sample=False).save_pretrained(folder / "scheduler")


def measure_diffusers(folder: Path, seconds: float) -> dict[str, float]:
    config = json.loads((folder / "vae" / "config.json").read_text())
    name = "TAESD" if config["_class_name"] == "AutoencoderTiny" else "KL"
    frame = random_frames(1, DIFFUSERS[name])
    pipeline = StemPipeline(StemConfig(backbone=str(folder)), cache=False, device="cpu")
    return {"ms": milliseconds(lambda: pipeline(frame), seconds)[0]}


def in_fresh_process(arguments: list[str], way: str = "") -> Any:
    """What this script says; how OpenMP waits is decided once a process."""
    # "spinning" is what OpenMP does unless told: to leave it alone, it is given an empty choice.
    policy = {"OMP_WAIT_POLICY": ""} if "spinning" in way else {}
    command = [sys.executable, "-W", "ignore", __file__, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, env={**os.environ, **policy})
    return json.loads(done.stdout)


def run(code: str, engine: str) -> Any:
    """The last of three fresh processes' answers, in JSON."""
    command = [sys.executable, "-W", "ignore", "-c", code, engine]
    said = [subprocess.run(command, check=True, capture_output=True).stdout for _ in range(3)]
    return json.loads(said[-1])


if __name__ == "__main__":
    main()
