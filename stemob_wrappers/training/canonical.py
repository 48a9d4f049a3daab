"""Train a decoder that gives every frame its scene's own look; seeded, resumable.

It goes beyond Stem-OB, which needs no pairs: encoder and noise stay those of a trained backbone,
and a new decoder learns to paint each frame, whatever its appearance, as the simulator renders the
scene when nothing is changed: its neutral light, plain textures and materials.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from stemob_wrappers.backbones.autoencoder import StemAutoencoder
from stemob_wrappers.schedule import SD_SCHEDULE, NoiseSchedule
from stemob_wrappers.training.optimise import optimise
from stemob_wrappers.training.train import (
    FrameSource,
    noise_latents,
    picture_loss,
    write_backbone,
)

MAX_TIMESTEP = 300  # just above 15 of 50 steps: the levels that are used
NEIGHBOURHOOD = 17  # pixels
CONTRAST_WEIGHT = 16.0


@dataclass(frozen=True)
class CanonicalConfig:
    """Settings of one training run; they, the backbone and the scenes decide the weights.

    Attributes:
        steps: optimiser steps.
        batch_size: crops a step.
        learning_rate: peak of AdamW's cosine schedule.
        ema: decay of the averaged weights that are shipped.
        clean: share of crops whose latents get no noise.
        mixed_precision: whether the convolutions run in bfloat16.
        seed: seed of the crops and noise.
    """

    steps: int = 6_000
    batch_size: int = 24
    learning_rate: float = 2e-3
    ema: float = 0.999
    clean: float = 0.3
    mixed_precision: bool = True
    seed: int = 0


def train_canonical(
    scenes: Sequence[Path],
    backbone: Path,
    out: Path,
    config: CanonicalConfig | None = None,
    *,
    device: str = "cpu",
    save_every: int = 500,
) -> Path:
    """Train a canonical decoder for a backbone; write both as a backbone of its own.

    Args:
        scenes: folders of rendered scenes, each drawn from equally often; look 0 of a scene is the
            canonical one. Procedural rooms are left out: they have no look of their own.
        backbone: folder that ``train_backbone`` wrote; its encoder is taken as it is.
        out: folder for the new backbone, the checkpoint and ``losses.csv``.

    Returns:
        ``out``, which ``load_backbone`` and ``StemConfig(backbone=...)`` accept.

    Raises:
        ValueError: a folder holds no scene, or the checkpoint belongs to other settings.

    Example:
        >>> train_canonical([Path("scenes")], Path("mine"), Path("canonical")) # doctest: +SKIP
    """
    config = config or CanonicalConfig()
    frames = FrameSource(*scenes, without=("procedural",))
    out.mkdir(parents=True, exist_ok=True)
    model, average = (StemAutoencoder.from_pretrained(backbone / "vae") for _ in range(2))
    for network in (model, average):
        network.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    schedule = NoiseSchedule.from_config(SD_SCHEDULE)

    def loss_of(step: int) -> torch.Tensor:
        rng = np.random.default_rng([config.seed, step])
        images, canonical = frames.pairs(rng, config.batch_size, canonical=True).to(device)
        with torch.autocast(torch.device(device).type, torch.bfloat16, config.mixed_precision):
            with torch.no_grad():
                latents = model.encode(images).float()
            seed = config.seed * 1_000_003 + step
            noised, alpha_bar = noise_latents(latents, schedule, config.clean, seed, MAX_TIMESTEP)
            decoded = model.decode(noised, alpha_bar).float()
            return picture_loss(decoded, canonical, contrast_weights(canonical))

    model.encoder.requires_grad_(False)
    optimise(model, average, loss_of, config, out, save_every=save_every)
    write_backbone(average, out, config, plain=os.path.relpath(backbone, out))
    return out


def contrast_weights(images: torch.Tensor) -> torch.Tensor:
    """Weights of pixels that grow with how much they differ from what lies around them.

    Where a decoder is not sure of a small object, L1 alone is least if it leaves the object out.

    Args:
        images: float [N, 3, H, W] in [-1, 1].

    Returns:
        float [N, 1, H, W], from 1 on.

    Example:
        >>> contrast_weights(torch.zeros(1, 3, 32, 32)).max()
        tensor(1.)
    """
    half = NEIGHBOURHOOD // 2
    around = F.pad(images, (half,) * 4, mode="replicate")
    for window in ((NEIGHBOURHOOD, 1), (1, NEIGHBOURHOOD)):  # one by one it is far quicker
        around = F.avg_pool2d(around, window, stride=1)
    return 1 + CONTRAST_WEIGHT * (images - around).abs().mean(1, keepdim=True)
