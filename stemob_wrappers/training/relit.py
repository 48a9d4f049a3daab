"""Train the codec on views that are painted and lit anew at every step.

Each view is seen under two looks. The canonical decoder makes its *target* of both
(`synthesis.TARGETS`), several targets at a time if so told, by heads that share all but the last
layer; the plain decoder gives the looks themselves back, from latents that learn nothing of it, so
that appearance does not grow loud to be heard. Layout latents of one view under two looks are drawn
together (`losses.alignment_loss`).
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

from stemob_wrappers.augment import random_conv
from stemob_wrappers.backbones.folder import StemFolder
from stemob_wrappers.backbones.networks import Decoder, StemAutoencoder
from stemob_wrappers.diffusion.schedule import SD_SCHEDULE, NoiseSchedule
from stemob_wrappers.renders.views import ROLES
from stemob_wrappers.training.loop import Run, optimise
from stemob_wrappers.training.losses import (
    alignment_loss,
    contrast_weights,
    hue_loss,
    picture_loss,
    roles_loss,
)
from stemob_wrappers.training.noised import (
    CANONICAL_MAX_TIMESTEP,
    MAX_TIMESTEP,
    noise_latents,
)
from stemob_wrappers.training.repaint import Repainter
from stemob_wrappers.training.synthesis import (
    TARGETS,
    TextureBank,
    camera_noise,
    draw_looks,
    mean_albedo,
    to_images,
)
from stemob_wrappers.training.view_crops import SKY, Crops, ViewSource
from stemob_wrappers.training.written import write_backbone

CELL = 4  # pixels a latent cell is wide
PIXELS = 3 * CELL**2  # channels that the decoder's last layer has for a picture
OBJECT = ROLES.index("object")


@dataclass(frozen=True)
class RelitConfig:
    """Settings of one training run; they and the views decide the weights.

    Attributes:
        steps: optimiser steps.
        batch_size: crops a step, a multiple of 4: half as many views, under two looks each.
        learning_rate: peak of AdamW's cosine schedule.
        ema: decay of the averaged weights that are written.
        look_scale: of the latents, see StemAutoencoder: how loud looks are beside the layout.
        targets: what the canonical decoder is trained to give, names of ``TARGETS``.
        clean, canonical_clean: share of latents that the decoders get without noise.
        alignment: weight of the alignment term.
        objects: how much more the pixels of objects weigh, above 1.
        hue: weight of the hue of objects.
        repainted: share of images that get a texture over their largest surface, and of those
            that get other light, beside their new look.
        rendered: share of the views that are seen once as a renderer shows them painted and lit,
            with its reflections, in place of one of their two looks.
        filtered: share of images that a random convolution changes.
        plain_share: share of the images that the plain decoder is trained on.
        frozen_encoder: train the decoders alone.
        roles: weight of a head for training alone, which says what each pixel shows: floor, wall,
            table, object, robot or sky (after RCAN, arXiv 1812.07252).
        context_blocks, deep_blocks: residual blocks of the decoders, see StemAutoencoder; those
            that ``start`` lacks begin as nothing.
        seed: of the crops, looks and noise.
        start: canonical backbone to go on from, a name or a folder.
    """

    steps: int = 5_000
    batch_size: int = 32
    learning_rate: float = 2e-3
    ema: float = 0.999
    look_scale: float = 0.5
    targets: tuple[str, ...] = ("foreground",)
    clean: float = 0.5
    canonical_clean: float = 0.2
    alignment: float = 0.2
    objects: float = 3.0
    hue: float = 4.0
    repainted: float = 0.15
    rendered: float = 0.5
    filtered: float = 0.05
    plain_share: float = 0.25
    frozen_encoder: bool = False
    roles: float = 0.5
    context_blocks: int = 1
    deep_blocks: int = 2
    seed: int = 0
    start: str = "embedded-canonical"


class RelitNetworks(nn.Module):
    """What is trained together: a plain autoencoder, and a canonical decoder with several heads."""

    def __init__(self, plain: StemAutoencoder, canonical: Decoder, targets: Sequence[str]) -> None:
        super().__init__()
        self.plain = plain
        self.canonical = with_heads(canonical, len(targets))
        self.targets = tuple(targets)
        self.roles = nn.Conv2d(canonical.last.in_channels, CELL**2 * (SKY + 1), 3, padding=1)

    def canonical_autoencoder(self, target: str) -> StemAutoencoder:
        """The plain encoder with the canonical decoder of one target."""
        single = StemAutoencoder(**self.plain.config | {"faithful": False})
        single.encoder = self.plain.encoder
        head = self.targets.index(target)
        single.decoder.load_state_dict(_head_weights(self.canonical, head))
        return single


def with_heads(decoder: Decoder, heads: int) -> Decoder:
    """A copy of a canonical decoder that gives ``heads`` pictures, at first all the same."""
    decoder = copy.deepcopy(decoder)
    width = decoder.last.in_channels
    last = nn.Conv2d(width, PIXELS * heads, 3, padding=1)
    level = nn.Linear(32, 2 * width + PIXELS * heads)
    old: nn.Linear = decoder.level[2]  # pyright: ignore[reportAssignmentType]
    assert decoder.last.bias is not None
    assert last.bias is not None
    with torch.no_grad():
        last.weight.copy_(decoder.last.weight.repeat(heads, 1, 1, 1))
        last.bias.copy_(decoder.last.bias.repeat(heads))
        for new, had in ((level.weight, old.weight), (level.bias, old.bias)):
            shared, own = had.split([2 * width, PIXELS])
            new.copy_(torch.cat([shared, own.repeat(heads, *[1] * (own.dim() - 1))]))
    decoder.last, decoder.level[2] = last, level
    decoder.split = (width, width, PIXELS * heads)  # pyright: ignore[reportAttributeAccessIssue]
    return decoder


def _head_weights(decoder: Decoder, head: int) -> dict[str, torch.Tensor]:
    """Weights of one head alone."""
    weights = dict(decoder.state_dict())
    own = slice(PIXELS * head, PIXELS * (head + 1))
    shared = 2 * decoder.last.in_channels
    for name in ("last.weight", "last.bias"):
        weights[name] = weights[name][own]
    for name in ("level.2.weight", "level.2.bias"):
        weights[name] = torch.cat([weights[name][:shared], weights[name][shared:][own]])
    return weights


def train_on_views(
    views: Sequence[Path],
    out: Path,
    config: RelitConfig | None = None,
    *,
    save_every: int = 250,
    workers: int = 0,
) -> Path:
    """Train on folders of views; write a canonical backbone for each target, and the plain one.

    A run that was stopped goes on from ``out/checkpoint.safetensors``; resumed or not, it draws the
    same crops, looks and noise at every step.

    Args:
        views: folders that `renders.views` filled.
        out: folder for the backbones ``out/<target>``, each with its plain one inside, the
            checkpoint and ``losses.csv``.
        save_every: steps between two checkpoints, each of which also writes the backbones.
        workers: processes that draw looks beside the one that trains; the weights do not depend on
            how many there are.

    Returns:
        ``out``.

    Raises:
        ValueError: a folder holds no views, the checkpoint belongs to other settings, or ``start``
            names no canonical backbone.
    """
    config = config or RelitConfig()
    return train(Batches(views, config), out, config, save_every=save_every, workers=workers)


def train(
    batches: Dataset[Batch],
    out: Path,
    config: RelitConfig,
    *,
    save_every: int = 250,
    workers: int = 0,
) -> Path:
    """The same from any batches, by step."""
    model = first_networks(config).train()
    # Looks are said as they were; only how loud they are said has changed.
    model.plain.encoder.look.requires_grad_(False)
    if config.frozen_encoder:
        model.plain.encoder.eval().requires_grad_(False)
    average = copy.deepcopy(model)
    for network in (model, average):
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    schedule = NoiseSchedule.from_config(SD_SCHEDULE)
    settings = dataclasses.asdict(config) | {"targets": list(config.targets)}

    ahead: Iterator[Batch] = iter(())

    def loss_of(step: int) -> torch.Tensor:
        nonlocal ahead
        batch = next(ahead, None)
        if batch is None:  # the first step of this run, wherever it goes on
            ahead = from_step(batches, step, config.steps, workers)
            batch = next(ahead)
        return relit_loss(model, batch, schedule, config, step)

    def write() -> None:
        write_backbones(average, out, config)

    run = Run(config.steps, config.learning_rate, config.ema, settings)
    optimise(model, average, loss_of, run, out, save_every=save_every, saved=write)
    return out


def write_backbones(networks: RelitNetworks, out: Path, config: RelitConfig) -> None:
    """Write each target's backbone, with the plain one inside."""
    for target in networks.targets:
        alone = dataclasses.replace(config, targets=(target,))
        write_backbone(networks.plain, out / target / "plain", config)
        canonical = networks.canonical_autoencoder(target)
        write_backbone(canonical, out / target, alone, plain="plain")


