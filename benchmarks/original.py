"""How much faster than the original's way? The same frames, both ways, in one run.

    python benchmarks/original.py

The original's way: an AutoencoderKL of Stable Diffusion 2.1's true size (random weights: speed
does not depend on them), frames resized to 768 px by nearest neighbour, one at a time.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from common import random_frames, report, seconds_per_call

from stemob_wrappers import StemConfig, StemPipeline
from stemob_wrappers.schedule import SD_SCHEDULE

SD21_AUTOENCODER = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 768,
    "scaling_factor": 0.18215,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resolution", type=int, default=768, help="the original's frame size")
    parser.add_argument("--frames", type=int, default=2, help="frames timed the original's way")
    arguments = parser.parse_args()
    frames = random_frames(64, 84)
    with tempfile.TemporaryDirectory() as folder:
        save_true_size_model(Path(folder))
        config = StemConfig(backbone=folder, resolution=arguments.resolution)
        original = StemPipeline(config, cache=False)
        one_by_one = seconds_per_call(
            lambda: original(frames[:1]), budget=float("inf"), most=arguments.frames
        )
    ours = StemPipeline(StemConfig(), cache=False)
    batch = seconds_per_call(lambda: ours(frames), budget=3.0) / len(frames)
    single = seconds_per_call(lambda: ours(frames[:1]), budget=2.0)
    rows = [
        {"way": f"original, {arguments.resolution} px, one at a time", "ms": 1e3 * one_by_one},
        {"way": "embedded, 84 px, one at a time", "ms": 1e3 * single},
        {"way": "embedded, 84 px, batch 64", "ms": 1e3 * batch},
    ]
    for row in rows:
        row["frames/s"] = 1e3 / row["ms"]
        row["times faster"] = 1e3 * one_by_one / row["ms"]
    report("original", ("way", "ms", "frames/s", "times faster"), rows)


def save_true_size_model(folder: Path) -> None:
    """Write a Stable Diffusion 2.1 autoencoder of random weights in diffusers' layout."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    torch.manual_seed(0)
    AutoencoderKL(**SD21_AUTOENCODER).save_pretrained(folder / "vae")
    DDIMScheduler(**SD_SCHEDULE, clip_sample=False).save_pretrained(folder / "scheduler")


if __name__ == "__main__":
    main()
