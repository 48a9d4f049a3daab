"""Suites: named lists of cells, each a group of factors at one severity, to evaluate a policy on.

The names are stable: results are filed under them. ``python -m stemob_wrappers.perturb.markdown``
prints how the factors answer to those of The Colosseum and LIBERO-Plus.
"""

from __future__ import annotations

from collections.abc import Sequence
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
        group: the factors that change together.
        severity: 1 to 5.
    """

    group: str
    severity: int

    @property
    def name(self) -> str:
        """A stable name, such as ``lighting-3``."""
        return f"{self.group}-{self.severity}"

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
        if self.group == "corruption":
            from stemob_wrappers.perturb.pixels import PixelPerturbation

            return PixelPerturbation(env, self.group, self.severity, seed, split)
        from stemob_wrappers.perturb.scene import ScenePerturbation

        return ScenePerturbation(env, self.group, self.severity, seed, split)


SUITES: dict[str, tuple[str, ...]] = {**{group: (group,) for group in GROUPS}, "all": GROUPS}
"""The groups of each suite by name."""


def suite(name: str, severities: Sequence[int] = SEVERITIES) -> tuple[Cell, ...]:
    """The cells of a suite, group by group, slight to severe.

    Args:
        name: ``lighting``, ``texture``, ``colour``, ``background``, ``camera``, ``distractors``,
            ``corruption`` or ``all``.
        severities: which of 1 to 5.

    Raises:
        ValueError: an unknown suite, or a severity out of range.

    Example:
        >>> [cell.name for cell in suite("camera", [1, 5])]
        ['camera-1', 'camera-5']
    """
    if name not in SUITES:
        raise ValueError(f"Unknown suite {name!r}: {nearest(name, list(SUITES))}")
    for severity in severities:
        check_severity(severity)
    return tuple(Cell(group, severity) for group in SUITES[name] for severity in severities)
