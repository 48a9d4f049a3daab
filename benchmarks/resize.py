"""What a camera-sized frame costs on one core: 640 x 480 shrunk to 128, inverted, given back.

    python benchmarks/resize.py

Milliseconds of processor time a frame, each frame by itself; the bar is 8.
"""

from __future__ import annotations

import time

import numpy as np

from stemob_wrappers import StemConfig, StemPipeline

FRAMES = 50


def main() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (FRAMES, 1, 480, 640, 3), np.uint8)
    configs = {
        "given back at 640 x 480": StemConfig(resize=(128, 128)),
        "given back at 128 x 96": StemConfig(resize=(128, 128), output="small"),
        "stretched to 128 x 128": StemConfig(resize=(128, 128), aspect="stretch", output="small"),
    }
    for name, config in configs.items():
        pipeline = StemPipeline(config, cache=False, threads=1)
        pipeline(frames[0])
        took: list[float] = []
        for frame in frames:
            started = time.process_time()
            pipeline(frame)
            took.append(1e3 * (time.process_time() - started))
        print(f"{name}: {np.median(took):.1f} ms a frame (p95 {np.quantile(took, 0.95):.1f})")


if __name__ == "__main__":
    main()
