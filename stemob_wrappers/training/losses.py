"""What the embedded backbone's networks are trained to make small."""

from __future__ import annotations

import torch
import torch.nn.functional as F

NEIGHBOURHOOD = 17  # pixels
CONTRAST_WEIGHT = 16.0


def picture_loss(
    decoded: torch.Tensor, images: torch.Tensor, weights: torch.Tensor | float = 1.0
) -> torch.Tensor:
    """L1 of the pictures and of their gradients.

    Args:
        weights: of the pixels, float [N, 1, H, W].
    """
    difference = (decoded - images) * weights
    across, down = difference.diff(dim=-1), difference.diff(dim=-2)
    return difference.abs().mean() + across.abs().mean() + down.abs().mean()


def contrast_weights(images: torch.Tensor) -> torch.Tensor:
    """Weights of pixels that grow with how much they differ from what lies around them.

    Where a decoder is not sure of a small object, L1 alone is least if it leaves the object out.

    Args:
        images: float [N, 3, H, W] in [-1, 1].

    Returns:
        float [N, 1, H, W], from 1 on.

    Example:
        >>> contrast_weights(torch.zeros(1, 3, 32, 32)).max()
        tensor(1.)
    """
    half = NEIGHBOURHOOD // 2
    around = F.pad(images, (half,) * 4, mode="replicate")
    for window in ((NEIGHBOURHOOD, 1), (1, NEIGHBOURHOOD)):  # one by one it is far quicker
        around = F.avg_pool2d(around, window, stride=1)
    return 1 + CONTRAST_WEIGHT * (images - around).abs().mean(1, keepdim=True)


def hue_loss(decoded: torch.Tensor, images: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """How far the colours are off, brightness aside: the mean over some pixels, however few.

    Args:
        decoded, images: float [N, 3, H, W].
        where: bool [N, 1, H, W].

    Example:
        >>> grey, where = torch.zeros(1, 3, 4, 4), torch.ones(1, 1, 4, 4, dtype=torch.bool)
        >>> float(hue_loss(grey, grey + 0.5, where))
        0.0
    """
    difference = decoded - images
    hue = (difference - difference.mean(1, keepdim=True)).abs().mean(1, keepdim=True)
    return (hue * where).sum() / where.sum().clamp_min(1)


def roles_loss(scores: torch.Tensor, roles: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of what each pixel shows, every role that a batch has weighing alike in part.

    Args:
        scores: float [N, R, H, W].
        roles: int64 [N, H, W], from 0 to R - 1.

    Example:
        >>> scores = torch.tensor([100.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
        >>> float(roles_loss(scores, torch.zeros(1, 4, 4, dtype=torch.int64)))
        0.0
    """
    shares = torch.bincount(roles.flatten(), minlength=scores.shape[1]) / roles.numel()
    weights = (shares + 0.02).rsqrt()
    return F.cross_entropy(scores, roles, weights)


def alignment_loss(latents: torch.Tensor) -> torch.Tensor:
    """Distance of latents across appearances over their distance across states.

    Args:
        latents: float [2, N, C, h, w], the same states under two appearances; states 2 i and
            2 i + 1 are of one scene.
    """
    across_looks = _distances(latents[0], latents[1])
    across_states = _distances(latents[:, ::2], latents[:, 1::2])
    return across_looks.mean() / across_states.mean()


def _distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Root mean square over [..., C, h, w]; equal ones have a gradient too, which is zero."""
    return (a - b).square().mean((-3, -2, -1)).clamp_min(1e-8).sqrt()
