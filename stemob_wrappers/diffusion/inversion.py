"""Partial inversion as pure functions on latents: the noise and the denoiser are given.

Latents are float tensors [N, C, h, w]; alpha_bar is the share of signal variance that is left. A
:class:`Denoiser` answers for a noised latent and a timestep; the steps to take come from the
schedule's ``climb``. On a flow's steps the same methods take Euler steps along its velocity, which
DDIM is there, and ``ddpm`` is :func:`flow`.

| method             | model calls for n steps    | source                                 |
|--------------------|----------------------------|----------------------------------------|
| ddpm               | 0                          | arXiv 2006.11239, equation 4           |
| ddim               | n                          | arXiv 2010.02502, section 4.3          |
| ddim-renoise       | 2 n                        | arXiv 2403.14602, as Stem-OB runs it   |
| ddim-fixed-point   | n x iterations, at most 20 | arXiv 2309.04907; 2312.12540           |
| ddim-warm          | n - k, k = 4 % of all      | arXiv 2410.23530                       |
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Protocol

import torch

from stemob_wrappers.diffusion.flow import FlowStep
from stemob_wrappers.diffusion.schedule import Step

Steps = Sequence[Step] | Sequence[FlowStep]


class Denoiser(Protocol):
    """What the methods ask a diffusion model.

    Attributes:
        prediction_type: what it predicts: ``"epsilon"``, ``"v_prediction"``, or a flow's velocity
            eps - x_0, ``"flow_prediction"``.
    """

    prediction_type: str

    def __call__(self, latent: torch.Tensor, timestep: float) -> torch.Tensor:
        """Return the prediction for a noised latent [N, C, h, w], of the same shape."""
        ...


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
    _check_noise(latent, noise)
    if not 0.0 <= alpha_bar <= 1.0:
        raise ValueError(f"alpha_bar must lie in [0, 1], received {alpha_bar}")
    return latent * alpha_bar**0.5 + noise * (1.0 - alpha_bar) ** 0.5


def flow(latent: torch.Tensor, noise: torch.Tensor, sigma: float) -> torch.Tensor:
    """Go straight towards noise, x_sigma = (1 - sigma) x_0 + sigma eps: a flow's forward path.

    Costs no model call. Source: flow matching, arXiv 2210.02747; the same as ``scale_noise`` of
    diffusers' ``FlowMatchEulerDiscreteScheduler``.

    Args:
        latent: x_0, float [N, C, h, w].
        noise: eps, standard normal of the same shape, dtype and device.
        sigma: share of noise in [0, 1]; 0 returns the latent itself.

    Raises:
        ValueError: latent and noise differ in shape, or sigma lies outside [0, 1].

    Example:
        >>> flow(torch.ones(1, 4, 2, 2), torch.zeros(1, 4, 2, 2), 0.25).mean().item()
        0.75
    """
    _check_noise(latent, noise)
    if not 0.0 <= sigma <= 1.0:
        raise ValueError(f"sigma must lie in [0, 1], received {sigma}")
    return latent * (1.0 - sigma) + noise * sigma


def ddim(latent: torch.Tensor, denoiser: Denoiser, steps: Steps) -> torch.Tensor:
    """Climb by running DDIM backwards; one model call a step.

    Each step asks the denoiser at the timestep that it goes to, but about the latent that it comes
    from; on a flow, where latent and timestep both are those that it comes from, this is Euler's
    method.

    Source: DDIM, arXiv 2010.02502, section 4.3; the same as diffusers' ``DDIMInverseScheduler``.
    For flows: rectified flow, arXiv 2209.03003, section 2.2; its ODE run from image to noise.

    Args:
        latent: x_0, float [N, C, h, w].
        denoiser: the diffusion model.
        steps: from ``NoiseSchedule.climb``; none returns the latent itself.

    Example:
        >>> from stemob_wrappers.diffusion.schedule import SD_SCHEDULE, NoiseSchedule
        >>> def silent(latent, timestep):
        ...     return torch.zeros_like(latent)
        >>> silent.prediction_type = "epsilon"
        >>> steps = NoiseSchedule.from_config(SD_SCHEDULE).climb(50, 15)
        >>> round(ddim(torch.ones(1, 4, 2, 2), silent, steps).mean().item() ** 2, 4)
        0.6224
    """
    for step in steps:
        prediction = denoiser(latent, step.asked_at)
        latent = _advance(latent, prediction, latent, step.alpha_bar, step, denoiser)
    return latent


def ddim_renoise(latent: torch.Tensor, denoiser: Denoiser, steps: Steps) -> torch.Tensor:
    """Climb with every step taken again from where it led, and the two results averaged.

    Two model calls a step. As in the code of Stem-OB's authors, who ran it under the name "ddim"
    before they published that, a v-prediction is read with the latent that the step starts from.

    Source: ReNoise, arXiv 2403.14602, section 4, without its noise correction; Stem-OB, arXiv
    2411.04919.

    Args:
        latent: x_0, float [N, C, h, w].
        denoiser: the diffusion model.
        steps: from ``NoiseSchedule.climb``.
    """
    for step in steps:
        estimate, average = latent, torch.zeros_like(latent)
        for _ in range(2):
            prediction = denoiser(estimate, step.timestep)
            estimate = _advance(latent, prediction, latent, step.alpha_bar, step, denoiser)
            average = average + 0.5 * estimate
        latent = average
    return latent


def ddim_fixed_point(
    latent: torch.Tensor,
    denoiser: Denoiser,
    steps: Steps,
    *,
    tolerance: float = 1e-3,
    max_calls: int = 20,
) -> torch.Tensor:
    """Climb so that DDIM sampling comes back: each step solves x = f(x) by iteration.

    A frame stops to move once its own change is within the tolerance, so that its result does not
    depend on which frames it shares a batch with. Costs as many model calls a step as the slowest
    frame needs, usually three to ten.

    Source: fixed-point inversion, arXiv 2312.12540; AIDI, arXiv 2309.04907.

    Args:
        latent: x_0, float [N, C, h, w].
        denoiser: the diffusion model.
        steps: from ``NoiseSchedule.climb``.
        tolerance: largest change of any element that counts as none.
        max_calls: model calls after which a step is left as it is, with a warning.
    """
    for step in steps:
        estimate = latent
        moving = torch.ones(len(latent), dtype=torch.bool, device=latent.device)
        for _ in range(max_calls):
            prediction = denoiser(estimate, step.timestep)
            # Read where it was asked: at the level and the latent that the step arrives at.
            update = _advance(latent, prediction, estimate, step.next_alpha_bar, step, denoiser)
            change = (update - estimate).abs().flatten(1).amax(1)
            estimate = torch.where(moving.view(-1, 1, 1, 1), update, estimate)
            moving = moving & (change > tolerance)
            if not moving.any():
                break
        else:
            warnings.warn(
                f"fixed-point inversion did not settle within {tolerance} in {max_calls} model "
                f"calls at timestep {step.timestep}; use more, smaller steps (num_steps)",
                RuntimeWarning,
                stacklevel=2,
            )
        latent = estimate
    return latent


def ddim_warm(
    latent: torch.Tensor,
    noise: torch.Tensor,
    denoiser: Denoiser,
    steps: Steps,
    warm_steps: int,
) -> torch.Tensor:
    """Climb with the first steps replaced by forward noise; one model call for each of the rest.

    DDIM errs most in its first steps, where it leaves flat areas without noise; noise drawn there
    takes that away. Source: arXiv 2410.23530, section 4.

    Args:
        latent: x_0, float [N, C, h, w].
        noise: standard normal of the same shape, dtype and device.
        denoiser: the diffusion model.
        steps: from ``NoiseSchedule.climb``.
        warm_steps: how many steps are replaced; more than there are replaces all.
    """
    warm, rest = steps[:warm_steps], steps[warm_steps:]
    if warm:
        last = warm[-1]
        if isinstance(last, FlowStep):
            latent = flow(latent, noise, last.next_sigma)
        else:
            latent = ddpm(latent, noise, last.next_alpha_bar)
    return ddim(latent, denoiser, rest)


def ddim_sample(latent: torch.Tensor, denoiser: Denoiser, steps: Steps) -> torch.Tensor:
    """Go down again: deterministic DDIM sampling from the end of ``steps`` to x_0.

    Source: DDIM, arXiv 2010.02502, equation 12 with sigma = 0.

    Args:
        latent: float [N, C, h, w] at the level where ``steps`` end.
        denoiser: the diffusion model.
        steps: the ones that were climbed.
    """
    for step in reversed(steps):
        prediction = denoiser(latent, step.timestep)
        if isinstance(step, FlowStep):
            latent = latent + prediction * (step.sigma - step.next_sigma)
            continue
        noise = _epsilon(prediction, latent, step.next_alpha_bar, denoiser.prediction_type)
        latent = _move(latent, noise, step.next_alpha_bar, step.alpha_bar)
    return latent


def _check_noise(latent: torch.Tensor, noise: torch.Tensor) -> None:
    if noise.shape != latent.shape:
        raise ValueError(
            f"noise must have the latent's shape {tuple(latent.shape)}, "
            f"received {tuple(noise.shape)}"
        )


def _advance(
    latent: torch.Tensor,
    prediction: torch.Tensor,
    about: torch.Tensor,
    alpha_bar: float,
    step: Step | FlowStep,
    denoiser: Denoiser,
) -> torch.Tensor:
    """Take a latent along a step, by a prediction about a latent at a level."""
    if isinstance(step, FlowStep):
        return latent + prediction * (step.next_sigma - step.sigma)
    noise = _epsilon(prediction, about, alpha_bar, denoiser.prediction_type)
    return _move(latent, noise, step.alpha_bar, step.next_alpha_bar)


def _epsilon(
    prediction: torch.Tensor, latent: torch.Tensor, alpha_bar: float, prediction_type: str
) -> torch.Tensor:
    """Read a prediction about ``latent`` at ``alpha_bar`` as noise."""
    if prediction_type == "v_prediction":  # arXiv 2202.00512, appendix D
        return prediction * alpha_bar**0.5 + latent * (1.0 - alpha_bar) ** 0.5
    return prediction


def _move(
    latent: torch.Tensor, noise: torch.Tensor, alpha_bar: float, next_alpha_bar: float
) -> torch.Tensor:
    """Take a latent from one level to another along its noise (DDIM, equation 12)."""
    clean = (latent - noise * (1.0 - alpha_bar) ** 0.5) / alpha_bar**0.5
    return clean * next_alpha_bar**0.5 + noise * (1.0 - next_alpha_bar) ** 0.5
