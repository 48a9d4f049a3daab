"""How much of the inverter's speed does a conversion keep? And against the original's way?

    python benchmarks/datasets.py

A generated robomimic file (200 trajectories x 60 frames x 2 cameras at 84 px; --gzip compresses it,
as robomimic's --compress does) is converted end to end, between two runs of the bare inverter on
frames of the same file in the same batches, with each engine. Bar: >= 85 % of the frames/s of the
faster one. The original's way is timed on a few frames: an AutoencoderKL of true size, frames at
768 px, one at a time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from common import random_frames, report, seconds_per_call
from original import save_true_size_model

from stemob_wrappers import StemConfig, StemPipeline
from stemob_wrappers.datasets import invert_dataset

BATCH = 64
BAR = 0.85


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demos", type=int, default=200)
    parser.add_argument("--length", type=int, default=60, help="frames a demo and camera")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--gzip", action="store_true", help="compress the images")
    parser.add_argument("--original-frames", type=int, default=2, help="0: leave the original out")
    parser.add_argument("--resolution", type=int, default=768, help="the original's frame size")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "demo.hdf5"
        frames = write_demos(source, arguments.demos, arguments.length, arguments.gzip)
        count = 2 * arguments.demos * arguments.length
        before = bare_rates(frames)
        started = time.perf_counter()
        summary = invert_dataset(
            source, Path(folder) / "stem.hdf5", batch_size=BATCH, workers=arguments.workers
        )
        converted = count / (time.perf_counter() - started)
        assert summary.frames == count
        after = bare_rates(frames)
        bare = {engine: (before[engine] + after[engine]) / 2 for engine in before}
        rows = [
            *(
                {"way": f"bare inverter, {engine}, batches of one demo", "frames_per_s": rate}
                for engine, rate in bare.items()
            ),
            {"way": f"invert_dataset, {arguments.workers} workers", "frames_per_s": converted},
        ]
        if arguments.original_frames:
            rate = original_rate(Path(folder), frames, arguments)
            rows.append({"way": "the original's way", "frames_per_s": rate})
            rows.append({"way": "ratio to the original's way", "frames_per_s": converted / rate})
    share = converted / max(bare.values())
    report(
        "datasets",
        ("way", "frames_per_s"),
        rows,
        frames=count,
        gzip=arguments.gzip,
        share=share,
        met=share >= BAR,
    )


def write_demos(path: Path, demos: int, length: int, gzip: bool = False) -> Any:
    """Write the file and return the frames of one demo and camera."""
    frames = random_frames(length, 84)
    with h5py.File(path, "w") as file:
        for index in range(demos):
            for camera in ("agentview_image", "eye_image"):
                # Other frames in every demo: nothing is found in a cache.
                moved = np.roll(frames, (index + 1) * (1 if camera[0] == "a" else -1), axis=2)
                data = moved ^ np.uint8(index % 7)
                file.create_dataset(
                    f"data/demo_{index}/obs/{camera}",
                    data=data,
                    chunks=(1, 84, 84, 3) if gzip else None,
                    compression="gzip" if gzip else None,
                )
            file[f"data/demo_{index}/actions"] = np.zeros((length, 7))
            file[f"data/demo_{index}"].attrs["num_samples"] = length
    return frames


def bare_rates(frames: Any) -> dict[str, float]:
    """Frames a second of each engine's inverter alone, without hashing, noise or cache."""
    rates = {}
    for engine in ("onnxruntime", "torch"):
        pipeline = StemPipeline(cache=False, device="cpu", max_batch=BATCH, engine=engine)
        inverter = pipeline.inverter
        noise = np.zeros((len(frames), *inverter.latent_shape(84, 84)), np.float32)

        def call(inverter: Any = inverter, noise: Any = noise) -> None:
            inverter(frames, noise)

        rates[engine] = len(frames) / seconds_per_call(call, budget=5.0)
    return rates


def original_rate(folder: Path, frames: Any, arguments: argparse.Namespace) -> float:
    save_true_size_model(folder)
    config = StemConfig(backbone=str(folder), resolution=arguments.resolution)
    pipeline = StemPipeline(config, cache=False)
    most = arguments.original_frames
    return 1 / seconds_per_call(lambda: pipeline(frames[:1]), budget=float("inf"), most=most)


if __name__ == "__main__":
    main()
