"""load_backbone: the networks of a backbone of ours, or of a diffusers model, once per process."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from stemob_wrappers.backbones.codecs import LatentCodec, wrap_autoencoder
from stemob_wrappers.backbones.digest import Network, Tensor, model_digest
from stemob_wrappers.backbones.folder import (
    StemFolder,
    is_stem_folder,
    stem_folder,
    unknown_name,
)
from stemob_wrappers.backbones.networks import StemAutoencoder, StemDenoiser, build_network
from stemob_wrappers.backbones.stamp import Stamp
from stemob_wrappers.diffusion.schedule import Schedule


@dataclass(frozen=True, eq=False)
class Backbone:
    """What a frame needs of a diffusion model.

    Attributes:
        name: as it was asked for.
        codec: images to latents and back.
        schedule: the noising process that the model was trained with.
        digest: hash of the weights as they were stored, whatever device and dtype they run in, and
            of every config that decides what they compute (see ``digest.py``).
        denoiser: answers for a latent and a timestep (see ``inversion.Denoiser``) and has a
            ``stride`` that latents must be padded to; None if it was not asked for.
        image_size: side of the square images that the model was trained on, or None if it does not
            say.
        figures: held-out PSNR in dB by frame size and by inversion steps of 50, as the model card
            states them; empty where there is none.
        plain: for a canonical backbone, whose pictures are not meant to be like the frames, the one
            that it shares its encoder with.
    """

    name: str
    codec: LatentCodec
    schedule: Schedule
    digest: str
    denoiser: Any = None
    image_size: int | None = None
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    plain: Backbone | None = None


_loaded: dict[tuple[Any, ...], tuple[Stamp, Backbone]] = {}
_lock = threading.Lock()


def _take_fresh_lock() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # a thread that is not in the child may have held it
    os.register_at_fork(after_in_child=_take_fresh_lock)


def load_backbone(
    name_or_path: str,
    *,
    codec: str | None = None,
    revision: str | None = None,
    denoiser: bool = False,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Backbone:
    """Load a backbone, once per process for the same arguments and files; thread-safe.

    A folder whose files changed is loaded again, as is another one of the same relative name.

    Args:
        name_or_path: ``"embedded"``, a folder in diffusers' layout, or a hub name ``"org/model"``.
        codec: another autoencoder in place of the model's own, a folder or a hub name.
        revision: revision of a hub model.
        denoiser: whether to load the denoiser too, which all methods but ``"ddpm"`` ask.
        device: where the networks run.
        dtype: floating type that they run in.

    Raises:
        ValueError: an unknown name, a model of an unsupported family, a codec that does not fit, a
            revision of what is not on the hub, a folder that reaches outside itself, configs or
            weights beyond all measure, or weights that are not finite.
        OSError: weights that are missing, truncated or corrupt.

    Example:
        >>> load_backbone("embedded").codec.latent_stride
        4
    """
    named = [stem_folder(name) for name in (name_or_path, codec) if name is not None]
    folders = tuple(folder.resolve() for folder in named if folder.is_dir())
    key = (name_or_path, codec, folders, revision, denoiser, str(device), dtype)
    with _lock:
        stamp, backbone = _loaded.pop(key, (None, None))
        stamp = stamp and stamp.renewed()
        if stamp is None or backbone is None:
            stamp = Stamp.of(folders)  # before it is read: what changes meanwhile is read again
            backbone = _load(name_or_path, codec, revision, denoiser, device, dtype)
        _loaded[key] = stamp, backbone
        return backbone


def _load(
    name: str,
    codec: str | None,
    revision: str | None,
    denoiser: bool,
    device: str,
    dtype: torch.dtype,
) -> Backbone:
    folder = stem_folder(name)
    ours = is_stem_folder(folder)
    if revision is not None and folder.is_dir():
        said = (
            f"revision={revision!r} names a version of a hub model; backbone {name!r} is a folder"
        )
        if ours:
            raise ValueError(f"{said} that has none: leave revision out")
        warnings.warn(f"{said}, which is loaded as it is", stacklevel=3)
    if ours:
        backbone = _load_stem(StemFolder(name, folder), codec, denoiser)
    elif folder.is_dir() or "/" in name:
        backbone = _load_diffusers(name, codec, revision, denoiser)
    else:
        raise unknown_name(name)
    networks = [backbone.codec.module, backbone.denoiser]
    if backbone.plain is not None:
        networks.append(backbone.plain.codec.module)
    for network in networks:
        if network is not None:
            network.eval().requires_grad_(False)
            # diffusers' own `to` warns about a list of layers that is empty.
            torch.nn.Module.to(network, device=device, dtype=dtype)
            if all(weight.dim() < 5 for weight in network.parameters()):  # no video's
                torch.nn.Module.to(  # pyright: ignore[reportCallIssue]
                    network, memory_format=torch.channels_last
                )
    return backbone


def _load_stem(folder: StemFolder, codec: str | None, denoiser: bool) -> Backbone:
    if codec is not None:
        raise ValueError(
            f"backbone {folder.name!r} has its own latents, so codec={codec!r} cannot replace its "
            "autoencoder; leave codec=None, or name a Stable Diffusion model as backbone"
        )
    adapter = wrap_autoencoder(build_network(StemAutoencoder, folder.autoencoder))
    network = None
    if denoiser:
        network = build_network(StemDenoiser, folder.denoiser)
        if network.latent_channels != adapter.channels:
            raise ValueError(
                f"the denoiser in {folder.denoiser.folder} works on {network.latent_channels} "
                f"channels, the codec has {adapter.channels}; train it again on this codec"
            )
    return Backbone(
        folder.name,
        adapter,
        folder.schedule,
        folder.digest(denoiser),
        network,
        figures=folder.figures,
        plain=_load_stem(folder.plain, None, denoiser=False) if folder.plain else None,
    )


def _load_diffusers(name: str, codec: str | None, revision: str | None, denoiser: bool) -> Backbone:
    from stemob_wrappers.backbones.families.registry import load_parts

    parts = load_parts(name, codec, revision, denoiser)
    networks = {
        role: Network(config, _tensors(module)) for role, (config, module) in parts.networks.items()
    }
    settings = {
        "scheduler": parts.scheduler,
        "scale": [parts.codec.scale, parts.codec.shift],
        "prompt": parts.prompt,
    }
    return Backbone(
        name,
        parts.codec,
        parts.schedule,
        model_digest(networks, settings),
        parts.denoiser,
        parts.image_size,
    )


def _tensors(module: torch.nn.Module) -> Iterator[Tensor]:
    """The weights of a network, as they were stored."""
    for name, tensor in module.state_dict().items():
        data = tensor.contiguous().view(-1).view(torch.uint8).numpy().data
        yield Tensor(name, str(tensor.dtype), tuple(tensor.shape), data)
