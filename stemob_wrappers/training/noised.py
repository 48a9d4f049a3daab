"""Latents as decoders are trained on them: at random noise levels, some of them without noise."""

from __future__ import annotations

import torch

from stemob_wrappers.diffusion.schedule import NoiseSchedule

MAX_TIMESTEP = 500  # the highest noise level that the decoders learn to see through
CANONICAL_MAX_TIMESTEP = 300  # just above 15 of 50 steps: the levels that are used


def noise_latents(
    latents: torch.Tensor,
    schedule: NoiseSchedule,
    clean: float,
    seed: int,
    max_timestep: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents at random levels up to ``max_timestep``, a share of them without noise.

    Returns:
        the latents, and alpha_bar of each, float [N].
    """
    generator = torch.Generator().manual_seed(seed)
    n = len(latents)
    timesteps = torch.randint(1, max_timestep, (n,), generator=generator)
    alpha_bar = torch.as_tensor(schedule.alpha_bars, dtype=torch.float32)[timesteps]
    alpha_bar[torch.rand(n, generator=generator) < clean] = 1.0
    noise = torch.randn(latents.shape, generator=generator).to(latents.device)
    alpha_bar = alpha_bar.to(latents.device)
    level = alpha_bar.view(n, 1, 1, 1)
    return latents * level.sqrt() + noise * (1 - level).sqrt(), alpha_bar
