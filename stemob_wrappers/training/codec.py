"""Train the embedded backbone's codec on rendered scenes; seeded, resumable, never pickled.

Three terms make a change of appearance a short way in latent space and a change of layout a long
one, as the theory of Stem-OB (arXiv 2411.04919, section 4) wants it:

- *plain*: the frame, from its latents sqrt(alpha_bar) z + sqrt(1 - alpha_bar) eps. Without noise it
  teaches the look latents to be faithful; through noise it teaches the decoder alone, or appearance
  would grow loud to be heard;
- *canonical*: the frame in its scene's nominal appearance, through noise and by a decoder of its
  own, which teaches the layout latents what has to be heard;
- *alignment*: the distance between one state's layout latents under two appearances, over the
  distance between two states'.

The canonical decoder goes beyond Stem-OB and is shipped as a backbone of its own.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from stemob_wrappers import __version__
from stemob_wrappers.augment import random_conv
from stemob_wrappers.backbones.export import write_graph
from stemob_wrappers.backbones.folder import INDEX_FILE, StemFolder
from stemob_wrappers.backbones.networks import StemAutoencoder
from stemob_wrappers.diffusion.schedule import SD_SCHEDULE, NoiseSchedule
from stemob_wrappers.training.batches import Crops, FrameSource
from stemob_wrappers.training.loop import Run, optimise
from stemob_wrappers.training.losses import alignment_loss, contrast_weights, picture_loss
from stemob_wrappers.training.precision import autocast
from stemob_wrappers.training.repaint import Repainter
from stemob_wrappers.work import write_text

BATCH_SIZE = 24  # crops a step, a multiple of 4
LEARNING_RATE = 2e-3
DECODER_LEARNING_RATE = 1e-3
EMA = 0.999
MAX_TIMESTEP = 500  # the highest noise level that the decoders learn to see through
CANONICAL_MAX_TIMESTEP = 300  # just above 15 of 50 steps: the levels that are used
CLEAN = 0.5  # share of latents that the plain decoder gets without noise
CANONICAL_CLEAN = 0.2
REPAINTED = 0.5  # share of images that get another texture, and of those that get other light
FILTERED = 0.25  # share of images that a random convolution changes
PCA_BATCHES = 10


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training; they, the scenes and this version's code decide the weights.

    Attributes:
        steps: optimiser steps of encoder and both decoders together.
        decoder_steps: optimiser steps after them of the canonical decoder alone, which leave the
            plain backbone as it is and take half the time.
        alignment: weight of the alignment term.
        seed: of the weights, crops and noise.
        start: canonical backbone to go on from, a name or a folder; None starts from nothing.
        layout_channels, look_channels, look_scale, width, context_width, deep_width: see
            StemAutoencoder.
    """

    steps: int = 7_000
    decoder_steps: int = 0
    alignment: float = 1.5
    seed: int = 0
    start: str | None = None
    layout_channels: int = 12
    look_channels: int = 16
    look_scale: float = 0.03
    width: int = 64
    context_width: int = 80
    deep_width: int = 112


class Networks(nn.Module):
    """What is trained together: the plain autoencoder, and a canonical decoder of its latents."""

    def __init__(self, plain: StemAutoencoder) -> None:
        super().__init__()
        self.plain = plain
        self.canonical = StemAutoencoder(**plain.config | {"faithful": False}).decoder

    def canonical_autoencoder(self) -> StemAutoencoder:
        """The plain encoder with the canonical decoder."""
        canonical = StemAutoencoder(**self.plain.config | {"faithful": False})
        canonical.encoder, canonical.decoder = self.plain.encoder, self.canonical
        return canonical


