"""Every augmentation by name, and what a training loop calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from stemob_wrappers.augment.colour import colour_jitter
from stemob_wrappers.augment.light import gamma, patch_brightness, planckian_jitter, random_shadow
from stemob_wrappers.augment.literature import (
    mixup,
    random_conv,
    random_overlay,
    random_shift,
    srm,
)

Augmentation = Callable[[torch.Tensor, torch.Generator], torch.Tensor]

AUGMENTATIONS: dict[str, Augmentation] = {
    "random_overlay": random_overlay,
    "srm": srm,
    "random_conv": random_conv,
    "random_shift": random_shift,
    "colour_jitter": colour_jitter,
    "gamma": gamma,
    "random_shadow": random_shadow,
    "planckian_jitter": planckian_jitter,
    "patch_brightness": patch_brightness,
}
"""Augmentations that change images alone, by name."""

NAMES = (*AUGMENTATIONS, "mixup")
"""Every augmentation by name, as `augment` takes them."""


def augment(
    name: str,
    images: Mapping[str, torch.Tensor],
    others: Mapping[str, torch.Tensor],
    generator: torch.Generator,
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Augment one training batch of any number of cameras by the augmentation of a name.

    Args:
        name: one of `NAMES`.
        images: float [N, 3, H, W] in [0, 1] of each camera; each is augmented by itself.
        others: float [N, ...], what else a sample has: proprioception, actions. `mixup` mixes
            them as it mixes the images; for every other name they come back as they are.
        generator: decides every draw.

    Returns:
        ``(images, others)`` under the same keys.

    Raises:
        ValueError: an unknown name, or input that the augmentation cannot use.

    Example:
        >>> images, actions = {"agentview": torch.rand(4, 3, 32, 32)}, {"actions": torch.rand(4, 7)}
        >>> images, actions = augment("mixup", images, actions, torch.Generator().manual_seed(0))
    """
    if name == "mixup":
        mixed = mixup(generator, *images.values(), *others.values())
        cameras = dict(zip(images, mixed, strict=False))
        return cameras, dict(zip(others, mixed[len(images) :], strict=True))
    if name not in AUGMENTATIONS:
        raise ValueError(f"unknown augmentation {name!r}; choose from {', '.join(NAMES)}")
    changed = {key: AUGMENTATIONS[name](batch, generator) for key, batch in images.items()}
    return changed, dict(others)
