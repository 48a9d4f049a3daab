"""Image augmentations that people train robust policies with, for batches in torch.

Each is defined as its paper or library defines it, which its docstring names. They take images
``[N, 3, H, W]``, float in [0, 1], and a `torch.Generator` that decides every draw; it may live on
another device than the images. Unless said otherwise each image has draws of its own, and none
depends on its neighbours.

Example:
    >>> generator = torch.Generator().manual_seed(0)
    >>> AUGMENTATIONS["random_shift"](torch.rand(2, 3, 84, 84), generator).shape
    torch.Size([2, 3, 84, 84])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F

from stemob_wrappers.scene.textures import draw_texture

Augmentation = Callable[[torch.Tensor, torch.Generator], torch.Tensor]

OVERLAYS = 512
"""How many pictures `random_overlay` chooses from; each is also mirrored half of the time."""

LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in a grey value (ITU-R BT.601, as torchvision rounds them)."""


def random_overlay(
    images: torch.Tensor,
    generator: torch.Generator,
    *,
    alpha: float = 0.5,
    probability: float = 0.5,
) -> torch.Tensor:
    """Blend images with pictures that have nothing to do with them.

    ``(1 - alpha) * image + alpha * picture``, as in SODA (Hansen and Wang, arXiv 2011.13389,
    section 4). Half of the images stay as they are, as in SVEA (arXiv 2107.00644, equation 5), so
    that a policy trained on them alone also knows clean ones. In place of photographs of places
    the pictures are procedural textures of the ``train`` split.

    Args:
        images: float [N, 3, H, W] in [0, 1].
        generator: decides which picture, mirrored or not, and which images.
        alpha: weight of the picture, 0 to 1.
        probability: of changing an image.

    Returns:
        float [N, 3, H, W] in [0, 1].

    Raises:
        TypeError, ValueError: the images are of another type, shape or range.

    Example:
        >>> images = torch.zeros(8, 3, 32, 32)
        >>> float(random_overlay(images, torch.Generator().manual_seed(0)).max()) <= 0.5
        True
    """
    _check(images)
    count, _, height, width = images.shape
    bank = _overlays(max(height, width))
    chosen = torch.randint(len(bank), (count,), generator=generator, device=generator.device)
    mirrored = _draw(generator, count) < 0.5
    changed = _draw(generator, count) < probability
    pictures = bank[chosen.cpu(), :, :height, :width].to(images) / 255
    pictures = _where(mirrored, pictures.flip(-1), pictures)
    return _where(changed, (1 - alpha) * images + alpha * pictures, images)


def srm(
    images: torch.Tensor,
    generator: torch.Generator,
    *,
    width: float = 0.035,
    probability: float = 0.5,
) -> torch.Tensor:
    """Spectrum random masking: take a random ring of frequencies out of images.

    Huang et al., "Spectrum Random Masking for Generalization in Image-based Reinforcement
    Learning", NeurIPS 2022. The ring begins at a radius drawn from 0 to 0.5 cycles a pixel and is
    up to ``width`` wide; the mean is kept, as no ring contains the frequency 0.

    Args:
        images: float [N, 3, H, W] in [0, 1].
        generator: decides the rings and which images.
        width: greatest width of a ring in cycles a pixel.
        probability: of changing an image.

    Returns:
        float [N, 3, H, W], clipped to [0, 1].

    Raises:
        TypeError, ValueError: the images are of another type, shape or range.

    Example:
        >>> flat = torch.full((1, 3, 16, 16), 0.25)
        >>> torch.allclose(srm(flat, torch.Generator().manual_seed(0)), flat)
        True
    """
    _check(images)
    count, _, height, columns = images.shape
    inner = (0.5 * _draw(generator, count)).to(images)
    outer = (inner + width * _draw(generator, count).to(images)).clamp(max=0.5)
    changed = _draw(generator, count) < probability
    rows = torch.fft.fftfreq(height, device=images.device)[:, None]
    radius = torch.hypot(rows, torch.fft.rfftfreq(columns, device=images.device)[None])
    ring = (radius >= inner[:, None, None]) & (radius <= outer[:, None, None]) & (radius > 0)
    spectrum = torch.fft.rfft2(images).masked_fill(ring[:, None], 0)
    masked = torch.fft.irfft2(spectrum, s=(height, columns)).clamp(0, 1)
    return _where(changed, masked, images)


