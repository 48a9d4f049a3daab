"""TODO"""

from __future__ import annotations

import torch
from torch import nn


class StemAutoencoderV1(nn.Module):
    """Autoencoder with unit-variance latents a quarter of the frame's size.

    Args:
        latent_channels: channels of the latent.
        width: channels of the convolutions at stride 4.
        context_width: channels of the decoder's residual block at stride 8.

    Images are float [N, 3, H, W] in [-1, 1] with H and W multiples of 8; latents are float
    [N, latent_channels, H / 4, W / 4] with mean 0 and variance 1 per channel over the training
    frames.

    Example:
        >>> codec = StemAutoencoderV1().eval()
        >>> codec.decode(codec.encode(torch.zeros(2, 3, 32, 32))).shape
        torch.Size([2, 3, 32, 32])
    """

    latent_stride = 4
    stride = 8

    def __init__(self, latent_channels: int = 16, width: int = 64, context_width: int = 96) -> None:
        super().__init__()
        self.config = {
            "latent_channels": latent_channels,
            "width": width,
            "context_width": context_width,
        }
        self.latent_channels = latent_channels
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            # Not 1x1: oneDNN rounds those differently from one batch size to another.
            nn.Conv2d(width, latent_channels, 3, padding=1),
            # Its running statistics make the latents unit-variance, as the noise schedule expects.
            nn.BatchNorm2d(latent_channels, affine=False, momentum=0.01),
        )
        self.decoder = Decoder(
            nn.Conv2d(latent_channels, width, 3, padding=1),
            ContextBlock(width, context_width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 48, 3, padding=1),
            nn.PixelShuffle(4),
        )
        self.level = nn.Sequential(nn.Linear(1, 32), nn.ReLU(), nn.Linear(32, 2 * width))

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Map images to latents."""
        return self.encoder(images)

    def decode(self, latents: torch.Tensor, alpha_bar: float | torch.Tensor = 1.0) -> torch.Tensor:
        """Map latents, noised or not, to images.

        Args:
            alpha_bar: noise level of the latents, in (0, 1]; float [N] if they differ in it.
        """
        level = torch.as_tensor(alpha_bar, dtype=latents.dtype, device=latents.device)
        sigma = (1 - level).sqrt().reshape(-1, 1)
        return self.decoder(latents, self.level(sigma)[:, :, None, None].chunk(2, dim=1))


class Decoder(nn.Sequential):
    """Layers in a row; what the first gives is scaled and shifted as the noise level asks."""

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, latents: torch.Tensor, level: tuple[torch.Tensor, ...]
    ) -> torch.Tensor:
        first, *others = self
        hidden = first(latents)
        gain, bias = level
        hidden = hidden * (1 + gain) + bias
        for layer in others:
            hidden = layer(hidden)
        return hidden


class ContextBlock(nn.Module):
    """Residual block at half the resolution: it lets the decoder see past the noise."""

    def __init__(self, width: int, context_width: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(width, context_width, 2, stride=2)
        self.mix = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(context_width, context_width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(context_width, context_width, 3, padding=1),
        )
        self.up = nn.Sequential(nn.Conv2d(context_width, 4 * width, 1), nn.PixelShuffle(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        context = self.down(x)
        return x + self.up(context + self.mix(context))
