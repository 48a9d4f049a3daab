"""The embedded backbone's denoiser network: a small UNet on the codec's latents.

One level down only, so that any even latent size fits; the field of view comes from dilation.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from stemob_wrappers.backbones.autoencoder import load_network, save_network
from stemob_wrappers.schedule import SD_SCHEDULE, NoiseSchedule

TIME_CHANNELS = 128
DILATIONS = (1, 2, 4)


class StemDenoiser(nn.Module):
    """Predict the noise in a latent of :class:`StemAutoencoder`.

    Args:
        latent_channels: channels of the latent.
        width: channels of the convolutions at the latent's size.
        deep_width: channels at half of it.

    Latents are float [N, latent_channels, h, w] with h and w even, noised by the schedule of
    Stable Diffusion; the result is the predicted noise, of the same shape. 1.2 M weights and 0.8
    GFLOP for a 32 x 32 latent.

    Example:
        >>> StemDenoiser()(torch.zeros(2, 8, 22, 22), 81).shape
        torch.Size([2, 8, 22, 22])
    """

    prediction_type = "epsilon"
    stride = 2
    alpha_bars: torch.Tensor

    def __init__(self, latent_channels: int = 8, width: int = 64, deep_width: int = 128) -> None:
        super().__init__()
        self.config = {
            "latent_channels": latent_channels,
            "width": width,
            "deep_width": deep_width,
        }
        self.latent_channels = latent_channels
        self.time = nn.Sequential(nn.Linear(TIME_CHANNELS, TIME_CHANNELS), nn.SiLU())
        self.into = nn.Conv2d(latent_channels, width, 3, padding=1)
        self.before = ResidualBlock(width, 1)
        self.down = nn.Conv2d(width, deep_width, 2, stride=2)
        self.deep = nn.ModuleList(ResidualBlock(deep_width, dilation) for dilation in DILATIONS)
        self.up = nn.Sequential(nn.Conv2d(deep_width, 4 * width, 1), nn.PixelShuffle(2))
        self.after = ResidualBlock(width, 1)
        self.out = nn.Conv2d(width, latent_channels, 3, padding=1)
        alpha_bars = NoiseSchedule.from_config(SD_SCHEDULE).alpha_bars.astype(np.float32)
        self.register_buffer("alpha_bars", torch.from_numpy(alpha_bars), persistent=False)

    def forward(self, latent: torch.Tensor, timestep: int | torch.Tensor) -> torch.Tensor:
        """Predict the noise of latents at one timestep, or at one each (int64 [N])."""
        timestep = torch.as_tensor(timestep, device=latent.device).expand(len(latent))
        time = self.time(_sinusoids(timestep).to(latent.dtype))
        x = self.before(self.into(latent), time)
        deep = self.down(x)
        for block in self.deep:
            deep = block(deep, time)
        velocity = self.out(self.after(x + self.up(deep), time))
        # The network gives the velocity, which is of one size at all levels (arXiv 2202.00512).
        alpha_bar = self.alpha_bars[timestep].view(-1, 1, 1, 1).to(latent.dtype)
        return velocity * alpha_bar.sqrt() + latent * (1 - alpha_bar).sqrt()

    def save_pretrained(self, folder: Path) -> None:
        """Write config and weights in diffusers' folder layout (safetensors)."""
        save_network(self, folder)

    @classmethod
    def from_pretrained(cls, folder: Path) -> StemDenoiser:
        """Read what :meth:`save_pretrained` wrote; raises what ``load_network`` does."""
        return load_network(cls, folder)


class ResidualBlock(nn.Module):
    """Two convolutions, told the timestep in between by a scale and a shift."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1)
        )
        self.norm = nn.GroupNorm(8, width)
        self.modulate = nn.Linear(TIME_CHANNELS, 2 * width)
        self.second = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        scale, shift = self.modulate(time)[:, :, None, None].chunk(2, dim=1)
        hidden = self.norm(self.first(x)) * (1 + scale) + shift
        return x + self.second(F.silu(hidden))


def _sinusoids(timestep: torch.Tensor) -> torch.Tensor:
    """Encode timesteps as sines and cosines, float32 [N, TIME_CHANNELS]."""
    half = TIME_CHANNELS // 2
    powers = torch.arange(half, device=timestep.device, dtype=torch.float32) / half
    angles = timestep.float()[:, None] * torch.exp(-math.log(10_000) * powers)
    return torch.cat([angles.cos(), angles.sin()], dim=1)
