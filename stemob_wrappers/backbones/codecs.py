"""Codecs: images in [-1, 1] to the latents a noise schedule expects, and back.

Each adapter hides what its autoencoder does in its own way: scaling, ranges, posterior types.
"""

from __future__ import annotations

import threading
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
        scale, shift: latents are (what the network gives - shift) * scale; numbers, or one for each
            channel.
    """

    module: Any
    scale: float | list[float] = 1.0
    shift: float | list[float] = 0.0
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

    def _normalised(self, latents: torch.Tensor) -> torch.Tensor:
        return (latents - _values(self.shift, latents)) * _values(self.scale, latents)

    def _as_stored(self, latents: torch.Tensor) -> torch.Tensor:
        return latents / _values(self.scale, latents) + _values(self.shift, latents)


def _values(values: float | list[float], latents: torch.Tensor) -> float | torch.Tensor:
    """One value for all channels, or one each, to be broadcast over latents [N, C, h, w]."""
    if not isinstance(values, list):
        return values
    return latents.new_tensor(values).view(1, -1, 1, 1)


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
        mean, std = (module.config.get(f"latents_{name}") for name in ("mean", "std"))
        if mean is not None and std is not None:  # some SDXL models
            self.scale = [self.scale / value for value in std]
            self.shift = list(mean)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return self._normalised(self.module.encode(images).latent_dist.mode())

    def decode(self, latents: torch.Tensor, alpha_bar: float = 1.0) -> torch.Tensor:
        return self.module.decode(self._as_stored(latents)).sample


class TinyCodec(LatentCodec):
    """diffusers' AutoencoderTiny (TAESD): deterministic latents, already scaled."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.channels = module.config.latent_channels
        self.latent_stride = self.stride = 2 ** (len(module.config.encoder_block_out_channels) - 1)
        self.scale = module.config.scaling_factor
        self.shift = module.config.shift_factor

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return self._normalised(self.module.encode(images).latents)

    def decode(self, latents: torch.Tensor, alpha_bar: float = 1.0) -> torch.Tensor:
        return self.module.decode(self._as_stored(latents)).sample


class DeepCompressionCodec(LatentCodec):
    """diffusers' AutoencoderDC (DC-AE): deterministic latents of few, wide cells.

    Source: arXiv 2410.10733.
    """

    def __init__(self, module: Any) -> None:
        self.module = module
        self.channels = module.config.latent_channels
        self.latent_stride = self.stride = module.spatial_compression_ratio
        self.scale = module.config.scaling_factor

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return self._normalised(self.module.encode(images).latent)

    def decode(self, latents: torch.Tensor, alpha_bar: float = 1.0) -> torch.Tensor:
        return self.module.decode(self._as_stored(latents)).sample


class VideoCodec(LatentCodec):
    """diffusers' AutoencoderKLQwenImage: an image is a video of one frame.

    Its latents are normalised by a mean and a standard deviation for each channel. Source:
    arXiv 2508.02324, section 2.
    """

    def __init__(self, module: Any) -> None:
        self.module = module
        self.channels = module.config.z_dim
        self.latent_stride = self.stride = module.spatial_compression_ratio
        self.scale = [1.0 / value for value in module.config.latents_std]
        self.shift = list(module.config.latents_mean)
        self._lock = threading.Lock()  # the network keeps what it saw of a video in itself

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        with self._lock:
            posterior = self.module.encode(images.unsqueeze(2)).latent_dist
        return self._normalised(posterior.mode().squeeze(2))

    def decode(self, latents: torch.Tensor, alpha_bar: float = 1.0) -> torch.Tensor:
        with self._lock:
            return self.module.decode(self._as_stored(latents).unsqueeze(2)).sample.squeeze(2)


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
    "AutoencoderDC": DeepCompressionCodec,
    "AutoencoderKLQwenImage": VideoCodec,
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