def first_networks(config: RelitConfig) -> RelitNetworks:
    """The networks before the first step: those of ``start``, with looks as loud as wanted."""
    folder = StemFolder.named(config.start)
    if folder.plain is None:
        raise ValueError(
            "training goes on from a canonical backbone, which has both decoders; "
            f"{folder.path} is a plain one; name 'embedded-canonical', or a folder trained here"
        )
    loaded = StemAutoencoder.from_pretrained(folder.plain.path / "vae")
    settings: dict[str, Any] = {
        **loaded.config,
        "look_scale": config.look_scale,
        "context_blocks": config.context_blocks,
        "deep_blocks": config.deep_blocks,
    }
    torch.manual_seed(config.seed)
    plain = _taking_over(StemAutoencoder(**settings), loaded)
    loaded = StemAutoencoder.from_pretrained(folder.path / "vae")
    canonical = _taking_over(StemAutoencoder(**settings | {"faithful": False}), loaded)
    return RelitNetworks(plain, canonical.decoder, config.targets)


def _taking_over(model: StemAutoencoder, trained: StemAutoencoder) -> StemAutoencoder:
    """The model with the weights of a trained one, which may lack its last residual blocks."""
    lacking, unknown = model.load_state_dict(trained.state_dict(), strict=False)
    if unknown or any("_blocks." not in name for name in lacking):
        raise ValueError(
            "training goes on from networks of the same widths that have at most as many blocks, "
            f"{model.config}; received {trained.config}"
        )
    return model


