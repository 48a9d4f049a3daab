"""Partial inversion as pure functions on latents: the noise and the denoiser are given.

Latents are float tensors [N, C, h, w]; alpha_bar is the share of signal variance that is left.
"""

from __future__ import annotations

import torch


def ddpm(latent: torch.Tensor, noise: torch.Tensor, alpha_bar: float) -> torch.Tensor:
    """Jump to a noise level in closed form, x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps.

    Costs no model call. Source: DDPM, arXiv 2006.11239, equation 4; Stem-OB, arXiv 2411.04919,
    section 4.2.

    Args:
        latent: x_0, float [N, C, h, w].
        noise: eps, standard normal of the same shape, dtype and device.
        alpha_bar: in [0, 1]; 1 returns the latent itself.

    Raises:
        ValueError: latent and noise differ in shape, or alpha_bar lies outside [0, 1].

    Example:
        >>> ddpm(torch.ones(1, 4, 2, 2), torch.zeros(1, 4, 2, 2), 0.25).mean().item()
        0.5
    """
    if noise.shape != latent.shape:
        raise ValueError(
            f"noise must have the latent's shape {tuple(latent.shape)}, "
            f"received {tuple(noise.shape)}"
        )
    if not 0.0 <= alpha_bar <= 1.0:
        raise ValueError(f"alpha_bar must lie in [0, 1], received {alpha_bar}")
    return latent * alpha_bar**0.5 + noise * (1.0 - alpha_bar) ** 0.5
