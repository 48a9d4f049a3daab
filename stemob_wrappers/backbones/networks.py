"""The embedded backbone's networks: a codec that says layout loudly and looks quietly, a denoiser.

The codec's latents have unit variance over all, as the noise schedule expects, and two parts.
*Look* latents, about the principal components of the pixels, are quiet: they make the codec
faithful, and the first noise drowns them. *Layout* latents are loud, and come through.

Pixel-unshuffle comes first, so that no convolution runs at full resolution; what sees far runs at
an eighth and a sixteenth of it, where it is cheap.
"""

from __future__ import annotations

import json
import math
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from stemob_wrappers.backbones.stored import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    StoredNetwork,
    read_network,
)
from stemob_wrappers.diffusion.schedule import SD_SCHEDULE, NoiseSchedule
from stemob_wrappers.work import whole_file, write_text

TIME_CHANNELS = 128  # of the denoiser
DILATIONS = (1, 2, 4)
Network = TypeVar("Network", bound=nn.Module)


class StemAutoencoder(nn.Module):
    """Autoencoder with latents a quarter of the frame's size.

    Args:
        layout_channels: channels of the latent that keep where things are.
        look_channels: channels of the latent that keep what they look like.
        look_scale: standard deviation of the look latents; together with the layout latents the
            variance is 1.
        width: channels at stride 4.
        context_width: channels at stride 8.
        deep_width: channels at stride 16.
        context_blocks, deep_blocks: residual blocks that the decoder has at stride 8 and at 16
            beyond its first convolutions.
        faithful: whether latents without noise come back as they went in; a canonical decoder makes
            something else of them.

    Images are float [N, 3, H, W] in [-1, 1] with H and W multiples of 8; latents are float
    [N, layout_channels + look_channels, H / 4, W / 4].

    Example:
        >>> codec = StemAutoencoder().eval()
        >>> codec.decode(codec.encode(torch.zeros(2, 3, 32, 32))).shape
        torch.Size([2, 3, 32, 32])
    """

    latent_stride = 4
    stride = 8
    scale: torch.Tensor

    def __init__(
        self,
        layout_channels: int = 12,
        look_channels: int = 16,
        look_scale: float = 0.03,
        width: int = 64,
        context_width: int = 80,
        deep_width: int = 112,
        context_blocks: int = 0,
        deep_blocks: int = 0,
        faithful: bool = True,
    ) -> None:
        super().__init__()
        self.config = {
            "layout_channels": layout_channels,
            "look_channels": look_channels,
            "look_scale": look_scale,
            "width": width,
            "context_width": context_width,
            "deep_width": deep_width,
            "context_blocks": context_blocks,
            "deep_blocks": deep_blocks,
            "faithful": faithful,
        }
        self.layout_channels = layout_channels
        self.latent_channels = layout_channels + look_channels
        widths = (width, context_width, deep_width)
        blocks = (context_blocks, deep_blocks)
        self.encoder = Encoder(layout_channels, look_channels, widths)
        self.decoder = Decoder(layout_channels, look_channels, widths, blocks, look_scale, faithful)
        loud = (self.latent_channels - look_channels * look_scale**2) / layout_channels
        scale = [loud**0.5] * layout_channels + [look_scale] * look_channels
        self.register_buffer("scale", torch.tensor(scale).view(1, -1, 1, 1), persistent=False)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Map images to latents."""
        return self.encoder(images) * self.scale

    def decode(self, latents: torch.Tensor, alpha_bar: float | torch.Tensor = 1.0) -> torch.Tensor:
        """Map latents, noised or not, to images.

        Args:
            alpha_bar: noise level of the latents, in (0, 1]; float [N] if they differ in it.
        """
        return self.decode_with(self.decoder, latents, alpha_bar)

    def decode_with(
        self, decoder: Decoder, latents: torch.Tensor, alpha_bar: float | torch.Tensor
    ) -> torch.Tensor:
        """The same with another decoder for these latents."""
        return decoder(*self.filtered(latents, alpha_bar))

    def filtered(
        self, latents: torch.Tensor, alpha_bar: float | torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Scale noised latents as a Wiener filter has it; return them and sigma [N, 1, 1, 1].

        So noise never comes in louder than what it hides.
        """
        level = _on_device(alpha_bar, latents, latents.dtype).reshape(-1, 1, 1, 1)
        gain = level.sqrt() * self.scale / (level * self.scale**2 + (1 - level))
        return latents * gain, (1 - level).sqrt()

    def save_pretrained(self, folder: Path) -> None:
        """Write config and weights in diffusers' folder layout (safetensors)."""
        save_network(self, folder)

    @classmethod
    def from_pretrained(cls, folder: Path) -> StemAutoencoder:
        """Read what :meth:`save_pretrained` wrote; raises what ``load_network`` does."""
        return load_network(cls, folder)


