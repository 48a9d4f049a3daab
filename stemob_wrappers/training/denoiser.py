"""Train the embedded backbone's denoiser on the latents of its frozen codec; seeded, resumable.

It predicts the noise (DDPM, arXiv 2006.11239, equation 14) at timesteps drawn over the whole
schedule, on the frames that the codec was trained on.
"""

from __future__ import annotations

import dataclasses
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
from stemob_wrappers.training.loop import Run, optimise
from stemob_wrappers.training.precision import autocast

BATCH_SIZE = 16
LEARNING_RATE = 1e-3
EMA = 0.995


@dataclass(frozen=True)
class DenoiserConfig:
    """Settings of one training; they, the codec, the scenes and this version decide the weights.

    Attributes:
        steps: optimiser steps.
        seed: seed of the weights, crops, timesteps and noise.
        start: backbone whose denoiser it goes on from; None starts from nothing.
    """

    steps: int = 1_600
    seed: int = 0
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
        >>> class Grey:
        ...     def batch(self, rng: np.random.Generator, batch_size: int) -> torch.Tensor:
        ...         return torch.zeros(batch_size, 3, 32, 32)
        >>> train_denoiser(Grey(), "embedded", Path("denoiser"), DenoiserConfig(steps=1)).name
        'unet'
    """
    config = config or DenoiserConfig()
    codec = load_backbone(backbone, device=device).codec
    with torch.random.fork_rng(devices=[]):  # the caller's generator stays as it is
        torch.manual_seed(config.seed)
        model = StemDenoiser(codec.channels)
    if config.start is not None:
        model.load_state_dict(load_backbone(config.start, denoiser=True).denoiser.state_dict())
    model = model.to(device)
    average = StemDenoiser(**model.config).to(device)
    average.load_state_dict(model.state_dict())
    for network in (model, average):
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    schedule = NoiseSchedule.from_config(SD_SCHEDULE)

    def loss_of(step: int) -> torch.Tensor:
        drawn = images.batch(np.random.default_rng([config.seed, step]), BATCH_SIZE)
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        with autocast(device):
            return denoiser_loss(model, codec, drawn.to(device), schedule, generator)

    run = Run(config.steps, LEARNING_RATE, EMA, dataclasses.asdict(config))
    optimise(model, average, loss_of, run, out, save_every=save_every)
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
