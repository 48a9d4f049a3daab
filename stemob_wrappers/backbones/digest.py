"""What a model is, as one digest: its weights and every config field that decides what it computes.

Needs no PyTorch: a backbone of ours is hashed from its files (see ``folder.py``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# Fields of a config that do not decide what the network computes, and why. All others count, known
# or not: a field too many tells two equal models apart, a field too few takes one for another.
IGNORED = {
    "_diffusers_version": "the release that wrote the file; what it changed shows in other fields",
    "transformers_version": "likewise",
    "_name_or_path": "where the model was loaded from before it was saved",
    "_commit_hash": "of the repository it was downloaded from",
    "architectures": "the classes it was saved from; the loader chooses its own",
}


@dataclass(frozen=True)
class Tensor:
    """A tensor as it is stored.

    Attributes:
        name: within its network.
        dtype: as safetensors names it, such as ``"F32"``.
        shape: its sizes.
        data: its bytes, row by row, little-endian.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes | bytearray | memoryview


@dataclass(frozen=True)
class Network:
    """One network of a model.

    Attributes:
        config: the fields of its ``config.json``.
        tensors: its weights.
    """

    config: Mapping[str, Any]
    tensors: Iterable[Tensor]


def model_digest(networks: Mapping[str, Network], settings: Mapping[str, Any]) -> str:
    """Hash a model to 32 hexadecimal digits (blake2b).

    Args:
        networks: by role, such as ``"vae"``; all whose output decides the result.
        settings: what decides it beside them, as JSON: the scheduler's fields, a prompt's tokens.

    Example:
        >>> bias = Tensor("bias", "F32", (1,), bytes(4))
        >>> one, other = (Network({"width": width}, [bias]) for width in (8, 16))
        >>> model_digest({"vae": one}, {}) == model_digest({"vae": other}, {})
        False
    """
    digest = hashlib.blake2b(digest_size=16)
    digest.update(_line(["settings", settings]))
    for role, network in sorted(networks.items()):
        digest.update(_line([role, without_ignored(network.config)]))
        for tensor in sorted(network.tensors, key=lambda tensor: tensor.name):
            digest.update(_line([tensor.name, tensor.dtype, tensor.shape, len(tensor.data)]))
            digest.update(tensor.data)
    return digest.hexdigest()


def without_ignored(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a config that decide what the network computes.

    Example:
        >>> without_ignored({"act_fn": "silu", "_diffusers_version": "0.42.1"})
        {'act_fn': 'silu'}
    """
    return {name: value for name, value in config.items() if name not in IGNORED}


def _line(value: Any) -> bytes:
    """Canonical JSON and an end of line, which JSON has none of inside."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"
