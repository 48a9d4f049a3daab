"""New appearances without a renderer: textures over a frame's largest flat surface, light, shadow.

A scene is rendered under a handful of appearances; a texture drawn over the same surface, warped,
and lit anew costs a millisecond, so that no two crops of a training are alike. Only the `train`
textures enter.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from stemob_wrappers.scene.textures import draw_texture
from stemob_wrappers.training.losses import contrast_weights

TEXTURES = 600
TEXTURE_SIZE = 128
FLAT = 1.8  # contrast weight below which a pixel lies in a flat surface
SURFACE_COLOUR = 0.15  # how far a surface's pixels differ from its median colour, of [-1, 1]
SMALLEST_SURFACE = 0.03  # of the frame
EVERYWHERE = 0.15  # share of textures that go half-transparently over the whole frame


class Repainter:
    """Paints images anew.

    Args:
        share: of the images that get a texture, and of those that get other light.
        seed: of the textures.

    Example:
        >>> images = torch.zeros(2, 3, 32, 32)
        >>> Repainter(0.5)(images, images, np.random.default_rng(0)).shape
        torch.Size([2, 3, 32, 32])
    """

    def __init__(self, share: float, seed: int = 0) -> None:
        self.share = share
        rng = np.random.default_rng(seed)
        count = TEXTURES if share else 1
        textures = np.stack([draw_texture("train", rng, TEXTURE_SIZE)[2] for _ in range(count)])
        self.textures = torch.from_numpy(textures).permute(0, 3, 1, 2)

    def __call__(
        self, images: torch.Tensor, nominal: torch.Tensor, rng: np.random.Generator
    ) -> torch.Tensor:
        """Return the images painted anew.

        Args:
            images: float [L * N, 3, H, H] in [-1, 1], N states under one appearance, then another.
            nominal: float [N, 3, H, H], the states as the scene was made: surfaces are plain.
        """
        pictures = images / 2 + 0.5
        count, size = len(images), images.shape[-1]
        textured = self._some(rng, count) * np.where(
            rng.random(count) < 0.5, 1, rng.uniform(0.2, 0.9, count)
        )
        surfaces = _surfaces(nominal).repeat(count // len(nominal), 1, 1, 1)
        where = torch.maximum(surfaces, 0.5 * _field(rng.random(count) < EVERYWHERE))
        opacity = where * _field(textured)
        pictures = pictures.lerp(self._draw_textures(rng, count, size), opacity)
        lit = _field(self._some(rng, count))
        pictures = pictures.lerp((pictures * _draw_light(rng, count, size)).clamp(0, 1), lit)
        return (2 * pictures - 1).contiguous(memory_format=torch.channels_last)

    def _some(self, rng: np.random.Generator, count: int) -> NDArray[np.bool_]:
        return rng.random(count) < self.share

    def _draw_textures(self, rng: np.random.Generator, count: int, size: int) -> torch.Tensor:
        """Textures at any scale, turned, tilted and warped, float [count, 3, size, size]."""
        chosen = self.textures[torch.from_numpy(rng.integers(len(self.textures), size=count))]
        down, across = _grid(size)
        depth = 1 + _field(rng.uniform(-0.5, 0.5, count)) * down
        depth = depth + _field(rng.uniform(-0.2, 0.2, count)) * across
        across, down = across / depth, down / depth
        angle = _field(rng.uniform(0, 2 * np.pi, count))
        scale = _field(np.exp(rng.uniform(np.log(0.25), np.log(1.6), count)))
        x = (angle.cos() * across - angle.sin() * down) * scale
        y = (angle.sin() * across + angle.cos() * down) * scale
        knots = int(rng.integers(3, 8))
        strength = rng.uniform(0, 1 / knots, (count, 1, 1, 1)) * (
            rng.random((count, 1, 1, 1)) < 0.6
        )
        warp = torch.from_numpy(rng.normal(size=(count, 2, knots, knots)) * strength).float()
        warp = F.interpolate(warp, size, mode="bicubic", align_corners=True)
        start = _field(rng.uniform(-0.5, 0.5, count))
        places = torch.cat([x + start, y - start], 1) + warp
        return F.grid_sample(
            chosen.float() / 255,
            places.permute(0, 2, 3, 1),
            padding_mode="reflection",
            align_corners=False,
        )


def _surfaces(nominal: torch.Tensor) -> torch.Tensor:
    """The surface that most of what is flat belongs to, float [N, 1, H, W] of 0 and 1."""
    flat = contrast_weights(nominal)[:, 0] < FLAT
    found = torch.zeros(len(nominal), 1, *nominal.shape[2:])
    for surface, image, inside in zip(found, nominal, flat, strict=True):
        if inside.float().mean() > SMALLEST_SURFACE:
            colour = image[:, inside].median(1).values
            difference = (image - colour[:, None, None]).abs().amax(0)
            surface[0] = (difference < SURFACE_COLOUR).float()
    return found


def _draw_light(rng: np.random.Generator, count: int, size: int) -> torch.Tensor:
    """Brightness, tint, a slope of light and soft shadows, float [count, 3, size, size]."""
    down, across = _grid(size)
    brightness = np.exp(rng.uniform(np.log(0.25), np.log(1.4), (count, 1, 1, 1)))
    tint = np.exp(rng.normal(0, 0.25, (count, 3, 1, 1)) * (rng.random((count, 1, 1, 1)) < 0.5))
    angle = _field(rng.uniform(0, 2 * np.pi, count))
    slope = _field(rng.uniform(0, 0.7, count) * (rng.random(count) < 0.5))
    light = torch.from_numpy(brightness * tint).float()
    light = light * (1 + slope * (angle.cos() * across + angle.sin() * down))
    for _ in range(2):
        angle = _field(rng.uniform(0, 2 * np.pi, count))
        bend = _field(rng.uniform(-0.5, 0.5, count)) * across * down
        start = _field(rng.uniform(-1, 1, count))
        beyond = angle.cos() * across + angle.sin() * down + bend - start
        width = _field(np.where(rng.random(count) < 0.5, rng.uniform(0.1, 0.5, count), 3.0))
        softness = _field(rng.uniform(0.02, 0.3, count))
        inside = (beyond / softness).sigmoid() * ((width - beyond) / softness).sigmoid()
        depth = _field(rng.uniform(0.1, 0.7, count) * (rng.random(count) < 0.5))
        light = light * (1 - depth * inside)
    return light.clamp(0, 2)


def _grid(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    axis = torch.linspace(-1, 1, size)
    down, across = torch.meshgrid(axis, axis, indexing="ij")
    return down, across


def _field(values: NDArray[np.generic]) -> torch.Tensor:
    """A number for each image, float [N, 1, 1, 1]."""
    return torch.from_numpy(np.asarray(values, np.float32)).view(-1, 1, 1, 1)
