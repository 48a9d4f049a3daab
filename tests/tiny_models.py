"""Tiny models with seeded weights, and folders that hold them in diffusers' layout."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from stemob_wrappers.backbones.codecs import IdentityCodec
from stemob_wrappers.backbones.load import Backbone, load_backbone
from stemob_wrappers.backbones.networks import StemAutoencoder
from stemob_wrappers.diffusion.schedule import SD_SCHEDULE, NoiseSchedule


def pixel_backbone(stride: int = 1) -> Backbone:
    """A backbone whose latents are the pixels, so that results can be computed by hand."""
    return dataclasses.replace(
        load_backbone("embedded"),
        name="pixels",
        codec=IdentityCodec(stride),
        schedule=NoiseSchedule.from_config(SD_SCHEDULE),
        digest="no weights",
    )


def kl_autoencoder(seed: int = 0, **changes: Any) -> Any:
    """Stable Diffusion's kind of autoencoder, stride 2."""
    torch.manual_seed(seed)
    config: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "block_out_channels": (8, 8),
        "norm_num_groups": 4,
        "scaling_factor": 0.18215,
        "sample_size": 32,
    }
    return AutoencoderKL(**{**config, **changes}).eval()


def tiny_autoencoder(seed: int = 0) -> Any:
    """TAESD's kind of autoencoder, stride 4."""
    torch.manual_seed(seed)
    return AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8),
        decoder_block_out_channels=(8, 8, 8),
        num_encoder_blocks=(1, 1, 1),
        num_decoder_blocks=(1, 1, 1),
        scaling_factor=1.5,
    ).eval()


def save_diffusers_model(
    folder: Path, autoencoder: Any, scheduler: dict[str, Any] | None = None
) -> str:
    """Write an autoencoder and a scheduler as a diffusers pipeline's folder; return its path."""
    autoencoder.save_pretrained(folder / "vae")
    DDIMScheduler(**(SD_SCHEDULE | (scheduler or {}))).save_pretrained(folder / "scheduler")
    return str(folder)


def save_stem_backbone(folder: Path, seed: int = 0, scheduler: dict[str, Any] | None = None) -> str:
    """Write a backbone of the embedded kind, with random weights; return its path."""
    torch.manual_seed(seed)
    module = StemAutoencoder(2, 2, width=32, context_width=32, deep_width=32)
    with torch.no_grad():
        module.decoder.last.weight.mul_(20)  # untrained, it would give grey pictures
    module.save_pretrained(folder / "vae")
    (folder / "scheduler").mkdir()
    config = SD_SCHEDULE | (scheduler or {})
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StemBackbone"}))
    return str(folder)
