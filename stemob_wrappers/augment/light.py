"""Changes of light that LeRobot trains with: exposure, shadows, colour temperature, lit patches.

They are those of its ``src/lerobot/transforms/transforms.py`` (huggingface/lerobot, pull request
4210 of July 2026) with the defaults there. LeRobot draws which of its transforms an image gets;
here each changes every image.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from stemob_wrappers.augment.draws import check, draw

SHADOW_SMOOTHING = 8
"""Pixels over which the edge of a shadow fades."""

PATCHES = 4
"""Patches of light in an image, at most."""

TEMPERATURES = (3_000, 15_000)
"""Of the black bodies of `BLACK_BODIES`, coldest and hottest, in kelvin; 500 K apart."""

BLACK_BODIES = (
    (0.6743, 0.4029, 0.0013),
    (0.6281, 0.4241, 0.1665),
    (0.5919, 0.4372, 0.2513),
    (0.5623, 0.4457, 0.3154),
    (0.5376, 0.4515, 0.3672),
    (0.5163, 0.4555, 0.4103),
    (0.4979, 0.4584, 0.4468),
    (0.4816, 0.4604, 0.4782),
    (0.4672, 0.4619, 0.5053),
    (0.4542, 0.4630, 0.5289),
    (0.4426, 0.4638, 0.5497),
    (0.4320, 0.4644, 0.5681),
    (0.4223, 0.4648, 0.5844),
    (0.4135, 0.4651, 0.5990),
    (0.4054, 0.4653, 0.6121),
    (0.3980, 0.4654, 0.6239),
    (0.3911, 0.4655, 0.6346),
    (0.3847, 0.4656, 0.6444),
    (0.3787, 0.4656, 0.6532),
    (0.3732, 0.4656, 0.6613),
    (0.3680, 0.4655, 0.6688),
    (0.3632, 0.4655, 0.6756),
    (0.3586, 0.4655, 0.6820),
    (0.3544, 0.4654, 0.6878),
    (0.3503, 0.4653, 0.6933),
)
"""Red, green and blue of black bodies, from the authors of Planckian jitter
(github.com/TheZino/PlanckianJitter, MIT licence)."""


def gamma(
    images: torch.Tensor, generator: torch.Generator, *, strength: float = 2.0
) -> torch.Tensor:
    """Raise images to a power, as another exposure does: black and white stay.

    LeRobot's ``GammaCorrection``: the exponent's logarithm is drawn evenly between those of
    ``1 / strength`` and ``strength``, so that brighter and darker are as likely.

    Args:
        images: float [N, 3, H, W] in [0, 1].
        generator: decides the exponents.
        strength: largest exponent, 1 for none.

    Returns:
        float [N, 3, H, W] in [0, 1].

    Raises:
        TypeError, ValueError: the images are of another type, shape or range.

    Example:
        >>> ends = torch.tensor([0.0, 1.0]).expand(1, 3, 1, 2)
        >>> torch.equal(gamma(ends, torch.Generator().manual_seed(0)), ends)
        True
    """
    check(images)
    sides = (2 * draw(generator, len(images), 1, 1, 1) - 1).to(images)
    return images.pow(torch.exp(math.log(strength) * sides)).clamp(0, 1)


def random_shadow(
    images: torch.Tensor,
    generator: torch.Generator,
    *,
    opacity: tuple[float, float] = (0.3, 0.6),
) -> torch.Tensor:
    """Darken, or as often lighten, an upright band from a third to two thirds of the width.

    LeRobot's ``RandomShadow``: the band multiplies by 1 less or plus the opacity; its edges fade as
    the mask is averaged over squares of 8 pixels and interpolated again.

    Args:
        images: float [N, 3, H, W] in [0, 1].
        generator: decides place, width, opacity and sign of each image's band.
        opacity: least and greatest share of the light that is taken or given.

    Returns:
        float [N, 3, H, W], clipped to [0, 1].

    Raises:
        TypeError, ValueError: the images are of another type, shape or range.

    Example:
        >>> grey = torch.full((1, 3, 16, 32), 0.5)
        >>> shadowed = random_shadow(grey, torch.Generator().manual_seed(0))
        >>> torch.equal(shadowed[:, :, 0], shadowed[:, :, 15])
        True
    """
    check(images)
    height, width = images.shape[-2:]
    share, place, depth, side = draw(generator, 4, len(images), 1).to(images)
    band = ((1 + share) / 3 * width).round().clamp(1, width)
    start = (place * (width - band)).round()
    columns = torch.arange(width, device=images.device)
    inside = (columns >= start) & (columns < start + band)
    change = torch.where(side < 0.5, -1, 1) * (opacity[0] + (opacity[1] - opacity[0]) * depth)
    mask = (1 + inside * change)[:, None]
    # Every row of the mask is alike, so that averaging along it is averaging over squares.
    coarse = F.avg_pool1d(mask, min(SHADOW_SMOOTHING, height, width))
    smooth = F.interpolate(coarse, width, mode="linear", align_corners=False)
    return (images * smooth[:, :, None]).clamp(0, 1)


def patch_brightness(
    images: torch.Tensor,
    generator: torch.Generator,
    *,
    sigma: tuple[float, float] = (0.05, 0.25),
    factor: tuple[float, float] = (0.4, 1.6),
) -> torch.Tensor:
    """Darken and lighten one to four round patches, as lamps close by do.

    LeRobot's ``GaussianPatchBrightness``: each patch multiplies by its factor in the middle, and by
    what a Gaussian leaves of it around.

    Args:
        images: float [N, 3, H, W] in [0, 1].
        generator: decides how many patches, and centre, size and factor of each.
        sigma: least and greatest standard deviation, in shares of height and width.
        factor: least and greatest factor in the middle of a patch.

    Returns:
        float [N, 3, H, W], clipped to [0, 1].

    Raises:
        TypeError, ValueError: the images are of another type, shape or range.

    Example:
        >>> grey = torch.full((1, 3, 16, 16), 0.2)
        >>> float(patch_brightness(grey, torch.Generator().manual_seed(0)).std()) > 0
        True
    """
    check(images)
    count, _, height, width = images.shape
    drawn = torch.randint(PATCHES, (count, 1), generator=generator, device=generator.device)
    there = torch.arange(PATCHES, device=images.device) <= drawn.to(images.device)
    y, x, size, strength = draw(generator, 4, count, PATCHES, 1).to(images)
    spread = sigma[0] + (sigma[1] - sigma[0]) * size

    def fall(centre: torch.Tensor, pixels: int) -> torch.Tensor:
        """What a Gaussian leaves along one axis, [N, PATCHES, pixels]."""
        axis = torch.linspace(0, 1, pixels, device=images.device, dtype=images.dtype)
        return torch.exp(-((axis - centre) ** 2) / (2 * spread**2))

    added = (factor[0] + (factor[1] - factor[0]) * strength - 1) * there[..., None]
    patches = 1 + (added * fall(y, height))[..., None] * fall(x, width)[:, :, None]
    return (images * patches.prod(dim=1)[:, None]).clamp(0, 1)


def planckian_jitter(
    images: torch.Tensor,
    generator: torch.Generator,
    *,
    temperature: tuple[int, int] = TEMPERATURES,
) -> torch.Tensor:
    """Light images by a black body of another temperature, from candle yellow to sky blue.

    Planckian jitter (Zini et al., arXiv 2202.07993, section 3) as LeRobot's ``PlanckianJitter`` has
    it: red and blue are scaled by the black body's, over its green; between the temperatures of the
    table its colours are interpolated.

    Args:
        images: float [N, 3, H, W] in [0, 1].
        generator: decides the temperatures.
        temperature: lowest and highest, in kelvin, within `TEMPERATURES`.

    Returns:
        float [N, 3, H, W], clipped to [0, 1].

    Raises:
        TypeError, ValueError: the images are of another type, shape or range.
        ValueError: temperatures that the table does not have.

    Example:
        >>> grey = torch.full((1, 3, 1, 1), 0.5)
        >>> hot = planckian_jitter(grey, torch.Generator(), temperature=(15_000, 15_000))
        >>> [round(float(part), 3) for part in hot.flatten()]
        [0.376, 0.5, 0.745]
    """
    check(images)
    low, high = temperature
    if not TEMPERATURES[0] <= low <= high <= TEMPERATURES[1]:
        raise ValueError(
            f"temperature must be two numbers within {TEMPERATURES}, the lower one first; received "
            f"{temperature}"
        )
    shape, device = (len(images), 1), generator.device
    drawn = torch.randint(low, high + 1, shape, generator=generator, device=device).to(images)
    table = torch.tensor(BLACK_BODIES).to(images)
    place = (drawn - TEMPERATURES[0]) / (TEMPERATURES[1] - TEMPERATURES[0]) * (len(table) - 1)
    left = place.floor().long().clamp(max=len(table) - 2)[:, 0]
    colours = torch.lerp(table[left], table[left + 1], place - left[:, None])
    return (images * (colours / colours[:, 1:2])[:, :, None, None]).clamp(0, 1)
