"""Train the embedded backbone's codec on rendered scenes; seeded, resumable, never pickled.

The decoder is trained on noised latents, so that what it makes of a frame at any level that is
used is a picture and not noise: L1 + gradient L1 between the frame and
decode(sqrt(alpha_bar) z + sqrt(1 - alpha_bar) eps), z the unit-variance latent of the frame.

The *alignment* term makes a change of appearance a short way in latent space and a change of layout
a long one, as the theory of Stem-OB (arXiv 2411.04919, section 4) wants it: the distance between
one state's latents under two appearances, over the distance between two states.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open

from stemob_wrappers import __version__
from stemob_wrappers.backbones import stem_folder
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
        batch_size: crops a step, a multiple of 4.
        learning_rate: peak of AdamW's cosine schedule.
        ema: decay of the averaged weights that are shipped.
        clean: share of crops whose latents get no noise.
        alignment: weight of the alignment term; 0 trains a plain autoencoder.
        mixed_precision: whether the convolutions run in bfloat16.
        seed: seed of the weights, crops and noise.
        start: embedded backbone, or folder of one, to go on from; None starts from nothing.
        latent_channels, width, context_width: see StemAutoencoder.
    """

    steps: int = 10_000
    batch_size: int = 24
    learning_rate: float = 2e-3
    ema: float = 0.999
    clean: float = 0.5
    alignment: float = 0.1
    mixed_precision: bool = True
    seed: int = 0
    start: str | None = None
    latent_channels: int = 16
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
    if config.start is not None:
        model = StemAutoencoder.from_pretrained(stem_folder(config.start) / "vae")
    model.to(device).train()
    average = StemAutoencoder(**model.config).to(device)
    average.load_state_dict(model.state_dict())
    for network in (model, average):
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    schedule = NoiseSchedule.from_config(SD_SCHEDULE)

    def loss_of(step: int) -> torch.Tensor:
        pairs = frames.pairs(np.random.default_rng([config.seed, step]), config.batch_size // 4 * 2)
        with torch.autocast(torch.device(device).type, torch.bfloat16, config.mixed_precision):
            return codec_loss(model, pairs.to(device), schedule, config, step)

    optimise(model, average, loss_of, config, out, save_every=save_every)
    write_backbone(average, out, config)
    return out


def codec_loss(
    model: StemAutoencoder,
    pairs: torch.Tensor,
    schedule: NoiseSchedule,
    config: TrainConfig,
    step: int,
) -> torch.Tensor:
    """Frames against what is decoded from their noised latents, plus the alignment term.

    Args:
        pairs: float [2, N, 3, H, W] in [-1, 1], the same states under two appearances.
        step: decides timesteps and noise.
    """
    images = pairs.flatten(0, 1)
    latents = model.encode(images).float()
    seed = config.seed * 1_000_003 + step
    noised, alpha_bar = noise_latents(latents, schedule, config.clean, seed)
    loss = picture_loss(model.decode(noised, alpha_bar).float(), images)
    if config.alignment:
        loss = loss + config.alignment * alignment_loss(latents.unflatten(0, pairs.shape[:2]))
    return loss


def noise_latents(
    latents: torch.Tensor,
    schedule: NoiseSchedule,
    clean: float,
    seed: int,
    max_timestep: int = MAX_TIMESTEP,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents at random levels up to ``max_timestep``, a share of them without noise.

    What comes back through noise teaches the decoder alone. An encoder that learns from it too
    makes appearance loud, so that no noise can drown it.

    Returns:
        the latents, and alpha_bar of each, float [N].
    """
    generator = torch.Generator().manual_seed(seed)
    n = len(latents)
    timesteps = torch.randint(1, max_timestep, (n,), generator=generator)
    alpha_bar = torch.as_tensor(schedule.alpha_bars, dtype=torch.float32)[timesteps]
    unnoised = torch.rand(n, generator=generator) < clean
    alpha_bar[unnoised] = 1.0
    noise = torch.randn(latents.shape, generator=generator).to(latents.device)
    unnoised, alpha_bar = unnoised.to(latents.device), alpha_bar.to(latents.device)
    latents = torch.where(unnoised.view(n, 1, 1, 1), latents, latents.detach())
    level = alpha_bar.view(n, 1, 1, 1)
    return latents * level.sqrt() + noise * (1 - level).sqrt(), alpha_bar


def picture_loss(
    decoded: torch.Tensor, images: torch.Tensor, weights: torch.Tensor | float = 1.0
) -> torch.Tensor:
    """L1 of the pictures and of their gradients.

    Args:
        weights: of the pixels, float [N, 1, H, W].
    """
    difference = (decoded - images) * weights
    across, down = difference.diff(dim=-1), difference.diff(dim=-2)
    return difference.abs().mean() + across.abs().mean() + down.abs().mean()


def alignment_loss(latents: torch.Tensor) -> torch.Tensor:
    """Distance of latents across appearances over their distance across states.

    Args:
        latents: float [2, N, C, h, w], the same states under two appearances; states 2 i and
            2 i + 1 are of one scene.
    """
    across_looks = _distances(latents[0], latents[1])
    across_states = _distances(latents[:, ::2], latents[:, 1::2])
    return across_looks.mean() / across_states.mean()


def _distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Root mean square over [..., C, h, w]; equal ones have a gradient too, which is zero."""
    return (a - b).square().mean((-3, -2, -1)).clamp_min(1e-8).sqrt()


class FrameSource:
    """Random crops of rendered frames, each state under two appearances.

    Args:
        folders: of scenes; each is drawn from equally often.
        without: sources of scenes to leave out.

    Raises:
        ValueError: a folder holds no scene.
    """

    def __init__(self, *folders: Path, without: Sequence[str] = ()) -> None:
        self.folders = [_read_frames(folder, without) for folder in folders]

    def batch(self, rng: np.random.Generator, batch_size: int) -> torch.Tensor:
        """Draw crops, float [batch_size, 3, CROP or less, same] in [-1, 1]."""
        return self.pairs(rng, 2 * -(-batch_size // 4)).flatten(0, 1)[:batch_size]

    def pairs(
        self, rng: np.random.Generator, count: int, *, canonical: bool = False
    ) -> torch.Tensor:
        """Draw pairs of crops that differ in appearance alone, two states of a scene at a time.

        Args:
            count: how many pairs, an even number.
            canonical: the second of each pair is the scene's own look, as it was rendered.

        Returns:
            float [2, count, 3, CROP or less, same] in [-1, 1].
        """
        chosen = []
        for _ in range(count // 2):
            scenes = self.folders[rng.integers(len(self.folders))]
            scene = scenes[rng.integers(len(scenes))]
            looks = rng.choice(scene.shape[1], 2, replace=False)
            if canonical:
                looks = [rng.integers(scene.shape[1]), 0]
            chosen += [scene[state][looks] for state in rng.choice(len(scene), 2, replace=False)]
        images = torch.stack(chosen, 1).flatten(0, 1).permute(0, 3, 1, 2).float() / 127.5 - 1
        size = int(rng.choice(SIZES))
        # Renderers alias and users resize: the codec has to know both looks.
        images = F.interpolate(images, size, mode=str(rng.choice(["area", "nearest"])))
        crop = min(CROP, size // 8 * 8)
        top, left = rng.integers(0, size - crop + 1, 2)
        images = images[:, :, top : top + crop, left : left + crop]
        if rng.random() < 0.5:
            images = images.flip(-1)
        changed = count if canonical else 2 * count
        images = torch.cat([_shift_colours(images[:changed], rng), images[changed:]])
        return images.contiguous(memory_format=torch.channels_last).unflatten(0, (2, count))


def _read_frames(folder: Path, without: Sequence[str]) -> list[torch.Tensor]:
    """The frames of each scene, uint8 [S, A, H, W, 3]."""
    paths = sorted(folder.glob("scene-*.safetensors"))
    if not paths:
        raise ValueError(
            f"{folder} holds no scene-*.safetensors; render some first with "
            f"`python -m stemob_wrappers.training.scenes --out {folder}`"
        )
    found = []
    for path in paths:
        with safe_open(path, "pt") as file:
            scene = json.loads((file.metadata() or {}).get("scene", "{}"))
            if scene.get("source") not in without:
                found.append(file.get_tensor("frames"))
    return found


def _shift_colours(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Scale and shift the channels of half of the images, so that no colour is strange."""
    n = len(images)
    on = rng.random((n, 1, 1, 1)) < 0.5
    gain = np.where(on, rng.uniform(0.5, 1.3, (n, 3, 1, 1)), 1.0)
    bias = np.where(on, rng.uniform(-0.3, 0.3, (n, 3, 1, 1)), 0.0)
    return (images * torch.from_numpy(gain).float() + torch.from_numpy(bias).float()).clamp(-1, 1)


def write_backbone(
    model: StemAutoencoder, out: Path, config: Any, *, plain: str | None = None
) -> None:
    """Write codec, schedule and index of a trained backbone into a folder.

    Args:
        config: a dataclass, the settings that it was trained with.
        plain: for a canonical backbone, where from ``out`` the one is that has its encoder.
    """
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
    if plain is not None:
        index["plain"] = plain
    (out / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
