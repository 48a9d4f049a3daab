"""Augmentations of papers on visual generalisation, each defined as its paper defines it."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F

from stemob_wrappers.augment.draws import check, draw, where
from stemob_wrappers.scene.textures import draw_texture

OVERLAYS = 512
"""How many pictures `random_overlay` chooses from; each is also mirrored half of the time."""


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
    check(images)
    count, _, height, width = images.shape
    bank = _overlays(max(height, width))
    chosen = torch.randint(len(bank), (count,), generator=generator, device=generator.device)
    mirrored = draw(generator, count) < 0.5
    changed = draw(generator, count) < probability
    pictures = bank[chosen.cpu(), :, :height, :width].to(images) / 255
    pictures = where(mirrored, pictures.flip(-1), pictures)
    return where(changed, (1 - alpha) * images + alpha * pictures, images)


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
    check(images)
    count, _, height, columns = images.shape
    inner = (0.5 * draw(generator, count)).to(images)
    outer = (inner + width * draw(generator, count).to(images)).clamp(max=0.5)
    changed = draw(generator, count) < probability
    rows = torch.fft.fftfreq(height, device=images.device)[:, None]
    radius = torch.hypot(rows, torch.fft.rfftfreq(columns, device=images.device)[None])
    ring = (radius >= inner[:, None, None]) & (radius <= outer[:, None, None]) & (radius > 0)
    spectrum = torch.fft.rfft2(images).masked_fill(ring[:, None], 0)
    masked = torch.fft.irfft2(spectrum, s=(height, columns)).clamp(0, 1)
    return where(changed, masked, images)


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
    check(images)
    drawn = torch.randn(3, 3, 3, 3, generator=generator, device=generator.device)
    weight = drawn.to(images) / 27**0.5
    kept = draw(generator, len(images)) < 1 - probability
    padded = F.pad(2 * images - 1, (1, 1, 1, 1), mode="replicate")
    return where(kept, images, torch.sigmoid(2 * F.conv2d(padded, weight)))


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
    check(images)
    count, _, height, width = images.shape
    shape = (2, count, 1)
    drawn = torch.randint(2 * pad + 1, shape, generator=generator, device=generator.device)
    top, left = drawn.to(images.device) - pad
    rows = (torch.arange(height, device=images.device) + top).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) + left).clamp(0, width - 1)
    moved = images.gather(2, rows[:, None, :, None].expand_as(images))
    return moved.gather(3, columns[:, None, None, :].expand_as(images))


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


@cache
def _overlays(size: int) -> torch.Tensor:
    """The pictures to overlay, uint8 [OVERLAYS, 3, size, size]; drawn once per size."""
    rng = np.random.default_rng(0)
    pictures = [draw_texture("train", rng, size)[2] for _ in range(OVERLAYS)]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
