"""Colour jitter, and the changes of colour that it is made of, as torchvision defines them."""

from __future__ import annotations

import torch

from stemob_wrappers.augment.draws import check, draw

LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in a grey value (ITU-R BT.601, as torchvision rounds them)."""


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
    check(images)
    order = torch.randperm(4, generator=generator, device=generator.device).tolist()
    sides = (2 * draw(generator, 4, len(images)) - 1).to(images)[:, :, None, None, None]
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
