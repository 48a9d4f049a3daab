"""How much faster than the original's way? The same frames, both ways, in one run.

    python benchmarks/original.py

The original's way: an AutoencoderKL of Stable Diffusion 2.1's true size (random weights: speed
does not depend on them), frames resized to 768 px by nearest neighbour, one at a time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from common import random_frames, report, seconds_per_call

from stemob_wrappers import StemConfig, StemPipeline, load_backbone
from stemob_wrappers.backbones.codecs import LatentCodec
from stemob_wrappers.diffusion.inversion import ddpm
from stemob_wrappers.diffusion.schedule import SD_SCHEDULE

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
    arguments = parser.parse_args()
    frames = random_frames(64, 84)
    with tempfile.TemporaryDirectory() as folder:
        save_true_size_model(Path(folder))
        codec = load_backbone(folder).codec
        started = time.perf_counter()  # minutes on a CPU, so once and without a warm-up
        original_way(codec, frames[0], arguments.resolution)
        one_by_one = time.perf_counter() - started
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


@torch.inference_mode()
def original_way(codec: LatentCodec, frame: np.ndarray, resolution: int) -> torch.Tensor:
    """One frame to the model's size, encoded, noised and decoded, and back to its own size."""
    image = torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 127.5 - 1
    latent = codec.encode(F.interpolate(image, resolution))
    decoded = codec.decode(ddpm(latent, torch.randn_like(latent), alpha_bar=0.6224))
    return F.interpolate((decoded / 2 + 0.5).clamp(0, 1) * 255, frame.shape[:2]).byte()


def save_true_size_model(folder: Path) -> None:
    """Write a Stable Diffusion 2.1 autoencoder of random weights in diffusers' layout."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    torch.manual_seed(0)
    AutoencoderKL(**SD21_AUTOENCODER).save_pretrained(folder / "vae")
    DDIMScheduler(**SD_SCHEDULE, clip_sample=False).save_pretrained(folder / "scheduler")


if __name__ == "__main__":
    main()
