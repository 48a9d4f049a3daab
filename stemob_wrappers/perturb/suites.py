"""Suites: named lists of cells, each a group of factors at one severity, to evaluate a policy on.

The names are stable: results are filed under them. ``python -m stemob_wrappers.perturb.markdown``
prints how the factors answer to those of The Colosseum and LIBERO-Plus.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from stemob_wrappers.perturb.names import SEVERITIES, check_severity, nearest
from stemob_wrappers.splits import Split

GROUPS = ("lighting", "texture", "colour", "background", "camera", "distractors", "corruption")
"""The groups that a cell can have: ``corruption`` changes pictures, the others the scene."""


@dataclass(frozen=True)
class Cell:
    """One condition of an evaluation.

    Attributes:
        group: the factors that change together, or a name of `PROTOCOLS`.
        severity: 1 to 5; None for those of a protocol, which has severities of its own.
    """

    group: str
    severity: int | None = None

    @property
    def name(self) -> str:
        """A stable name, such as ``lighting-3``."""
        return self.group if self.severity is None else f"{self.group}-{self.severity}"

    def wrap(
        self, env: gym.Env[Any, Any], *, seed: int | None = None, split: Split = "test"
    ) -> gym.Env[Any, Any]:
        """The env under this condition.

        Args:
            env: for ``corruption`` an env that observes images, else one with a MuJoCo model.
            seed, split: of the perturbation.

        Raises:
            ValueError: the env lacks what every factor of the group needs.
        """
        if self.group == "corruption" and self.severity is not None:
            from stemob_wrappers.perturb.pixels import PixelPerturbation

            return PixelPerturbation(env, self.group, self.severity, seed, split)
        from stemob_wrappers.perturb.scene import ScenePerturbation

        if self.severity is None:
            return ScenePerturbation(env, dict(PROTOCOLS[self.group]), seed=seed, split=split)
        return ScenePerturbation(env, self.group, self.severity, seed, split)

    def check(self) -> None:
        """Raise ValueError unless there is such a cell."""
        if self.group in PROTOCOLS and self.severity is None:
            return
        if self.group not in (*GROUPS, "appearance"):
            known = ", ".join((*GROUPS, "appearance", *PROTOCOLS))
            raise ValueError(f"the group of {self} must be one of {known}")
        check_severity(self.severity)


SUITES: dict[str, tuple[str, ...]] = {
    **{group: (group,) for group in GROUPS},
    "all": GROUPS,
    "appearance": ("appearance",),
}
"""The groups of each suite by name; ``appearance`` is light, textures, colours and background all
at once."""

_TEXTURES = {"table_texture": 5, "object_texture": 5, "object_colour": 2}
_STILL = {**_TEXTURES, "floor_texture": 5, "wall_texture": 5, "skybox": 5}
_LAMPS = {"moving_light": 4, "shadows": 1}
PROTOCOLS: dict[str, Mapping[str, int]] = {
    "rl-vigen-easy": _STILL,
    "rl-vigen-medium": {**_STILL, "robot_colour": 5, **_LAMPS},
    "rl-vigen-hard": {**_TEXTURES, "moving_background": 5, **_LAMPS},
}
"""Cells of other benchmarks rebuilt, as severities of factors; docs/comparison.md says how they
differ."""

PROTOCOL_SUITES = {"rl-vigen": tuple(PROTOCOLS), **{name: (name,) for name in PROTOCOLS}}


def suite(name: str, severities: Sequence[int] = SEVERITIES) -> tuple[Cell, ...]:
    """The cells of a suite, group by group, slight to severe.

    Args:
        name: ``lighting``, ``texture``, ``colour``, ``background``, ``camera``, ``distractors``,
            ``corruption``, ``all``, ``appearance``, ``rl-vigen`` or one of its cells such as
            ``rl-vigen-hard``.
        severities: which of 1 to 5; a protocol's cells have their own.

    Raises:
        ValueError: an unknown suite, or a severity out of range.

    Example:
        >>> [cell.name for cell in suite("camera", [1, 5])]
        ['camera-1', 'camera-5']
        >>> [cell.name for cell in suite("rl-vigen")]
        ['rl-vigen-easy', 'rl-vigen-medium', 'rl-vigen-hard']
    """
    if name in PROTOCOL_SUITES:
        return tuple(Cell(cell) for cell in PROTOCOL_SUITES[name])
    if name not in SUITES:
        raise ValueError(f"Unknown suite {name!r}: {nearest(name, [*SUITES, *PROTOCOL_SUITES])}")
    for severity in severities:
        check_severity(severity)
    return tuple(Cell(group, severity) for group in SUITES[name] for severity in severities)
