"""The embedded backbone's codec network: a small convolutional autoencoder that is fast on CPUs.

Pixel-unshuffle comes first, so that no convolution runs at full resolution, and all widths are
multiples of 32: narrow convolutions waste the machine.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"


class StemAutoencoder(nn.Module):
    """Autoencoder with unit-variance latents a quarter of the frame's size.

    Args:
        latent_channels: channels of the latent.
        width: channels of the convolutions at stride 4.
        context_width: channels of the decoder's residual block at stride 8.
        level_aware: whether the decoder is told how much noise there is in the latents.

    Images are float [N, 3, H, W] in [-1, 1] with H and W multiples of 8; latents are float
    [N, latent_channels, H / 4, W / 4] with mean 0 and variance 1 per channel over the training
    frames.

    Example:
        >>> codec = StemAutoencoder().eval()
        >>> codec.decode(codec.encode(torch.zeros(2, 3, 32, 32))).shape
        torch.Size([2, 3, 32, 32])
    """

    latent_stride = 4
    stride = 8

    def __init__(
        self,
        latent_channels: int = 16,
        width: int = 64,
        context_width: int = 96,
        level_aware: bool = True,
    ) -> None:
        super().__init__()
        self.config = {
            "latent_channels": latent_channels,
            "width": width,
            "context_width": context_width,
            "level_aware": level_aware,
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
        self.level = (
            nn.Sequential(nn.Linear(1, 32), nn.ReLU(), nn.Linear(32, 2 * width))
            if level_aware
            else None
        )

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Map images to latents."""
        return self.encoder(images)

    def decode(self, latents: torch.Tensor, alpha_bar: float | torch.Tensor = 1.0) -> torch.Tensor:
        """Map latents, noised or not, to images.

        Args:
            alpha_bar: noise level of the latents, in (0, 1]; float [N] if they differ in it.
        """
        if self.level is None:
            return self.decoder(latents)
        level = torch.as_tensor(alpha_bar, dtype=latents.dtype, device=latents.device)
        sigma = (1 - level).sqrt().reshape(-1, 1)
        return self.decoder(latents, self.level(sigma)[:, :, None, None].chunk(2, dim=1))

    def save_pretrained(self, folder: Path) -> None:
        """Write config and weights in diffusers' folder layout (safetensors)."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file(
            {name: tensor.contiguous() for name, tensor in self.state_dict().items()},
            folder / WEIGHTS_FILE,
            metadata={"format": "pt"},
        )
        config = {"_class_name": "StemAutoencoder", **self.config}
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n")

    @classmethod
    def from_pretrained(cls, folder: Path) -> StemAutoencoder:
        """Read what :meth:`save_pretrained` wrote.

        Raises:
            OSError: a file is missing, or the weights file is truncated or corrupt.
            ValueError: the weights do not fit the config.
        """
        config: dict[str, Any] = json.loads((folder / CONFIG_FILE).read_text())
        model = cls(**{k: v for k, v in config.items() if not k.startswith("_")})
        read_weights(model, folder)
        return model.eval()


class Decoder(nn.Sequential):
    """Layers in a row; what the first gives is scaled and shifted as the noise level asks."""

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, latents: torch.Tensor, level: tuple[torch.Tensor, ...] | None = None
    ) -> torch.Tensor:
        first, *others = self
        hidden = first(latents)
        if level is not None:
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


def read_weights(model: nn.Module, folder: Path) -> None:
    """Fill a network with the weights of a folder in diffusers' layout (safetensors).

    Raises:
        OSError: the weights file is missing, truncated or corrupt.
        ValueError: the weights do not fit the network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / WEIGHTS_FILE
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise OSError(
            f"the weights file {path} is truncated or corrupt ({error}); "
            "install the package again, or train the backbone again"
        ) from error
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"the weights in {path} do not fit {folder / CONFIG_FILE}") from error
