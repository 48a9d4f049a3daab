"""How many steps? A noise level by its names, and a study that measures which level to choose."""

from __future__ import annotations

import math

from stemob_wrappers.backbones.folder import read_schedule
from stemob_wrappers.config import StemConfig
from stemob_wrappers.diffusion.flow import alpha_bar_at
from stemob_wrappers.diffusion.schedule import Level, level_table

__all__ = ["Level", "at_level", "level_table", "read_schedule"]


def at_level(
    config: StemConfig,
    *,
    timestep: float | None = None,
    alpha_bar: float | None = None,
    snr: float | None = None,
    sigma: float | None = None,
) -> StemConfig:
    """Return a config with the ``inversion_steps`` that come nearest to a noise level.

    The same alpha_bar is the same noise on every backbone; the same number of steps need not be.
    A larger ``num_steps`` comes nearer: with as many as the schedule has, every timestep is met.

    Args:
        config: backbone and ``num_steps`` count, and all else is kept.
        timestep: level as a timestep of the backbone's schedule; or
        alpha_bar: as the share of signal variance that is left, in (0, 1]; or
        snr: as the ratio of signal to noise variance, above 0; or
        sigma: as the share of noise in a flow's mixture, in [0, 1): 1 / (1 + sqrt(snr)), also where
            the backbone is no flow.

    Raises:
        ValueError: not exactly one level was given, or it is out of range.
        OSError: the backbone's schedule is missing.

    Example:
        >>> at_level(StemConfig(), alpha_bar=0.63).inversion_steps
        15
    """
    given = {"timestep": timestep, "alpha_bar": alpha_bar, "snr": snr, "sigma": sigma}
    named = {name: value for name, value in given.items() if value is not None}
    if len(named) != 1:
        raise ValueError(
            f"name one of timestep, alpha_bar and snr, or sigma, received {named or 'none'}"
        )
    (name, value), schedule = named.popitem(), read_schedule(config.backbone, config.revision)
    if name == "timestep" and not 0 <= value < schedule.num_train_timesteps:
        last = schedule.num_train_timesteps - 1
        raise ValueError(f"timestep must lie in 0 to {last}, received {value}")
    if name == "alpha_bar" and not 0 < value <= 1:
        raise ValueError(f"alpha_bar must lie above 0 and up to 1, received {value}")
    if name == "snr" and not value > 0:
        raise ValueError(f"snr must be above 0, received {value}")
    if name == "sigma" and not 0 <= value < 1:
        raise ValueError(f"sigma must lie from 0 to below 1, received {value}")
    levels = level_table(schedule, config.num_steps)
    if name == "timestep":
        # No noise is no timestep; it counts as one before the first.
        distances = [
            abs((-1 if level.timestep is None else level.timestep) - value) for level in levels
        ]
    else:
        # Compared as shares of variance: the ratio has no bound.
        target = value
        if name == "snr":
            target = 1.0 if math.isinf(value) else value / (1 + value)
        elif name == "sigma":
            target = alpha_bar_at(value)
        distances = [abs(level.alpha_bar - target) for level in levels]
    return config.replace(inversion_steps=distances.index(min(distances)))