class Encoder(nn.Module):
    """Images to layout and look latents, each channel with mean 0 and variance 1."""

    def __init__(self, layout: int, look: int, widths: tuple[int, int, int]) -> None:
        super().__init__()
        self.first = nn.Conv2d(48, widths[0], 3, padding=1)
        self.context = Context(*widths, convolutions=1)
        # Not 1x1: oneDNN rounds those differently from one batch size to another.
        self.layout = nn.Conv2d(widths[0], layout, 3, padding=1)
        self.look = nn.Conv2d(48, look, 3, padding=1)
        # Its running statistics make the latents unit-variance.
        self.normalise = nn.BatchNorm2d(layout + look, affine=False, momentum=0.01)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        blocks = F.pixel_unshuffle(images, 4)
        layout = self.layout(self.context(self.first(blocks).relu()).relu())
        with _in_full_precision(blocks.device):  # what is quiet needs the bits
            look = self.look(blocks)
        return self.normalise(torch.cat([layout.to(look.dtype), look], 1))


class Decoder(nn.Module):
    """Latents to images.

    A faithful one is linear in the look latents, to which a network adds as far as noise hides
    them; the other is the network alone. The noise level scales and shifts the network's first
    features, and scales what it gives.
    """

    def __init__(
        self,
        layout: int,
        look: int,
        widths: tuple[int, int, int],
        blocks: tuple[int, int],
        look_scale: float,
        faithful: bool,
    ) -> None:
        super().__init__()
        self.split = (widths[0], widths[0], 48)
        self.layout_channels = layout
        self.look_scale = look_scale
        self.first = nn.Conv2d(layout + look, widths[0], 3, padding=1)
        self.context = Context(*widths, convolutions=2, blocks=blocks)
        self.last = nn.Conv2d(widths[0], 48, 3, padding=1)
        self.look = nn.Conv2d(look, 48, 3, padding=1) if faithful else None
        self.level = nn.Sequential(nn.Linear(1, 32), nn.ReLU(), nn.Linear(32, sum(self.split)))

    def forward(self, latents: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return self.paint(*self.features(latents, sigma), latents, sigma)

    def features(
        self, latents: torch.Tensor, sigma: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the network sees in the latents, and how much of it is to be painted."""
        level = self.level(sigma.reshape(-1, 1))[:, :, None, None]
        gain, bias, share = level.split(self.split, dim=1)
        hidden = self.first(latents) * (1 + gain) + bias
        return self.context(hidden.relu()).relu(), 1 + share

    def paint(
        self,
        features: torch.Tensor,
        share: torch.Tensor,
        latents: torch.Tensor,
        sigma: torch.Tensor,
    ) -> torch.Tensor:
        """The image that features and latents make together."""
        blocks = self.last(features) * share
        if self.look is not None:
            hidden_by_noise = sigma / (sigma + self.look_scale)
            with _in_full_precision(latents.device):  # what is quiet needs the bits
                looks = self.look(latents[:, self.layout_channels :])
            blocks = looks + blocks * hidden_by_noise
        return F.pixel_shuffle(blocks, 4)


class Context(nn.Module):
    """Residual block at a half and a quarter of the resolution: it sees most of a frame."""

    def __init__(
        self,
        width: int,
        context_width: int,
        deep_width: int,
        convolutions: int,
        blocks: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__()
        self.down = nn.Conv2d(width, context_width, 2, stride=2)
        self.before = nn.Conv2d(context_width, context_width, 3, padding=1)
        self.deep = nn.Sequential(
            nn.Conv2d(context_width, deep_width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(deep_width, deep_width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(deep_width, deep_width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(deep_width, context_width, 1),
        )
        self.context_blocks = nn.ModuleList(PlainBlock(context_width) for _ in range(blocks[0]))
        self.deep_blocks = nn.ModuleList(PlainBlock(deep_width) for _ in range(blocks[1]))
        self.after = (
            nn.Conv2d(context_width, context_width, 3, padding=1) if convolutions == 2 else None
        )
        self.up = nn.Conv2d(context_width, 4 * width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        down = self.down(x).relu()
        before = self.before(down).relu()
        deep = self.deep[:-1](before)
        for block in self.deep_blocks:
            deep = block(deep)
        deep = F.interpolate(self.deep[-1](deep), scale_factor=2.0, mode="nearest")
        height, width = before.shape[2:]
        context = (down + before + deep[:, :, :height, :width]).relu()
        if self.after is not None:
            context = (context + self.after(context)).relu()
        for block in self.context_blocks:
            context = block(context)
        return x + F.pixel_shuffle(self.up(context), 2)


class PlainBlock(nn.Module):
    """Two convolutions, added to what is there; at first they add nothing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        assert self.second.bias is not None
        nn.init.zeros_(self.second.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x + self.second(self.first(x).relu())).relu()


def save_network(model: Any, folder: Path) -> None:
    """Write a network's ``config`` and weights in diffusers' folder layout (safetensors)."""
    from safetensors.torch import save_file

    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    with whole_file(folder / WEIGHTS_FILE) as temporary:
        save_file(weights, temporary, metadata={"format": "pt"})
    config = {"_class_name": type(model).__name__, **model.config}
    write_text(folder / CONFIG_FILE, json.dumps(config, indent=2) + "\n")


def load_network(kind: type[Network], folder: Path) -> Network:
    """Read what :func:`save_network` wrote.

    Raises:
        OSError: a file is missing, or the weights file is truncated or corrupt.
        ValueError: another class's config, or weights that do not fit it or are not finite.
    """
    return build_network(kind, read_network(folder))


def build_network(kind: type[Network], stored: StoredNetwork) -> Network:
    """Make a network of what was read.

    Raises:
        ValueError: another class's config, or weights that do not fit it.
    """
    from safetensors.torch import load

    if stored.config["_class_name"] != kind.__name__:
        raise ValueError(
            f"{stored.folder} holds a {stored.config['_class_name']}, required is a {kind.__name__}"
        )
    try:
        model = kind(**stored.arguments)
        model.load_state_dict(load(stored.data))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"the weights in {stored.folder / WEIGHTS_FILE} do not fit "
            f"{stored.folder / CONFIG_FILE}, or that is no {kind.__name__}'s ({error})"
        ) from error
    return model.eval()


class StemDenoiser(nn.Module):
    """Predict the noise in a latent of :class:`StemAutoencoder`.

    Args:
        latent_channels: channels of the latent.
        width: channels of the convolutions at the latent's size.
        deep_width: channels at half of it.

    Latents are float [N, latent_channels, h, w] with h and w even, noised by the schedule of
    Stable Diffusion; the result is the predicted noise, of the same shape. With 28 channels it has
    1.3 M weights and takes 0.9 GFLOP for a 32 x 32 latent.

    Example:
        >>> StemDenoiser(28)(torch.zeros(2, 28, 22, 22), 81).shape
        torch.Size([2, 28, 22, 22])
    """

    prediction_type = "epsilon"
    stride = 2
    alpha_bars: torch.Tensor

    def __init__(self, latent_channels: int, width: int = 64, deep_width: int = 128) -> None:
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
        timestep = _on_device(timestep, latent, torch.int64).expand(len(latent))
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


def _in_full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Leave autocast; "meta", on which shapes alone are computed, has none."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def _on_device(
    value: float | torch.Tensor, beside: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """A number or tensor in a dtype on the device of another tensor.

    A number is written there: a CUDA graph cannot copy it from the host.
    """
    if isinstance(value, torch.Tensor):
        return value.to(beside.device, dtype)
    return torch.full((), value, dtype=dtype, device=beside.device)


def _sinusoids(timestep: torch.Tensor) -> torch.Tensor:
    """Encode timesteps as sines and cosines, float32 [N, TIME_CHANNELS]."""
    half = TIME_CHANNELS // 2
    powers = torch.arange(half, device=timestep.device, dtype=torch.float32) / half
    angles = timestep.float()[:, None] * torch.exp(-math.log(10_000) * powers)
    return torch.cat([angles.cos(), angles.sin()], dim=1)