@dataclass(frozen=True)
class Batch:
    """N views under two looks.

    Attributes:
        images: float [2, N, 3, h, w] in [-1, 1].
        targets: by name, float [2, N, 3, h, w] in [-1, 1].
        roles: int64 [N, h, w], places in ``ROLES``, or ``SKY``.
    """

    images: torch.Tensor
    targets: dict[str, torch.Tensor]
    roles: torch.Tensor


class LookSource:
    """Images of views under drawn looks, for what is trained on the latents of a finished codec.

    Args:
        folders: that `renders.views` filled.
    """

    def __init__(self, *folders: Path) -> None:
        self.source, self.bank = ViewSource(*folders), TextureBank()

    def batch(self, rng: np.random.Generator, batch_size: int) -> torch.Tensor:
        """Draw images, float [batch_size, 3, h, w] in [-1, 1]."""
        crops = self.source.draw(rng, batch_size + batch_size % 2)
        return draw_looks(rng, crops, self.bank)[0][:batch_size]


class Batches(Dataset[Batch]):
    """The batch of every step, each drawn from its own seed.

    Args:
        views: folders that `renders.views` filled.
    """

    def __init__(self, views: Sequence[Path], config: RelitConfig) -> None:
        self.views, self.config = tuple(views), config
        self._drawn_from: tuple[ViewSource, TextureBank, Repainter] | None = None
        ViewSource(*views)  # a folder without views is said before a worker is started

    def __getitem__(self, step: int) -> Batch:
        torch.set_num_threads(1)
        if self._drawn_from is None:  # in the process that draws
            repainter = Repainter(self.config.repainted)
            self._drawn_from = ViewSource(*self.views), TextureBank(), repainter
        rng = np.random.default_rng([self.config.seed, step])
        return draw_batch(rng, *self._drawn_from, self.config)


