"""Train the embedded backbone's denoiser on the latents of its frozen codec; seeded, resumable.

It predicts the noise (DDPM, arXiv 2006.11239, equation 14) at timesteps drawn over the whole
schedule, on the frames that the codec was trained on.

    python -m stemob_wrappers.training.denoiser --scenes DIR --backbone DIR --out DIR
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F

from stemob_wrappers.backbones.codecs import LatentCodec
from stemob_wrappers.backbones.load import load_backbone
from stemob_wrappers.backbones.networks import StemDenoiser
from stemob_wrappers.diffusion.schedule import SD_SCHEDULE, NoiseSchedule
from stemob_wrappers.training.batches import FrameSource
from stemob_wrappers.training.loop import optimise
from stemob_wrappers.training.precision import autocast


@dataclass(frozen=True)
class DenoiserConfig:
    """Settings of one training run; they, the codec and the scenes decide the weights.

    Attributes:
        steps: optimiser steps.
        batch_size: crops a step.
        learning_rate: peak of AdamW's cosine schedule.
        ema: decay of the averaged weights that are shipped.
        seed: seed of the weights, crops, timesteps and noise.
        width, deep_width: see StemDenoiser.
        start: backbone whose denoiser it goes on from; None starts from nothing.
    """

    steps: int = 1_600
    batch_size: int = 16
    learning_rate: float = 1e-3
    ema: float = 0.995
    seed: int = 0
    width: int = 64
    deep_width: int = 128
    start: str | None = None


class ImageSource(Protocol):
    """Draws images to train on, float [batch_size, 3, h, w] in [-1, 1]."""

    def batch(self, rng: np.random.Generator, batch_size: int) -> torch.Tensor: ...


def train_denoiser(
    images: ImageSource,
    backbone: str,
    out: Path,
    config: DenoiserConfig | None = None,
    *,
    device: str = "cpu",
    save_every: int = 200,
) -> Path:
    """Train a denoiser for a backbone and write it to ``out/unet``, in diffusers' layout.

    A run that was stopped goes on from ``out/checkpoint.safetensors``; resumed or not, it draws the
    same crops, timesteps and noise at every step.

    Args:
        images: to train on.
        backbone: name or folder of the embedded backbone whose codec it is trained on.
        out: folder for the denoiser, the checkpoint and ``losses.csv``.
        device: where it is trained.
        save_every: steps between two checkpoints.

    Returns:
        ``out / "unet"``; put it beside the backbone's ``vae`` folder.

    Raises:
        ValueError: the checkpoint belongs to other settings.

    Example:
        >>> frames = FrameSource(Path("scenes")) # doctest: +SKIP
        >>> train_denoiser(frames, "embedded", Path("denoiser")) # doctest: +SKIP
    """
    config = config or DenoiserConfig()
    codec = load_backbone(backbone, device=device).codec
    out.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):  # the caller's generator stays as it is
        torch.manual_seed(config.seed)
        model = StemDenoiser(codec.channels, config.width, config.deep_width)
    if config.start is not None:
        model.load_state_dict(load_backbone(config.start, denoiser=True).denoiser.state_dict())
    model = model.to(device)
    average = StemDenoiser(**model.config).to(device)
    average.load_state_dict(model.state_dict())
    for network in (model, average):
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    schedule = NoiseSchedule.from_config(SD_SCHEDULE)

    def loss_of(step: int) -> torch.Tensor:
        drawn = images.batch(np.random.default_rng([config.seed, step]), config.batch_size)
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        with autocast(device):
            return denoiser_loss(model, codec, drawn.to(device), schedule, generator)

    optimise(model, average, loss_of, config, out, save_every=save_every)
    average.save_pretrained(out / "unet")
    return out / "unet"


def denoiser_loss(
    model: StemDenoiser,
    codec: LatentCodec,
    images: torch.Tensor,
    schedule: NoiseSchedule,
    generator: torch.Generator,
) -> torch.Tensor:
    """Mean squared error of the predicted noise, each image at a timestep of its own.

    Args:
        images: float [N, 3, H, W] in [-1, 1].
        generator: on the CPU; draws timesteps and noise.
    """
    with torch.no_grad():
        latents = codec.encode(images).float()
    timesteps = torch.randint(schedule.num_train_timesteps, (len(images),), generator=generator)
    alpha_bar = torch.as_tensor(schedule.alpha_bars, dtype=torch.float32)[timesteps]
    alpha_bar = alpha_bar.to(images.device).view(-1, 1, 1, 1)
    noise = torch.randn(latents.shape, generator=generator).to(images.device)
    noised = latents * alpha_bar.sqrt() + noise * (1 - alpha_bar).sqrt()
    return F.mse_loss(model(noised, timesteps.to(images.device)).float(), noise)


def main(arguments: list[str] | None = None) -> None:
    """The command line: ``python -m stemob_wrappers.training.denoiser``."""
    parser = argparse.ArgumentParser(description="Train a denoiser for an embedded backbone.")
    parser.add_argument("--scenes", type=Path, required=True, help="folder of rendered scenes")
    parser.add_argument("--backbone", type=Path, required=True, help="folder to add unet/ to")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--steps", type=int, default=DenoiserConfig.steps)
    parser.add_argument("--batch-size", type=int, default=DenoiserConfig.batch_size)
    parser.add_argument("--seed", type=int, default=DenoiserConfig.seed)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args(arguments)
    config = DenoiserConfig(steps=given.steps, batch_size=given.batch_size, seed=given.seed)
    unet = train_denoiser(
        FrameSource(given.scenes), str(given.backbone), given.out, config, device=given.device
    )
    shutil.copytree(unet, given.backbone / "unet", dirs_exist_ok=True)
    print(f"wrote {given.backbone / 'unet'}")


if __name__ == "__main__":
    main()
