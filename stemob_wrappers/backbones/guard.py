"""Look at a part of a diffusers model before it takes memory, and at its weights before use."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from stemob_wrappers.backbones.files import find_file, inside, read_json

# Fields that say how often something is repeated; each time it has a tensor at least.
REPEATS = (
    *("layers_per_block", "transformer_layers_per_block", "reverse_transformer_layers_per_block"),
    *("num_layers", "num_hidden_layers", "num_encoder_blocks", "num_decoder_blocks"),
    *("num_single_layers", "num_decoder_layers", "num_res_blocks", "dim_mult"),
    *("encoder_layers_per_block", "decoder_layers_per_block"),
)


def check_folder(name: str, folder: str) -> None:
    """Check that a part of a model on this machine reads its own files alone.

    Raises:
        ValueError: a link that leads out of the model's folder, or an adapter, which would be
            put on a model elsewhere.
    """
    part = Path(name, folder)
    if not part.is_dir():
        return
    for path in (part, *part.iterdir()):
        inside(Path(name), str(path.relative_to(name)))
    if (part / "adapter_config.json").exists():
        raise ValueError(
            f"{part} holds an adapter, which names a model elsewhere; merge it into the weights, "
            "and remove adapter_config.json"
        )


def check_size(
    name: str, folder: str, revision: str | None, weights: str, make: Callable[[], nn.Module]
) -> None:
    """Check that a network declares no more than its files hold, and those no more than fits.

    Args:
        name: folder, or hub name of the model.
        folder: where the part lies inside the model.
        revision: revision of a hub model.
        weights: name of its weights file, without ``.safetensors``.
        make: makes the network of its config; called where tensors have no data.

    Raises:
        ValueError: a config that is none, or that declares more than the files hold; files larger
            than this machine's memory; a list of files that leads out of the part's folder.
    """
    files = list(_weight_files(name, folder, revision, weights))
    _check_memory(name, folder, sum(file.stat().st_size for file in files))
    try:
        held = [shape for file in files for shape in _shapes(file)]
    except SafetensorError:
        return  # truncated or corrupt, as loading it will say
    config = read_json(name, (str(Path(folder, "config.json")),), revision)
    if not held or config is None:
        return  # a part is missing, as loading it will say
    _check_repeats(name, folder, config[0], len(held))
    try:
        with torch.device("meta"):
            tensors = make().state_dict(keep_vars=True).values()
        # A tensor of two names, as T5's embeddings are, is stored once.
        declared = sum({id(tensor): tensor.numel() for tensor in tensors}.values())
    except Exception as error:
        raise ValueError(
            f"{folder or 'the folder'} of {name} has a config of no such network ({error}); "
            "download it again"
        ) from error
    if declared > (count := sum(map(math.prod, held))):
        raise ValueError(
            f"the config in {folder or 'the folder'} of {name} declares {declared:,} weights, its "
            f"files hold {count:,}; download config and weights again"
        )
    _check_memory(name, folder, 4 * declared)  # it is loaded in float32


def _check_memory(name: str, folder: str, size: int) -> None:
    memory = _memory_bytes()
    if size > memory:
        raise ValueError(
            f"the weights in {folder or 'the folder'} of {name} take {size / 2**30:,.0f} GiB, "
            f"this machine has {memory / 2**30:,.0f} GiB of memory; choose a smaller model, or "
            "method='ddpm', which needs the autoencoder alone"
        )


def check_finite(module: nn.Module, name: str, folder: str) -> None:
    """Check that no weight is infinite or not a number.

    Raises:
        ValueError: one is.
    """
    for key, tensor in module.state_dict().items():
        if not tensor.is_floating_point() or not tensor.numel():
            continue
        if not torch.stack(tensor.aminmax()).isfinite().all():  # both are NaN if one value is
            raise ValueError(
                f"{folder or 'the folder'} of {name} has weights that are infinite or not a number "
                f"in {key}; download it again, or train it again"
            )


def _weight_files(name: str, folder: str, revision: str | None, weights: str) -> Iterator[Path]:
    whole = find_file(name, str(Path(folder, f"{weights}.safetensors")), revision)
    if whole is not None:
        yield whole
        return
    index = read_json(name, (str(Path(folder, f"{weights}.safetensors.index.json")),), revision)
    listed = {} if index is None else index[0].get("weight_map", {})
    for file in sorted(set(listed.values())):
        if Path(file).name != file:
            raise ValueError(
                f"{folder or 'the folder'} of {name} lists weights in {file!r}, which is no file "
                "of that folder; download it again"
            )
        found = find_file(name, str(Path(folder, file)), revision)
        if found is not None:
            yield found


def _shapes(path: Path) -> list[list[int]]:
    with safe_open(path, framework="np") as file:
        return [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118


def _check_repeats(name: str, folder: str, config: dict[str, Any], tensors: int) -> None:
    for field, value in config.items():
        values = value if isinstance(value, list) else [value]
        counts = [v for v in values if isinstance(v, int)] if field in REPEATS else []
        if max([len(values), *counts]) > tensors:
            raise ValueError(
                f"the config in {folder or 'the folder'} of {name} declares {field}={value!r:.40}, "
                f"its files hold {tensors} tensors; download config and weights again"
            )


def _memory_bytes() -> float:
    if not hasattr(os, "sysconf"):  # Windows
        return math.inf
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