def random_conv(
    images: torch.Tensor, generator: torch.Generator, *, probability: float = 0.5
) -> torch.Tensor:
    """Filter a batch by one random 3 x 3 convolution over the colours.

    Network randomisation (Lee et al., arXiv 1910.05396, section 3): Glorot-normal weights drawn
    anew for each batch; with three colours in and out they have the variance ``1 / (3 * 3 * 3)``
    of RandConv's weights too. Half of the images stay as they are, as in RandConv (Xu et al.,
    arXiv 2007.13003, algorithm 1); one in ten, as in the former, costs accuracy on clean images
    where no further loss keeps it. The filter sees images centred on grey, and a logistic function
    brings what it gives back to [0, 1].

    Args:
        images: float [N, 3, H, W] in [0, 1].
        generator: decides the filter, the same for the batch, and which images.
        probability: of changing an image.

    Returns:
        float [N, 3, H, W] in [0, 1].

    Raises:
        TypeError, ValueError: the images are of another type, shape or range.

    Example:
        >>> random_conv(torch.rand(2, 3, 16, 16), torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3, 16, 16])
    """
    _check(images)
    drawn = torch.randn(3, 3, 3, 3, generator=generator, device=generator.device)
    weight = drawn.to(images) / 27**0.5
    kept = _draw(generator, len(images)) < 1 - probability
    padded = F.pad(2 * images - 1, (1, 1, 1, 1), mode="replicate")
    return _where(kept, images, torch.sigmoid(2 * F.conv2d(padded, weight)))


def random_shift(images: torch.Tensor, generator: torch.Generator, *, pad: int = 4) -> torch.Tensor:
    """Move images by up to ``pad`` whole pixels each way, repeating the border.

    DrQ (Kostrikov et al., arXiv 2004.13649, section 3.1; DrQ-v2, arXiv 2107.09645): pad by
    repetition, then crop at random.

    Args:
        images: float [N, 3, H, W] in [0, 1].
        generator: decides the shifts.
        pad: greatest shift, in pixels.

    Returns:
        float [N, 3, H, W].

    Raises:
        TypeError, ValueError: the images are of another type, shape or range.

    Example:
        >>> images = torch.rand(2, 3, 16, 16)
        >>> same = random_shift(images, torch.Generator().manual_seed(0), pad=0)
        >>> torch.equal(same, images)
        True
    """
    _check(images)
    count, _, height, width = images.shape
    shape = (2, count, 1)
    drawn = torch.randint(2 * pad + 1, shape, generator=generator, device=generator.device)
    top, left = drawn.to(images.device) - pad
    rows = (torch.arange(height, device=images.device) + top).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) + left).clamp(0, width - 1)
    moved = images.gather(2, rows[:, None, :, None].expand_as(images))
    return moved.gather(3, columns[:, None, None, :].expand_as(images))


def colour_jitter(
    images: torch.Tensor,
    generator: torch.Generator,
    *,
    brightness: float = 0.8,
    contrast: float = 0.8,
    saturation: float = 0.8,
    hue: float = 0.2,
) -> torch.Tensor:
    """Change brightness, contrast, saturation and hue of images, in a random order.

    torchvision's ``ColorJitter``: factors are drawn from ``[1 - strength, 1 + strength]``, never
    below 0, the turn of the hue from ``[-hue, hue]``. The default strengths are SimCLR's (Chen et
    al., arXiv 2002.05709, appendix A).

    Args:
        images: float [N, 3, H, W] in [0, 1].
        generator: decides the factors of each image, and the order, the same for the batch.
        brightness, contrast, saturation: strengths, 0 for none.
        hue: greatest turn of the hue, in whole turns, 0 to 0.5.

    Returns:
        float [N, 3, H, W] in [0, 1].

    Raises:
        TypeError, ValueError: the images are of another type, shape or range.

    Example:
        >>> colour_jitter(torch.rand(2, 3, 16, 16), torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3, 16, 16])
    """
    _check(images)
    order = torch.randperm(4, generator=generator, device=generator.device).tolist()
    sides = (2 * _draw(generator, 4, len(images)) - 1).to(images)[:, :, None, None, None]
    changes = (
        (adjust_brightness, (1 + brightness * sides[0]).clamp(min=0)),
        (adjust_contrast, (1 + contrast * sides[1]).clamp(min=0)),
        (adjust_saturation, (1 + saturation * sides[2]).clamp(min=0)),
        (adjust_hue, hue * sides[3]),
    )

    def change(part: slice) -> torch.Tensor:
        changed = images[part]
        for index in order:
            adjust, amount = changes[index]
            changed = adjust(changed, amount[part])
        return changed

    # A few images at a time stay in a CPU's cache, in which the batch has no room.
    size = 8 if images.device.type == "cpu" else max(1, len(images))
    return torch.cat([change(slice(i, i + size)) for i in range(0, len(images), size)])