def train_backbone(
    scenes: Sequence[Path],
    out: Path,
    config: TrainConfig | None = None,
    *,
    canonical: bool = False,
    device: str = "cpu",
    save_every: int = 500,
) -> Path:
    """Train on folders of scenes and write a backbone folder in diffusers' layout.

    A run that was stopped goes on from its checkpoint; resumed or not, it draws the same crops and
    noise at every step.

    Args:
        scenes: folders of rendered scenes, each drawn from equally often; appearance 0 of a scene
            is the nominal one.
        out: folder for the backbone, checkpoints and ``losses.csv``.
        canonical: whether ``out`` becomes the canonical backbone; the plain one that it shares its
            encoder with is then ``out / "plain"``.

    Returns:
        ``out``, which ``load_backbone`` and ``StemConfig(backbone=...)`` accept.

    Raises:
        ValueError: a folder holds no scene, the checkpoint belongs to other settings, ``start``
            names no canonical backbone, or there are ``decoder_steps`` without ``canonical``.

    Example:
        >>> from stemob_wrappers.renders.files import Scene, write_scene
        >>> frames = np.zeros((2, 3, 64, 64, 3), np.uint8)
        >>> scene = Scene(frames, np.zeros((2, 9), np.float32), {})
        >>> write_scene(scene, Path("scenes/scene-00000.safetensors"))
        >>> train_backbone([Path("scenes")], Path("mine"), TrainConfig(steps=1)).name
        'mine'
    """
    config = config or TrainConfig()
    check_decoder_steps(config.decoder_steps, canonical)
    frames = FrameSource(*scenes)
    repainter = Repainter(REPAINTED)
    model = _first_networks(config, frames).to(device).train()
    average = copy.deepcopy(model)
    for network in (model, average):
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    schedule = NoiseSchedule.from_config(SD_SCHEDULE)

    def loss_of(step: int) -> torch.Tensor:
        rng = np.random.default_rng([config.seed, step])
        crops = repaint(frames.draw(rng, BATCH_SIZE // 4 * 2), repainter, rng)
        crops = Crops(*(part.to(device) for part in crops))
        with autocast(device):
            if step >= config.steps:
                return decoder_loss(model, crops, schedule, config, step)
            return codec_loss(model, crops, schedule, config, step)

    settings = dataclasses.asdict(config)
    del settings["decoder_steps"]  # the first part of a run does not depend on the second
    if config.steps:
        run = Run(config.steps, LEARNING_RATE, EMA, settings)
        optimise(model, average, loss_of, run, out, save_every=save_every)
    if config.decoder_steps:
        model.load_state_dict(average.state_dict())
        model.plain.eval().requires_grad_(False)
        run = Run(config.decoder_steps, DECODER_LEARNING_RATE, EMA, settings)
        optimise(
            *(model, average, lambda step: loss_of(config.steps + step), run, out / "decoder"),
            save_every=save_every,
        )
    write_backbone(average.plain, out / "plain" if canonical else out, config)
    if canonical:
        write_backbone(average.canonical_autoencoder(), out, config, plain="plain")
    return out


def check_decoder_steps(decoder_steps: int, canonical: bool) -> None:
    """Raise ValueError for further steps of a decoder that is not written."""
    if decoder_steps and not canonical:
        raise ValueError(
            f"decoder_steps={decoder_steps} are for the canonical decoder, which is written with "
            "canonical=True (--canonical) only: ask for it, or leave decoder_steps out"
        )


def _first_networks(config: TrainConfig, frames: FrameSource) -> Networks:
    """The networks before the first step."""
    if config.start is not None:
        folder = StemFolder.named(config.start)
        if folder.plain is None:
            raise ValueError(
                "training goes on from a canonical backbone, which has both decoders; "
                f"{folder.path} is a plain one; name 'embedded-canonical', or the folder that "
                "--canonical wrote"
            )
        networks = Networks(StemAutoencoder.from_pretrained(folder.plain.path / "vae"))
        networks.canonical = StemAutoencoder.from_pretrained(folder.path / "vae").decoder
        return networks
    with torch.random.fork_rng(devices=[]):  # the caller's generator stays as it is
        torch.manual_seed(config.seed)
        plain = StemAutoencoder(
            config.layout_channels,
            config.look_channels,
            config.look_scale,
            config.width,
            config.context_width,
            config.deep_width,
        )
        networks = Networks(plain)
    draws = (np.random.default_rng([config.seed, 0, batch]) for batch in range(PCA_BATCHES))
    images = [F.interpolate(frames.batch(rng, BATCH_SIZE), 64) for rng in draws]
    start_from_principal_components(plain, torch.cat(images))
    return networks


@torch.no_grad()
def start_from_principal_components(plain: StemAutoencoder, images: torch.Tensor) -> None:
    """Make the look latents the principal components of 4 x 4 pixels, and decode them so.

    Args:
        images: float [N, 3, H, W] in [-1, 1].
    """
    blocks = F.pixel_unshuffle(images, 4).permute(0, 2, 3, 1).reshape(-1, 48)
    mean = blocks.mean(0)
    variances, directions = torch.linalg.eigh((blocks - mean).T @ (blocks - mean) / len(blocks))
    encode, decode = plain.encoder.look, plain.decoder.look
    count = encode.out_channels
    directions = directions.flip(1)[:, :count]
    deviations = variances.flip(0)[:count].clamp_min(1e-6).sqrt()
    assert encode.bias is not None
    assert decode is not None
    assert decode.bias is not None
    for layer in (encode, decode):
        nn.init.zeros_(layer.weight)
    encode.weight[:, :, 1, 1] = (directions / deviations).T
    encode.bias.copy_(-(mean @ directions) / deviations)
    decode.weight[:, :, 1, 1] = directions * deviations
    decode.bias.copy_(mean)


def repaint(crops: Crops, repainter: Repainter, rng: np.random.Generator) -> Crops:
    """The same states under still other appearances."""
    images = repainter(crops.images.flatten(0, 1), crops.nominal, rng)
    filtered = torch.from_numpy(rng.random(len(images)) < FILTERED)
    if filtered.any():
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        images[filtered] = 2 * random_conv(images[filtered] / 2 + 0.5, generator) - 1
    return crops._replace(images=images.unflatten(0, crops.images.shape[:2]))


def codec_loss(
    networks: Networks, crops: Crops, schedule: NoiseSchedule, config: TrainConfig, step: int
) -> torch.Tensor:
    """The three terms; ``step`` decides timesteps and noise."""
    latents = networks.plain.encode(crops.images.flatten(0, 1)).float()
    seed = _noise_seed(config, step)
    laid_out = latents[:, : networks.plain.layout_channels].unflatten(0, crops.images.shape[:2])
    return (
        plain_loss(networks.plain, latents, crops, schedule, seed)
        + canonical_loss(networks, latents, crops, schedule, seed + 1)
        + config.alignment * alignment_loss(laid_out)
    )


def decoder_loss(
    networks: Networks, crops: Crops, schedule: NoiseSchedule, config: TrainConfig, step: int
) -> torch.Tensor:
    """The canonical term alone; ``step`` decides timesteps and noise."""
    latents = networks.plain.encode(crops.images.flatten(0, 1)).float()
    return canonical_loss(networks, latents, crops, schedule, _noise_seed(config, step) + 1)


def _noise_seed(config: TrainConfig, step: int) -> int:
    return 2 * (config.seed * 1_000_003 + step)


def plain_loss(
    plain: StemAutoencoder,
    latents: torch.Tensor,
    crops: Crops,
    schedule: NoiseSchedule,
    seed: int,
) -> torch.Tensor:
    """How far the plain decoder is from the frames."""
    noised, alpha_bar = noise_latents(latents, schedule, CLEAN, seed, MAX_TIMESTEP)
    untouched = (alpha_bar == 1).view(-1, 1, 1, 1)
    noised = torch.where(untouched, noised, noised.detach())
    return picture_loss(plain.decode(noised, alpha_bar).float(), crops.images.flatten(0, 1))


def canonical_loss(
    networks: Networks,
    latents: torch.Tensor,
    crops: Crops,
    schedule: NoiseSchedule,
    seed: int,
) -> torch.Tensor:
    """How far the canonical decoder is from the nominal appearance; look latents learn nothing."""
    layout, look = latents.tensor_split([networks.plain.layout_channels], dim=1)
    noised, alpha_bar = noise_latents(
        torch.cat([layout, look.detach()], 1),
        schedule,
        CANONICAL_CLEAN,
        seed,
        CANONICAL_MAX_TIMESTEP,
    )
    weights = contrast_weights(crops.nominal) * crops.known.view(-1, 1, 1, 1)
    decoded = networks.plain.decode_with(networks.canonical, noised, alpha_bar).float()
    nominal, weights = (x.repeat(2, 1, 1, 1) for x in (crops.nominal, weights))
    return picture_loss(decoded, nominal, weights)


def noise_latents(
    latents: torch.Tensor,
    schedule: NoiseSchedule,
    clean: float,
    seed: int,
    max_timestep: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents at random levels up to ``max_timestep``, a share of them without noise.

    Returns:
        the latents, and alpha_bar of each, float [N].
    """
    generator = torch.Generator().manual_seed(seed)
    n = len(latents)
    timesteps = torch.randint(1, max_timestep, (n,), generator=generator)
    alpha_bar = torch.as_tensor(schedule.alpha_bars, dtype=torch.float32)[timesteps]
    alpha_bar[torch.rand(n, generator=generator) < clean] = 1.0
    noise = torch.randn(latents.shape, generator=generator).to(latents.device)
    alpha_bar = alpha_bar.to(latents.device)
    level = alpha_bar.view(n, 1, 1, 1)
    return latents * level.sqrt() + noise * (1 - level).sqrt(), alpha_bar


def write_backbone(
    model: StemAutoencoder, out: Path, config: Any, *, plain: str | None = None
) -> None:
    """Write codec, schedule and index of a trained backbone into a folder.

    Args:
        config: what it was trained with, a dataclass.
        plain: for a canonical backbone, where from ``out`` the one is that has its encoder.
    """
    model.save_pretrained(out / "vae")
    scheduler = {"_class_name": "DDIMScheduler", **SD_SCHEDULE}
    write_text(out / "scheduler" / "scheduler_config.json", json.dumps(scheduler, indent=2) + "\n")
    index = {
        "_class_name": "StemBackbone",
        "vae": ["stemob_wrappers", "StemAutoencoder"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "stemob_wrappers": __version__,
        "training": dataclasses.asdict(config),
    }
    if plain is not None:
        index["plain"] = plain
    write_text(out / INDEX_FILE, json.dumps(index, indent=2) + "\n")
    write_graph(out)
