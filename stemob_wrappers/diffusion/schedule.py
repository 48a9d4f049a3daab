"""Noise schedules as tables: (num_steps, inversion_steps) -> timestep -> alpha_bar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.diffusion.flow import FlowSchedule, sigma_at
from stemob_wrappers.diffusion.scheduler_config import flow_fields, is_flow, scheduler_fields

SD_SCHEDULE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "timestep_spacing": "leading",
    "steps_offset": 1,
    "prediction_type": "epsilon",
}
MAX_TIMESTEPS = 100_000
SPACINGS = ("leading", "trailing", "linspace", "open-leading", "open-linspace")


@dataclass(frozen=True)
class Step:
    """One step up the noising process.

    Attributes:
        timestep: the one that the step reaches, and that the denoiser is asked at.
        alpha_bar: the share of signal variance that is left where the step starts.
        next_alpha_bar: the share that is left where it ends.
    """

    timestep: int
    alpha_bar: float
    next_alpha_bar: float

    @property
    def asked_at(self) -> int:
        """The timestep that plain inversion asks the denoiser at."""
        return self.timestep


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """A noising process of T timesteps, x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps.

    Attributes:
        alpha_bars: float64 [T], decreasing, in [0, 1).
        spacing: how ``num_steps`` steps are laid on the T timesteps, in diffusers' terms:
            ``"leading"``, ``"trailing"`` or ``"linspace"``; with ``"open-"`` before it, one step
            more is laid and the lowest left out, as multistep solvers do.
        steps_offset: added to every timestep of ``"leading"``.
        prediction_type: what the denoiser predicts, ``"epsilon"``, ``"v_prediction"`` or
            ``"sample"``.
        first_alpha_bar: the alpha_bar that DDIM gives x_0 itself: 1, or that of timestep 0 where a
            model's scheduler config says ``set_alpha_to_one: false`` (Stable Diffusion does).

    Example:
        >>> schedule = NoiseSchedule.from_config(SD_SCHEDULE)
        >>> schedule.timesteps(50)[:3].tolist(), schedule.timestep(50, 15)
        ([1, 21, 41], 281)
    """

    alpha_bars: NDArray[np.float64]
    spacing: str = "leading"
    steps_offset: int = 1
    prediction_type: str = "epsilon"
    first_alpha_bar: float = 1.0

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> NoiseSchedule:
        """Build the table from the fields of a diffusers ``scheduler_config.json``.

        Raises:
            ValueError: a beta schedule, spacing, prediction type or number that is not supported.

        Example:
            >>> round(float(NoiseSchedule.from_config(SD_SCHEDULE).alpha_bar(281)), 4)
            0.6224
        """
        config = scheduler_fields(config)
        if not _is_count(config["num_train_timesteps"]):
            raise ValueError(
                f"num_train_timesteps must lie in 1 to {MAX_TIMESTEPS}, "
                f"received {config['num_train_timesteps']!r}"
            )
        if config["timestep_spacing"] not in SPACINGS:
            raise ValueError(
                f"timestep_spacing must be leading, trailing or linspace, "
                f"received {config['timestep_spacing']!r}"
            )
        if config["prediction_type"] not in ("epsilon", "v_prediction", "sample"):
            raise ValueError(
                f"prediction_type must be epsilon, v_prediction or sample, "
                f"received {config['prediction_type']!r}"
            )
        alpha_bars = _alpha_bars(config)
        if not ((alpha_bars >= 0) & (alpha_bars <= 1)).all():  # not a number is neither
            raise ValueError("the scheduler's betas must leave alpha_bar in [0, 1] at every step")
        return cls(
            alpha_bars=alpha_bars,
            spacing=config["timestep_spacing"],
            steps_offset=int(config["steps_offset"]),
            prediction_type=config["prediction_type"],
            first_alpha_bar=1.0 if config["set_alpha_to_one"] else float(alpha_bars[0]),
        )

    @property
    def num_train_timesteps(self) -> int:
        """T, the number of timesteps that the denoiser was trained on."""
        return len(self.alpha_bars)

    def timesteps(self, num_steps: int) -> NDArray[np.int64]:
        """Return the timesteps of ``num_steps`` steps in rising order, int64 [num_steps].

        Raises:
            ValueError: more steps than timesteps.

        Example:
            >>> NoiseSchedule.from_config(SD_SCHEDULE).timesteps(4).tolist()
            [1, 251, 501, 751]
        """
        total = self.num_train_timesteps
        if not 1 <= num_steps <= total:
            raise ValueError(f"num_steps must lie in 1 to {total}, received {num_steps}")
        if self.spacing.startswith("open-"):
            return _open_steps(self, num_steps)
        if self.spacing == "leading":
            steps = np.arange(num_steps) * (total // num_steps) + self.steps_offset
        elif self.spacing == "trailing":
            steps = np.round(total - np.arange(num_steps) * total / num_steps)[::-1] - 1
        else:
            steps = np.linspace(0, total - 1, num_steps).round()
        return np.minimum(steps, total - 1).astype(np.int64)

    def timestep(self, num_steps: int, inversion_steps: int) -> int | None:
        """Return the timestep that ``inversion_steps`` of ``num_steps`` steps reach; None for 0.

        Example:
            >>> NoiseSchedule.from_config(SD_SCHEDULE).timestep(50, 5)
            81
        """
        if inversion_steps == 0:
            return None
        return int(self.timesteps(num_steps)[inversion_steps - 1])

    def alpha_bar(self, timestep: float | None) -> float:
        """Return the share of signal variance left at a timestep; 1.0 where no noise was added.

        Example:
            >>> NoiseSchedule.from_config(SD_SCHEDULE).alpha_bar(None)
            1.0
        """
        return 1.0 if timestep is None else float(self.alpha_bars[int(timestep)])

    def describe(self) -> str:
        """Return what decides the noise levels, as text that is the same on every machine.

        Example:
            >>> NoiseSchedule.from_config(SD_SCHEDULE).describe()[:44]
            '1000 leading 1 epsilon 1.000000 0.999150 0.9'
        """
        levels = " ".join(f"{level:.6f}" for level in (self.first_alpha_bar, *self.alpha_bars))
        kind = f"{self.spacing} {self.steps_offset} {self.prediction_type}"
        return f"{self.num_train_timesteps} {kind} {levels}"

    def climb(self, num_steps: int, inversion_steps: int) -> tuple[Step, ...]:
        """Return the DDIM steps from x_0 to a level.

        Args:
            num_steps: steps that the whole process is divided into.
            inversion_steps: how many of them to climb.

        Example:
            >>> schedule = NoiseSchedule.from_config(SD_SCHEDULE)
            >>> [step.timestep for step in schedule.climb(50, 3)]
            [1, 21, 41]
        """
        if inversion_steps == 0:
            return ()
        timesteps = self.timesteps(num_steps)[np.arange(inversion_steps)].tolist()
        levels = [self.first_alpha_bar, *(self.alpha_bar(timestep) for timestep in timesteps)]
        return tuple(
            Step(timestep, before, after)
            for timestep, before, after in zip(timesteps, levels[:-1], levels[1:], strict=True)
        )


def _open_steps(schedule: NoiseSchedule, num_steps: int) -> NDArray[np.int64]:
    total, offset = schedule.num_train_timesteps, schedule.steps_offset
    if schedule.spacing == "open-linspace":
        steps = np.linspace(0, total - 1, num_steps + 1).round()
    else:
        steps = np.arange(num_steps + 1) * (total // (num_steps + 1)) + offset
    return np.minimum(steps[1:], total - 1).astype(np.int64)


Schedule = NoiseSchedule | FlowSchedule


def schedule_of(config: dict[str, Any], even: bool = False) -> Schedule:
    """Return the noising process of a diffusers ``scheduler_config.json``, by its class.

    Args:
        config: its fields; without ``"_class_name"`` it is read as a ``DDIMScheduler``'s.
        even: for a flow, whether its pipeline lays the steps itself, evenly, as Flux does.

    Raises:
        ValueError: a class, field or number that is not supported.

    Example:
        >>> type(schedule_of({"_class_name": "FlowMatchEulerDiscreteScheduler"})).__name__
        'FlowSchedule'
    """
    if is_flow(config):
        return FlowSchedule.from_config(config, even)
    return NoiseSchedule.from_config(config)


def schedule_fields(config: dict[str, Any], even: bool = False) -> dict[str, Any]:
    """Return what :func:`schedule_of` reads of a config, to identify the schedule by.

    Example:
        >>> schedule_fields({"_class_name": "FlowMatchEulerDiscreteScheduler"})["shift"]
        1.0
    """
    return flow_fields(config, even) if is_flow(config) else scheduler_fields(config)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and 1 <= value <= MAX_TIMESTEPS


def _alpha_bars(config: dict[str, Any]) -> NDArray[np.float64]:
    alpha_bars = np.cumprod(1.0 - _betas(config))
    if not config["rescale_betas_zero_snr"]:
        return alpha_bars
    # No signal is left at the last timestep, and the first stays (arXiv 2305.08891, algorithm 1).
    roots = np.sqrt(alpha_bars)
    return ((roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])) ** 2


def _betas(config: dict[str, Any]) -> NDArray[np.float64]:
    total, kind = int(config["num_train_timesteps"]), config["beta_schedule"]
    if config["trained_betas"] is not None:
        return np.asarray(config["trained_betas"], np.float64)
    if kind == "linear":
        return np.linspace(config["beta_start"], config["beta_end"], total, dtype=np.float64)
    if kind == "scaled_linear":
        roots = config["beta_start"] ** 0.5, config["beta_end"] ** 0.5
        return np.linspace(*roots, total, dtype=np.float64) ** 2
    if kind == "squaredcos_cap_v2":
        t = np.arange(total + 1) / total
        alpha_bar = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
        return np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], 0.999)
    raise ValueError(
        f"beta_schedule must be linear, scaled_linear or squaredcos_cap_v2, received {kind!r}"
    )


@dataclass(frozen=True)
class Level:
    """One noise level.

    Attributes:
        inversion_steps: steps that reach it.
        timestep: of the schedule, or None for no noise.
        alpha_bar: share of signal variance that is left.
        snr: alpha_bar / (1 - alpha_bar); infinite for no noise.
    """

    inversion_steps: int
    timestep: float | None
    alpha_bar: float
    snr: float

    @property
    def sigma(self) -> float:
        """The same level as a flow's share of noise, 1 / (1 + sqrt(snr))."""
        return sigma_at(self.alpha_bar)


def level_table(schedule: Schedule, num_steps: int = 50) -> list[Level]:
    """Return the levels that ``num_steps`` steps can reach, from no noise up.

    Example:
        >>> from stemob_wrappers.diffusion.schedule import SD_SCHEDULE
        >>> level_table(NoiseSchedule.from_config(SD_SCHEDULE))[10].timestep
        181
    """
    levels: list[Level] = []
    for inversion_steps in range(num_steps + 1):
        timestep = schedule.timestep(num_steps, inversion_steps)
        alpha_bar = schedule.alpha_bar(timestep)
        snr = alpha_bar / (1 - alpha_bar) if alpha_bar < 1 else np.inf
        levels.append(Level(inversion_steps, timestep, alpha_bar, snr))
    return levels