def from_step(batches: Dataset[Batch], step: int, steps: int, workers: int) -> Iterator[Batch]:
    """All batches from one step on, drawn ahead by worker processes if there are any."""
    return iter(
        DataLoader(
            batches,
            batch_size=None,
            sampler=range(step, steps),
            num_workers=workers,
            # A process that has rendered must not be forked.
            multiprocessing_context="spawn" if workers else None,
        )
    )


def draw_batch(
    rng: np.random.Generator,
    source: ViewSource,
    bank: TextureBank,
    repainter: Repainter,
    config: RelitConfig,
) -> Batch:
    """Draw views, two looks of each, and what is to be made of them."""
    crops = source.draw(rng, config.batch_size // 4 * 2)
    twice = Crops(*(part.repeat(2, *[1] * (part.dim() - 1)) for part in crops))
    images, paint = draw_looks(rng, twice, bank)
    seen = mean_albedo(twice, paint, bank)
    shown = torch.from_numpy(rng.random(len(crops.nominal)) < config.rendered)
    shown &= crops.rendered.amax((1, 2, 3)) > 0
    first = shown.nonzero()[:, 0]
    images[first] = to_images(camera_noise(rng, crops.rendered))[first]
    seen[first] = crops.rendered_colours[first]
    images = repainter(images, to_images(crops.nominal), rng)
    filter_some(images, config.filtered, rng)
    pictures = {name: to_images(TARGETS[name](twice, seen)) for name in config.targets}
    return Batch(
        images.unflatten(0, (2, -1)),
        {name: picture.unflatten(0, (2, -1)) for name, picture in pictures.items()},
        crops.of_pixels(crops.roles),
    )


def filter_some(images: torch.Tensor, share: float, rng: np.random.Generator) -> None:
    """Change a share of images [N, 3, h, w] in [-1, 1], in place, by a random convolution each."""
    filtered = torch.from_numpy(rng.random(len(images)) < share)
    if filtered.any():
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        images[filtered] = 2 * random_conv(images[filtered] / 2 + 0.5, generator) - 1


def relit_loss(
    networks: RelitNetworks, batch: Batch, schedule: NoiseSchedule, config: RelitConfig, step: int
) -> torch.Tensor:
    """All terms; ``step`` decides timesteps and noise."""
    images = batch.images.flatten(0, 1)
    latents = networks.plain.encode(images)
    seed = 2 * (config.seed * 1_000_003 + step)
    loss = canonical_loss(networks, latents, batch, schedule, config, seed + 1)
    if config.alignment:
        layout = latents[:, : networks.plain.layout_channels]
        loss = loss + config.alignment * alignment_loss(layout.unflatten(0, (2, -1)))
    few = max(1, round(config.plain_share * len(images)))
    noised, alpha_bar = noise_latents(
        latents[:few].detach(), schedule, config.clean, seed, MAX_TIMESTEP
    )
    return loss + picture_loss(networks.plain.decode(noised, alpha_bar), images[:few])


def canonical_loss(
    networks: RelitNetworks,
    latents: torch.Tensor,
    batch: Batch,
    schedule: NoiseSchedule,
    config: RelitConfig,
    seed: int,
) -> torch.Tensor:
    """How far the canonical decoder is from its targets, the mean over them."""
    noised, alpha_bar = noise_latents(
        latents, schedule, config.canonical_clean, seed, CANONICAL_MAX_TIMESTEP
    )
    decoder = networks.canonical
    noised, sigma = networks.plain.filtered(noised, alpha_bar)
    features, share = decoder.features(noised, sigma)
    decoded = decoder.paint(features, share, noised, sigma)
    roles = batch.roles.repeat(2, 1, 1)
    objects = (roles == OBJECT)[:, None]
    loss = config.roles * roles_loss(F.pixel_shuffle(networks.roles(features), CELL), roles)
    for picture, target in zip(
        decoded.chunk(len(networks.targets), 1), batch.targets.values(), strict=True
    ):
        wanted = target.flatten(0, 1)
        weights = contrast_weights(wanted) * (1 + config.objects * objects)
        each = picture_loss(picture, wanted, weights)
        each = each + config.hue * hue_loss(picture, wanted, objects)
        loss = loss + each / len(networks.targets)
    return loss
