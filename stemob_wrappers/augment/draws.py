"""What every augmentation begins with: images that fit, and draws on the generator's device."""

from __future__ import annotations

import torch


def draw(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Uniform numbers in [0, 1), on the generator's device."""
    return torch.rand(shape, generator=generator, device=generator.device)


def where(chosen: torch.Tensor, these: torch.Tensor, those: torch.Tensor) -> torch.Tensor:
    """Images of ``these`` where ``chosen`` [N] holds, else of ``those``."""
    return torch.where(chosen.to(these.device)[:, None, None, None], these, those)


def check(images: torch.Tensor) -> None:
    """Raise TypeError or ValueError unless they are float [N, 3, H, W] in [0, 1]."""
    if not torch.is_floating_point(images):
        raise TypeError(
            f"need images as floats in [0, 1], received {images.dtype}; divide uint8 by 255"
        )
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise ValueError(f"need images of shape [N, 3, H, W], received {tuple(images.shape)}")
    low, high = (float(end) for end in torch.aminmax(images))
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"need images in [0, 1], received values from {low:.4g} to {high:.4g}; augment before "
            "images are normalised"
        )
