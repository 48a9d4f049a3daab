"""Diffusion models on pixels, such as ``google/ddpm-cifar10-32``."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from stemob_wrappers.backbones.codecs import IdentityCodec
from stemob_wrappers.backbones.families.loading import (
    Model,
    Parts,
    at_timestep,
    load_network,
    prediction_type,
)
from stemob_wrappers.backbones.files import require_json
from stemob_wrappers.diffusion.schedule import schedule_fields, schedule_of
from stemob_wrappers.extras import needs


class PixelDenoiser(nn.Module):
    """The UNet of a DDPM on pixels, diffusers' UNet2DModel."""

    def __init__(self, unet: Any, prediction_type: str) -> None:
        super().__init__()
        self.unet = unet
        self.prediction_type = prediction_type
        self.stride = 2 ** (len(unet.config.block_out_channels) - 1)

    def forward(self, latent: torch.Tensor, timestep: float) -> torch.Tensor:
        return self.unet(latent, at_timestep(latent, timestep)).sample


def pixel_ddpm(model: Model, denoiser: bool) -> Parts:
    """Load a DDPM on pixels, whose files lie in folders of their own or in one."""
    if model.codec is not None:
        raise ValueError(
            f"{model.name} works on pixels, so codec={model.codec!r} has no latents to stand for; "
            "leave codec=None"
        )
    schedule = schedule_of(model.scheduler)
    places = ("unet/config.json", "config.json")
    config, folder = require_json(model.name, places, model.revision)
    if config.get("in_channels", 3) != 3:
        raise ValueError(
            f"{model.name} works on images of {config['in_channels']} channels, frames have 3 "
            "(RGB); choose another model"
        )
    size = config.get("sample_size")
    parts = Parts(
        codec=IdentityCodec(),
        schedule=schedule,
        scheduler=schedule_fields(model.scheduler),
        image_size=size if isinstance(size, int) else None,
    )
    if not denoiser:
        return parts
    with needs("diffusers"):
        from diffusers.models.unets.unet_2d import UNet2DModel

    kind = prediction_type(model, schedule)
    unet = load_network(UNet2DModel, config, model.name, folder, model.revision, "denoiser")
    return parts.with_denoiser(PixelDenoiser(unet, kind), {"unet": (config, unet)}, [])
