"""Flow matching: straight paths from image to noise, x_sigma = (1 - sigma) x_0 + sigma eps.

Source: flow matching, arXiv 2210.02747; rectified flow, arXiv 2209.03003; the shift of levels,
Stable Diffusion 3, arXiv 2403.03206, section 5.3.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.diffusion.scheduler_config import flow_fields

FLOW_PREDICTION = "flow_prediction"
MAX_TIMESTEPS = 100_000


def sigma_at(alpha_bar: float) -> float:
    """Return the share of noise in a flow's mixture at a noise level, 1 / (1 + sqrt(SNR)).

    Example:
        >>> sigma_at(0.5), sigma_at(1.0), sigma_at(0.0)
        (0.5, 0.0, 1.0)
    """
    signal, noise = math.sqrt(alpha_bar), math.sqrt(1.0 - alpha_bar)
    return noise / (signal + noise)


def alpha_bar_at(sigma: float) -> float:
    """Return the noise level of a flow's mixture: its share of signal variance.

    The signal-to-noise ratio, ((1 - sigma) / sigma)^2, is alpha_bar / (1 - alpha_bar).

    Example:
        >>> alpha_bar_at(0.5), alpha_bar_at(0.0)
        (0.5, 1.0)
    """
    return (1.0 - sigma) ** 2 / ((1.0 - sigma) ** 2 + sigma**2)


@dataclass(frozen=True)
class FlowStep:
    """One Euler step up a flow.

    Attributes:
        timestep: the one that the step reaches.
        start: the one that it starts from, where Euler's method asks for the velocity.
        sigma: share of noise where it starts.
        next_sigma: share of noise where it ends.
    """

    timestep: float
    start: float
    sigma: float
    next_sigma: float

    @property
    def asked_at(self) -> float:
        """The timestep that plain inversion asks the denoiser at."""
        return self.start

    @property
    def alpha_bar(self) -> float:
        """Share of signal variance where the step starts."""
        return alpha_bar_at(self.sigma)

    @property
    def next_alpha_bar(self) -> float:
        """Share of signal variance where it ends."""
        return alpha_bar_at(self.next_sigma)


@dataclass(frozen=True)
class FlowSchedule:
    """The levels of a flow-matching model, with the interface of ``NoiseSchedule``.

    A timestep is sigma times ``num_train_timesteps``, a float. ``num_steps`` steps lie evenly on
    unshifted shares of noise u, from a lowest one up, and sigma = shift u / (1 + (shift - 1) u).

    Attributes:
        shift: how far levels are moved towards noise; 1 leaves them. A shift that depends on the
            image's size is that of the largest images in its config, whatever a frame's size: a
            level means the same noise for every frame.
        steps: who lays them: ``"scheduler"`` (diffusers' flow-matching schedulers: from their own,
            already shifted, lowest sigma), ``"solver"`` (multistep solvers: from 1 / num_steps of
            their highest) or ``"even"`` (Flux: from 1 / num_steps).
        lowest: unshifted lowest share of noise of ``"scheduler"``.
        num_train_timesteps: what sigma = 1 is as a timestep.

    Example:
        >>> schedule = FlowSchedule.from_config(
        ...     {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}
        ... )
        >>> level = schedule.alpha_bar(schedule.timestep(50, 15))
        >>> round(level / (1 - level), 2)
        0.68
    """

    shift: float = 1.0
    steps: str = "scheduler"
    lowest: float = 0.001
    num_train_timesteps: int = 1000
    prediction_type: str = FLOW_PREDICTION

    @classmethod
    def from_config(cls, config: dict[str, Any], even: bool = False) -> FlowSchedule:
        """Read the fields of a flow-matching ``scheduler_config.json``.

        Args:
            config: its fields.
            even: whether the pipeline lays the steps itself, evenly.

        Raises:
            ValueError: a setting that is not supported, or a number out of range.

        Example:
            >>> FlowSchedule.from_config({"shift": 3.0}).shift
            3.0
        """
        fields = flow_fields(config, even)
        total, shift = fields["num_train_timesteps"], fields["shift"]
        dynamic, kind = bool(fields["use_dynamic_shifting"]), fields["time_shift_type"]
        if dynamic:
            shift = fields["max_shift"]
            if kind not in ("exponential", "linear"):
                raise ValueError(
                    f"time_shift_type must be exponential or linear, received {kind!r}"
                )
        _check_number("num_train_timesteps", total, 1, MAX_TIMESTEPS)
        _check_number("max_shift" if dynamic else "shift", shift, 0, 100)
        if dynamic and kind == "exponential":
            shift = math.exp(shift)
        lowest = 1 / total
        if not dynamic:
            lowest = shift * lowest / (1 + (shift - 1) * lowest)
        return cls(float(shift), fields["steps"], lowest, int(total))

    def sigmas(self, num_steps: int) -> NDArray[np.float64]:
        """Return the shares of noise of ``num_steps`` steps in rising order, float64 [num_steps].

        Raises:
            ValueError: more steps than timesteps.

        Example:
            >>> FlowSchedule(shift=3.0, steps="even").sigmas(2).tolist()
            [0.75, 1.0]
        """
        total = self.num_train_timesteps
        if not 1 <= num_steps <= total:
            raise ValueError(f"num_steps must lie in 1 to {total}, received {num_steps}")
        highest = 1 - 1 / total if self.steps == "solver" else 1.0
        lowest = self.lowest if self.steps == "scheduler" else highest / num_steps
        shares = np.linspace(highest, lowest, num_steps)[::-1]
        return self.shift * shares / (1 + (self.shift - 1) * shares)

    def timesteps(self, num_steps: int) -> NDArray[np.float64]:
        """Return the timesteps of ``num_steps`` steps in rising order, float64 [num_steps].

        Example:
            >>> FlowSchedule(steps="even").timesteps(2).tolist()
            [500.0, 1000.0]
        """
        return self.sigmas(num_steps) * self.num_train_timesteps

    def timestep(self, num_steps: int, inversion_steps: int) -> float | None:
        """Return the timestep that ``inversion_steps`` of ``num_steps`` steps reach; None for 0.

        Example:
            >>> FlowSchedule(steps="even").timestep(50, 25)
            500.0
        """
        if inversion_steps == 0:
            return None
        return float(self.timesteps(num_steps)[inversion_steps - 1])

    def sigma(self, timestep: float | None) -> float:
        """Return the share of noise at a timestep; 0 where none was added.

        Example:
            >>> FlowSchedule().sigma(250.0)
            0.25
        """
        return 0.0 if timestep is None else timestep / self.num_train_timesteps

    def alpha_bar(self, timestep: float | None) -> float:
        """Return the share of signal variance left at a timestep; 1.0 where no noise was added.

        Example:
            >>> FlowSchedule().alpha_bar(500.0)
            0.5
        """
        return alpha_bar_at(self.sigma(timestep))

    def describe(self) -> str:
        """Return what decides the noise levels, as text that is the same on every machine.

        Example:
            >>> FlowSchedule(shift=3.0).describe()
            '1000 flow scheduler 3.000000 0.001000'
        """
        kind = f"{self.num_train_timesteps} flow {self.steps}"
        return f"{kind} {self.shift:.6f} {self.lowest:.6f}"

    def climb(self, num_steps: int, inversion_steps: int) -> tuple[FlowStep, ...]:
        """Return the Euler steps from x_0 to a level.

        Args:
            num_steps: steps that the whole process is divided into.
            inversion_steps: how many of them to climb.

        Example:
            >>> [step.start for step in FlowSchedule(steps="even").climb(4, 3)]
            [0.0, 250.0, 500.0]
        """
        ends = self.timesteps(num_steps)[np.arange(inversion_steps)].tolist()
        return tuple(
            FlowStep(end, start, self.sigma(start), self.sigma(end))
            for start, end in zip([0.0, *ends], ends, strict=False)
        )


def _check_number(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"{name} must lie in {low} to {high}, received {value!r}")
