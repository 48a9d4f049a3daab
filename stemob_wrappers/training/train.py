"""Train the embedded backbone's codec on rendered scenes; seeded, resumable, never pickled.

The decoder is trained on noised latents, so that what it makes of a frame at any level that is
used is a picture and not noise: loss = L1 + gradient L1 between the frame and
decode(sqrt(alpha_bar) z + sqrt(1 - alpha_bar) eps), z the unit-variance latent of the frame.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open

from stemob_wrappers import __version__
from stemob_wrappers.backbones.autoencoder import StemAutoencoder
from stemob_wrappers.schedule import SD_SCHEDULE, NoiseSchedule
from stemob_wrappers.training.optimise import optimise

MAX_TIMESTEP = 500  # the highest noise level that the decoder learns to look through
SIZES = (64, 72, 84, 96, 112, 128)
CROP = 80


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training run; they and the scenes decide the weights.

    Attributes:
        steps: optimiser steps.
        batch_size: crops a step.
        learning_rate: peak of AdamW's cosine schedule.
        ema: decay of the averaged weights that are shipped.
        clean: share of crops whose latents get no noise.
        seed: seed of the weights, crops and noise.
        latent_channels, width, context_width: see StemAutoencoder.
    """

    steps: int = 10_000
    batch_size: int = 24
    learning_rate: float = 2e-3
    ema: float = 0.999
    clean: float = 0.3
    seed: int = 0
    latent_channels: int = 8
    width: int = 64
    context_width: int = 96


def train_backbone(
    scenes: Path,
    out: Path,
    config: TrainConfig | None = None,
    *,
    device: str = "cpu",
    save_every: int = 500,
) -> Path:
    """Train on a folder of scenes and write a backbone folder in diffusers' layout.

    A run that was stopped goes on from ``out/checkpoint.safetensors``; resumed or not, it draws
    the same crops and noise at every step.

    Args:
        scenes: folder that ``training.scenes`` wrote.
        out: folder for the backbone, the checkpoint and ``losses.csv``.

    Returns:
        ``out``, which ``load_backbone`` and ``StemConfig(backbone=...)`` accept.

    Raises:
        ValueError: ``scenes`` holds no scene, or the checkpoint belongs to other settings.

    Example:
        >>> train_backbone(Path("scenes"), Path("backbone"), TrainConfig(steps=10)) # doctest: +SKIP
    """
    config = config or TrainConfig()
    frames = FrameSource(scenes)
    out.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):  # the caller's generator stays as it is
        torch.manual_seed(config.seed)
        model = StemAutoencoder(config.latent_channels, config.width, config.context_width)
    model.to(device).train()
    average = StemAutoencoder(**model.config).to(device)
    average.load_state_dict(model.state_dict())
    for network in (model, average):
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    schedule = NoiseSchedule.from_config(SD_SCHEDULE)

    def loss_of(step: int) -> torch.Tensor:
        images = frames.batch(np.random.default_rng([config.seed, step]), config.batch_size)
        return codec_loss(model, images.to(device), schedule, config.clean, step, config.seed)

    optimise(model, average, loss_of, config, out, save_every=save_every)
    write_backbone(average, out, config)
    return out


def codec_loss(
    model: StemAutoencoder,
    images: torch.Tensor,
    schedule: NoiseSchedule,
    clean: float,
    step: int,
    seed: int,
) -> torch.Tensor:
    """L1 plus gradient L1 of the frames decoded from latents at random noise levels.

    Args:
        images: float [N, 3, H, W] in [-1, 1].
        clean: share of the batch that gets no noise.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
    n = len(images)
    timesteps = torch.randint(1, MAX_TIMESTEP, (n,), generator=generator)
    alpha_bar = torch.as_tensor(schedule.alpha_bars, dtype=torch.float32)[timesteps]
    alpha_bar[: round(clean * n)] = 1.0
    alpha_bar = alpha_bar.to(images.device).view(n, 1, 1, 1)
    latents = model.encode(images)
    noise = torch.randn(latents.shape, generator=generator).to(images.device)
    decoded = model.decode(latents * alpha_bar.sqrt() + noise * (1 - alpha_bar).sqrt())
    return F.l1_loss(decoded, images) + _gradient_l1(decoded, images)


class FrameSource:
    """Random crops of the frames in a folder of scenes, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        paths = sorted(folder.glob("scene-*.safetensors"))
        if not paths:
            raise ValueError(
                f"{folder} holds no scene-*.safetensors; render some first with "
                f"`python -m stemob_wrappers.training.scenes --out {folder}`"
            )
        self.scenes = []
        for path in paths:
            with safe_open(path, "pt") as file:
                self.scenes.append(file.get_tensor("frames").flatten(0, 1))

    def batch(self, rng: np.random.Generator, batch_size: int) -> torch.Tensor:
        """Draw crops, float [batch_size, 3, CROP or less, same] in [-1, 1]."""
        chosen = []
        for _ in range(batch_size):
            scene = self.scenes[rng.integers(len(self.scenes))]
            chosen.append(scene[rng.integers(len(scene))])
        images = torch.stack(chosen).permute(0, 3, 1, 2).float() / 127.5 - 1
        size = int(rng.choice(SIZES))
        # Renderers alias and users resize: the codec has to know both looks.
        images = F.interpolate(images, size, mode=str(rng.choice(["area", "nearest"])))
        crop = min(CROP, size // 8 * 8)
        top, left = rng.integers(0, size - crop + 1, 2)
        images = images[:, :, top : top + crop, left : left + crop]
        if rng.random() < 0.5:
            images = images.flip(-1)
        return _shift_colours(images, rng).contiguous(memory_format=torch.channels_last)


def _shift_colours(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Scale and shift the channels of half of the images, so that no colour is strange."""
    n = len(images)
    on = rng.random((n, 1, 1, 1)) < 0.5
    gain = np.where(on, rng.uniform(0.5, 1.3, (n, 3, 1, 1)), 1.0)
    bias = np.where(on, rng.uniform(-0.3, 0.3, (n, 3, 1, 1)), 0.0)
    return (images * torch.from_numpy(gain).float() + torch.from_numpy(bias).float()).clamp(-1, 1)


def _gradient_l1(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    difference = a - b
    return difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()


def write_backbone(model: StemAutoencoder, out: Path, config: TrainConfig) -> None:
    """Write codec, schedule and index of a trained backbone into a folder."""
    model.save_pretrained(out / "vae")
    (out / "scheduler").mkdir(exist_ok=True)
    scheduler = {"_class_name": "DDIMScheduler", **SD_SCHEDULE}
    (out / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler, indent=2) + "\n")
    index = {
        "_class_name": "StemBackbone",
        "vae": ["stemob_wrappers", "StemAutoencoder"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "stemob_wrappers": __version__,
        "training": dataclasses.asdict(config),
    }
    (out / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
