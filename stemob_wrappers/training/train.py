"""Train the embedded backbone's codec on rendered scenes; seeded, resumable, never pickled.

The decoder is trained on noised latents, so that what it makes of a frame at any level that is
used is a picture and not noise: loss = L1 + gradient L1 between the frame and
decode(sqrt(alpha_bar) z + sqrt(1 - alpha_bar) eps), z the unit-variance latent of the frame.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import Progress, TextColumn, TimeRemainingColumn
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from stemob_wrappers import __version__
from stemob_wrappers.backbones.autoencoder import StemAutoencoder
from stemob_wrappers.schedule import SD_SCHEDULE, NoiseSchedule

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
    torch.manual_seed(config.seed)
    model = StemAutoencoder(config.latent_channels, config.width, config.context_width)
    model.to(device).train()
    average = StemAutoencoder(**model.config).to(device)
    average.load_state_dict(model.state_dict())
    for network in (model, average):
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=1e-4)
    schedule = NoiseSchedule.from_config(SD_SCHEDULE)
    checkpoint = out / "checkpoint.safetensors"
    first = _load_checkpoint(checkpoint, config, model, average, optimiser)
    started = time.monotonic()

    columns = (
        *Progress.get_default_columns()[:3],
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns) as progress, open(out / "losses.csv", "a") as log:
        task = progress.add_task("training", total=config.steps, completed=first, note="")
        for step in range(first, config.steps):
            for group in optimiser.param_groups:
                group["lr"] = _learning_rate(config, step)
            images = frames.batch(np.random.default_rng([config.seed, step]), config.batch_size)
            loss = codec_loss(model, images.to(device), schedule, config.clean, step, config.seed)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            _update_average(average, model, min(config.ema, (step + 1) / (step + 10)))
            if step % 20 == 0:
                progress.update(task, note=f"loss {loss.item():.4f}")
                log.write(f"{step},{loss.item():.5f},{time.monotonic() - started:.1f}\n")
            if (step + 1) % save_every == 0 or step + 1 == config.steps:
                log.flush()
                _save_checkpoint(checkpoint, config, step + 1, model, average, optimiser)
            progress.advance(task)

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


def _learning_rate(config: TrainConfig, step: int) -> float:
    warmup = min(1.0, (step + 1) / 200)
    return (
        config.learning_rate
        * warmup
        * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * step / config.steps)))
    )


@torch.no_grad()
def _update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    for ours, theirs in zip(
        average.state_dict().values(), model.state_dict().values(), strict=True
    ):
        if ours.is_floating_point():
            ours.lerp_(theirs, 1 - decay)
        else:
            ours.copy_(theirs)


def _save_checkpoint(
    path: Path,
    config: TrainConfig,
    step: int,
    model: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
) -> None:
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{k}": v for k, v in state.items()}
    tensors = {k: v.contiguous() for k, v in tensors.items()}
    metadata = {"step": str(step), "config": json.dumps(dataclasses.asdict(config))}
    temporary = path.with_suffix(".tmp")
    save_file(tensors, temporary, metadata=metadata)
    os.replace(temporary, path)


def _load_checkpoint(
    path: Path,
    config: TrainConfig,
    model: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
) -> int:
    if not path.exists():
        return 0
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    saved = json.loads(metadata["config"])
    if saved != dataclasses.asdict(config):
        raise ValueError(
            f"{path} was written with {saved}, this run has {dataclasses.asdict(config)}; "
            "use the same settings, or another --out"
        )
    tensors = load_file(path)
    model.load_state_dict(_with_prefix(tensors, "model."))
    average.load_state_dict(_with_prefix(tensors, "average."))
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in _with_prefix(tensors, "optimiser.").items():
        index, key = name.split(".")
        state.setdefault(int(index), {})[key] = tensor
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
    return int(metadata["step"])


def _with_prefix(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


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
