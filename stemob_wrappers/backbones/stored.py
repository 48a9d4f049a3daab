"""A network of ours as it lies in a folder, checked before it takes memory; needs no PyTorch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize

from stemob_wrappers.backbones.digest import Network, Tensor
from stemob_wrappers.backbones.files import inside, parse_json

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"
MAX_CHANNELS = 1024  # the shipped networks have 128 at most
MAX_BLOCKS = 64
MAX_WEIGHTS_BYTES = 2**30

_FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16}


@dataclass(frozen=True)
class StoredNetwork:
    """What :func:`read_network` read.

    Attributes:
        folder: where it lies.
        config: its class as ``"_class_name"``, and the arguments of that class.
        data: the bytes of its weights file, in safetensors' format.
        network: config and tensors, for a digest.
    """

    folder: Path
    config: dict[str, Any]
    data: bytes
    network: Network

    @property
    def arguments(self) -> dict[str, Any]:
        """What its class is called with."""
        return {name: value for name, value in self.config.items() if not name.startswith("_")}


def read_network(model: Path, place: str = "") -> StoredNetwork:
    """Read a network of ours, once: what is hashed is what is loaded.

    Args:
        model: folder of the model, outside of which nothing is read.
        place: folder of the network within.

    Raises:
        OSError: a file is missing, or truncated or corrupt.
        ValueError: a file outside the model's folder, a config or weights beyond all measure,
            weights that are not finite.
    """
    folder = model / place
    config = parse_json(inside(model, str(Path(place, CONFIG_FILE))))
    _check_config(folder / CONFIG_FILE, config)
    path = inside(model, str(Path(place, WEIGHTS_FILE)))
    if (size := path.stat().st_size) > MAX_WEIGHTS_BYTES:
        raise ValueError(
            f"{path} has {size / 2**30:,.1f} GiB; a network of this package has "
            f"{MAX_WEIGHTS_BYTES / 2**30:.0f} GiB at most, so this is none"
        )
    data = path.read_bytes()
    try:
        found = deserialize(data)
    except SafetensorError as error:
        raise OSError(
            f"the weights file {path} is truncated or corrupt ({error}); "
            "install the package again, or train the backbone again"
        ) from error
    tensors = [
        Tensor(name, fields["dtype"], tuple(fields["shape"]), fields["data"])
        for name, fields in found
    ]
    _check_values(path, tensors)
    return StoredNetwork(folder, config, data, Network(config, tensors))


def _check_config(path: Path, config: dict[str, Any]) -> None:
    if not isinstance(config.get("_class_name"), str):
        raise ValueError(f"{path} names no class of networks; train the backbone again")
    for name, value in config.items():
        if isinstance(value, bool) or name.startswith("_"):
            continue
        if isinstance(value, int | float):
            if name.endswith("_blocks"):
                fits = 0 <= value <= MAX_BLOCKS
            elif isinstance(value, float) or name.endswith("scale"):
                fits = 0 < value <= 1
            else:
                fits = 1 <= value <= MAX_CHANNELS
            if fits:
                continue
        raise ValueError(
            f"{path} has {name}={value!r:.40}; a network of this package has 1 to {MAX_CHANNELS} "
            f"channels, up to {MAX_BLOCKS} blocks and scales in (0, 1]; "
            "mend the file, or train the backbone again"
        )


def _check_values(path: Path, tensors: list[Tensor]) -> None:
    for tensor in tensors:
        if tensor.dtype in _FLOATS:
            finite = np.isfinite(np.frombuffer(tensor.data, _FLOATS[tensor.dtype])).all()
        elif tensor.dtype == "BF16":  # all exponent bits set: infinite or not a number
            finite = ((np.frombuffer(tensor.data, np.uint16) & 0x7F80) != 0x7F80).all()
        elif tensor.dtype == "I64":  # what normalisation layers count
            finite = True
        else:
            raise ValueError(
                f"{path} has {tensor.name} of type {tensor.dtype}; required are F64, F32, F16 or "
                "BF16: save the network again in one of them"
            )
        if not finite:
            raise ValueError(
                f"{path} has values that are infinite or not a number in {tensor.name}, "
                f"{math.prod(tensor.shape)} values; its training went wrong: train it again"
            )