def mixup(
    generator: torch.Generator, *tensors: torch.Tensor, alpha: float = 0.2
) -> tuple[torch.Tensor, ...]:
    """Mix each sample of a batch with another one: inputs and targets alike.

    ``lambda * x_i + (1 - lambda) * x_j`` with lambda from Beta(alpha, alpha) and j a random
    permutation (Zhang et al., arXiv 1710.09412, equation 1). The paper's alphas for images reach
    from 0.1 to 0.4. A training loop hands over everything that belongs to a sample in one call:
    ``images, proprio, actions = mixup(generator, images, proprio, actions)``, and takes its loss
    on the mixed actions, which for squared errors is the paper's.

    Args:
        generator: decides partners and weights.
        tensors: float [N, ...], the first axis counting the same samples.
        alpha: of the Beta distribution; towards 0 nothing is mixed.

    Returns:
        the mixed tensors, in their order.

    Raises:
        ValueError: no tensor, or tensors of different numbers of samples.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> images, actions = mixup(generator, torch.rand(4, 3, 8, 8), torch.rand(4, 7))
        >>> images.shape, actions.shape
        (torch.Size([4, 3, 8, 8]), torch.Size([4, 7]))
    """
    counts = {len(tensor) for tensor in tensors}
    if len(counts) != 1:
        raise ValueError(
            "mixup needs tensors with one entry per sample, all of as many samples; received "
            f"shapes {[tuple(tensor.shape) for tensor in tensors]}"
        )
    count = counts.pop()
    partners = torch.randperm(count, generator=generator, device=generator.device)
    # torch's own Beta takes no generator.
    seed = torch.randint(2**62, (), generator=generator, device=generator.device)
    weights = torch.from_numpy(np.random.default_rng(int(seed)).beta(alpha, alpha, count))

    def mix(tensor: torch.Tensor) -> torch.Tensor:
        weight = weights.to(tensor).reshape(-1, *[1] * (tensor.ndim - 1))
        return weight * tensor + (1 - weight) * tensor[partners.to(tensor.device)]

    return tuple(mix(tensor) for tensor in tensors)


AUGMENTATIONS: dict[str, Augmentation] = {
    "random_overlay": random_overlay,
    "srm": srm,
    "random_conv": random_conv,
    "random_shift": random_shift,
    "colour_jitter": colour_jitter,
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


# --- changes of colour, as torchvision defines them ----------------------------------------------


def adjust_brightness(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Scale images [N, 3, H, W] by factors [N, 1, 1, 1]; 1 changes nothing, 0 gives black."""
    return (factor * images).clamp(0, 1)


def adjust_contrast(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Blend images with their mean grey; 1 changes nothing, 0 gives plain grey."""
    mean = _grey(images).mean(dim=(1, 2, 3), keepdim=True)
    return (factor * images + (1 - factor) * mean).clamp(0, 1)


def adjust_saturation(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Blend images with their grey version; 1 changes nothing, 0 gives a grey image."""
    return (factor * images + (1 - factor) * _grey(images)).clamp(0, 1)


def adjust_hue(images: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Turn the hue of images by ``turns`` [N, 1, 1, 1]; 1 is once around the colour wheel."""
    value, channel = images.max(dim=1, keepdim=True)
    chroma = value - images.amin(dim=1, keepdim=True)
    divisor = torch.where(chroma > 0, chroma, 1)
    red, green, blue = images.split(1, dim=1)
    # The wheel's six sectors, counted from red: which colour leads, and how the others differ.
    lead = torch.stack([green - blue, blue - red, red - green]).div(divisor)
    sectors = lead.gather(0, channel[None])[0] + 2 * channel + 6 * turns
    # Each channel falls to value - chroma and rises again along the wheel, a third apart.
    offsets = torch.tensor([5.0, 3.0, 1.0]).to(images)[:, None, None]
    k = (offsets + sectors) % 6
    return (value - chroma * torch.minimum(k, 4 - k).clamp(0, 1)).clamp(0, 1)


def _grey(images: torch.Tensor) -> torch.Tensor:
    weights = torch.tensor(LUMA).to(images)
    return (images * weights[:, None, None]).sum(dim=1, keepdim=True)


# --- draws and checks ----------------------------------------------------------------------------


@cache
def _overlays(size: int) -> torch.Tensor:
    """The pictures to overlay, uint8 [OVERLAYS, 3, size, size]; drawn once per size."""
    rng = np.random.default_rng(0)
    pictures = [draw_texture("train", rng, size)[2] for _ in range(OVERLAYS)]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def _draw(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Uniform numbers in [0, 1), on the generator's device."""
    return torch.rand(shape, generator=generator, device=generator.device)


def _where(chosen: torch.Tensor, these: torch.Tensor, those: torch.Tensor) -> torch.Tensor:
    """Images of ``these`` where ``chosen`` [N] holds, else of ``those``."""
    return torch.where(chosen.to(these.device)[:, None, None, None], these, those)


def _check(images: torch.Tensor) -> None:
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
