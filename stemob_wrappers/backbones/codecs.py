"""Codecs: images in [-1, 1] to the latents a noise schedule expects, and back.

Each adapter hides what its autoencoder does in its own way: scaling, ranges, posterior types.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class LatentCodec:
    """Common shape of the adapters.

    Attributes:
        module: the network, or None where there is none.
        channels: channels of the latents.
        latent_stride: pixels a latent cell is wide.
        stride: multiple that height and width must be padded to.
        scale, shift: latents are (what the network gives - shift) * scale.
    """

    module: Any
    scale: float = 1.0
    shift: float = 0.0
    channels: int
    latent_stride: int
    stride: int

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Map images, float [N, 3, H, W] in [-1, 1], to latents [N, channels, H / s, W / s]."""
        raise NotImplementedError

    def decode(self, latents: torch.Tensor, alpha_bar: float = 1.0) -> torch.Tensor:
        """Map latents to images, float [N, 3, H, W], about in [-1, 1].

        Args:
            alpha_bar: noise level of the latents; only the embedded backbone's codec asks for it.
        """
        raise NotImplementedError


class StemCodec(LatentCodec):
    """The embedded backbone's own autoencoder; its latents have unit variance already."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.channels = module.latent_channels
        self.latent_stride = module.latent_stride
        self.stride = module.stride
        self.encode = module.encode
        self.decode = module.decode


class KLCodec(LatentCodec):
    """diffusers' AutoencoderKL: mode of the posterior, times the scaling factor.

    Source: latent diffusion, arXiv 2112.10752, section 3.1 and appendix G.
    """

    def __init__(self, module: Any) -> None:
        self.module = module
        self.channels = module.config.latent_channels
        self.latent_stride = self.stride = 2 ** (len(module.config.block_out_channels) - 1)
        self.scale = module.config.scaling_factor
        self.shift = module.config.shift_factor or 0.0

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        posterior = self.module.encode(images).latent_dist
        return (posterior.mode() - self.shift) * self.scale

    def decode(self, latents: torch.Tensor, alpha_bar: float = 1.0) -> torch.Tensor:
        return self.module.decode(latents / self.scale + self.shift).sample


class TinyCodec(LatentCodec):
    """diffusers' AutoencoderTiny (TAESD): deterministic latents, already scaled."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.channels = module.config.latent_channels
        self.latent_stride = self.stride = 2 ** (len(module.config.encoder_block_out_channels) - 1)
        self.scale = module.config.scaling_factor

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return self.module.encode(images).latents * self.scale

    def decode(self, latents: torch.Tensor, alpha_bar: float = 1.0) -> torch.Tensor:
        return self.module.decode(latents / self.scale).sample


class IdentityCodec(LatentCodec):
    """No autoencoder: the latents are the pixels, as pixel-space diffusion models have it."""

    module = None
    channels = 3
    latent_stride = 1

    def __init__(self, stride: int = 1) -> None:
        self.stride = stride

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return images

    def decode(self, latents: torch.Tensor, alpha_bar: float = 1.0) -> torch.Tensor:
        return latents


_ADAPTERS = {
    "StemAutoencoder": StemCodec,
    "AutoencoderKL": KLCodec,
    "AutoencoderTiny": TinyCodec,
}


def wrap_autoencoder(module: nn.Module) -> LatentCodec:
    """Return the adapter for an autoencoder.

    Raises:
        ValueError: an autoencoder that no adapter knows.

    Example:
        >>> from stemob_wrappers.backbones.networks import StemAutoencoder
        >>> wrap_autoencoder(StemAutoencoder()).channels
        28
    """
    name = type(module).__name__
    if name not in _ADAPTERS:
        raise ValueError(f"unsupported autoencoder {name}; supported: {', '.join(_ADAPTERS)}")
    return _ADAPTERS[name](module)
