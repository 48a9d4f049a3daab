"""What the arms did, arranged so that episodes can be compared: complete, and paired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Outcomes(Protocol):
    """What one arm did in one cell of one task; the lists have an entry for each episode."""

    @property
    def arm(self) -> str: ...
    @property
    def training_seed(self) -> int: ...
    @property
    def task(self) -> str: ...
    @property
    def cell(self) -> str: ...
    @property
    def seeds(self) -> Sequence[int]: ...
    @property
    def successes(self) -> Sequence[bool]: ...
    @property
    def lengths(self) -> Sequence[int]: ...
    @property
    def ms_per_step(self) -> Mapping[str, float]: ...


class Table:
    """Records by arm, task, training seed and cell, complete and of equal episodes.

    Args:
        records: in the order that arms, tasks and cells are to have.

    Raises:
        ValueError: no records, a cell twice or missing, or other episodes in one cell than in the
            others of its task.
    """

    def __init__(self, records: Sequence[Outcomes]) -> None:
        if not records:
            raise ValueError("need at least one record to summarise, received none")
        self.arms = list(dict.fromkeys(record.arm for record in records))
        self.tasks = list(dict.fromkeys(record.task for record in records))
        self.cells = list(dict.fromkeys(record.cell for record in records))
        self.seeds: dict[tuple[str, str], list[int]] = {}
        self.records: dict[tuple[str, str, int, str], Outcomes] = {}
        episodes: dict[str, tuple[str, list[int]]] = {}
        for record in records:
            key = (record.arm, record.task, record.training_seed, record.cell)
            named = "arm {!r}, {}, training seed {}, cell {!r}".format(*key)
            if key in self.records:
                raise ValueError(f"each cell may be there once, received another record of {named}")
            self.records[key] = record
            seeds = self.seeds.setdefault((record.arm, record.task), [])
            if record.training_seed not in seeds:
                seeds.append(record.training_seed)
            first, expected = episodes.setdefault(record.task, (named, list(record.seeds)))
            if list(record.seeds) != expected or len(record.successes) != len(expected):
                raise ValueError(
                    f"all cells of a task need the same reset seeds to be paired; {named} has "
                    f"others than {first}: {list(record.seeds)} and {expected}"
                )
        for (arm, task), seeds in self.seeds.items():
            for seed in seeds:
                missing = [c for c in self.cells if (arm, task, seed, c) not in self.records]
                if missing:
                    raise ValueError(
                        f"arm {arm!r}, {task}, training seed {seed} lacks the cells "
                        f"{', '.join(missing)}; evaluate them, or leave this arm out"
                    )

    @property
    def groups(self) -> dict[str, list[str]]:
        """The cells of Train, Gen and All; a group may be empty."""
        perturbed = [cell for cell in self.cells if cell != CLEAN]
        clean = [cell for cell in self.cells if cell == CLEAN]
        return {"train": clean, "gen": perturbed, "all": self.cells if clean else []}

    def scores(
        self, arm: str, seeds: Mapping[str, Sequence[int]], cells: Sequence[str]
    ) -> dict[str, NDArray[np.float64]]:
        """By task: the mean over the cells of what each episode brought, [seeds, episodes]."""
        return {
            task: np.mean(
                [
                    [self.records[arm, task, seed, cell].successes for seed in chosen]
                    for cell in cells
                ],
                axis=0,
            )
            for task, chosen in seeds.items()
        }


CLEAN = "clean"
"""The name of the nominal scene, which is the first cell of every evaluation."""
