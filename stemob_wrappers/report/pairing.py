"""What the conditions did, arranged so that episodes can be compared: complete, and paired."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

FORMAT = 2
"""Of results.json."""

CLEAN = "clean"
"""The name of the nominal scene, which is the first cell of every evaluation."""


def factor_of(cell: str) -> str:
    """The group of factors of a cell.

    Example:
        >>> factor_of("texture-4")
        'texture'
    """
    return cell.rpartition("-")[0] or cell


def severity_of(cell: str) -> int | None:
    """The severity of a cell; None for one that has none, such as the nominal scene.

    Example:
        >>> severity_of("texture-4")
        4
    """
    last = cell.rpartition("-")[2]
    return int(last) if last.isdecimal() else None


class Outcomes(Protocol):
    """What one condition did in one cell of one task; the lists have an entry for each episode."""

    @property
    def condition(self) -> str: ...
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
    """Records by condition, task, training seed and cell, complete and of equal episodes.

    Args:
        records: in the order that conditions, tasks and cells are to have.
        apart: cells that are in no group: they have rates of their own and count in no mean.

    Raises:
        ValueError: no records, a cell twice or missing, or other episodes in one cell than in the
            others of its task.
    """

    def __init__(self, records: Sequence[Outcomes], apart: Collection[str] = ()) -> None:
        if not records:
            raise ValueError("need at least one record to summarise, received none")
        self.conditions = list(dict.fromkeys(record.condition for record in records))
        self.tasks = list(dict.fromkeys(record.task for record in records))
        self.cells = list(dict.fromkeys(record.cell for record in records))
        self.apart = apart
        self.seeds: dict[tuple[str, str], list[int]] = {}
        self.records: dict[tuple[str, str, int, str], Outcomes] = {}
        episodes: dict[str, tuple[str, list[int]]] = {}
        for record in records:
            key = (record.condition, record.task, record.training_seed, record.cell)
            named = "condition {!r}, {}, training seed {}, cell {!r}".format(*key)
            if key in self.records:
                raise ValueError(f"each cell may be there once, received another record of {named}")
            self.records[key] = record
            seeds = self.seeds.setdefault((record.condition, record.task), [])
            if record.training_seed not in seeds:
                seeds.append(record.training_seed)
            first, expected = episodes.setdefault(record.task, (named, list(record.seeds)))
            if list(record.seeds) != expected or len(record.successes) != len(expected):
                raise ValueError(
                    f"all cells of a task need the same reset seeds to be paired; {named} has "
                    f"others than {first}: {list(record.seeds)} and {expected}"
                )
        for (condition, task), seeds in self.seeds.items():
            for seed in seeds:
                missing = [c for c in self.cells if (condition, task, seed, c) not in self.records]
                if missing:
                    raise ValueError(
                        f"condition {condition!r}, {task}, training seed {seed} lacks the cells "
                        f"{', '.join(missing)}; evaluate them, or leave this condition out"
                    )

    @property
    def groups(self) -> dict[str, list[str]]:
        """The cells of Train, Gen and All; a group may be empty."""
        counted = [cell for cell in self.cells if cell not in self.apart]
        perturbed = [cell for cell in counted if cell != CLEAN]
        clean = [cell for cell in counted if cell == CLEAN]
        return {"train": clean, "gen": perturbed, "all": counted if clean else []}

    def shared_seeds(
        self, condition: str, other: str, tasks: Sequence[str]
    ) -> dict[str, list[int]] | None:
        """By task: the training seeds that both have; None where they share none of a task."""
        shared = {
            task: [s for s in self.seeds[condition, task] if s in self.seeds.get((other, task), [])]
            for task in tasks
        }
        return shared if all(shared.values()) else None

    def scores(
        self, condition: str, seeds: Mapping[str, Sequence[int]], cells: Sequence[str]
    ) -> dict[str, NDArray[np.float64]]:
        """By task: the mean over the cells of what each episode brought, [seeds, episodes]."""
        return {
            task: np.mean(
                [
                    [self.records[condition, task, seed, cell].successes for seed in chosen]
                    for cell in cells
                ],
                axis=0,
            )
            for task, chosen in seeds.items()
        }


def current_format(results: Mapping[str, Any]) -> dict[str, Any]:
    """Results of any format in the present one: conditions were called arms in format 1.

    Example:
        >>> current_format({"arms": [], "records": [{"arm": "raw"}]})
        {'conditions': [], 'records': [{'condition': 'raw'}]}
    """

    def renamed(part: Mapping[str, Any]) -> dict[str, Any]:
        names = {"arm": "condition", "arms": "conditions", "copies": "augmented"}
        names["copy_epochs"] = "augmented_epochs"
        return {names.get(name, name): value for name, value in part.items()}

    found = renamed(results)
    if "format" in found:
        found["format"] = FORMAT
    if "records" in found:
        found["records"] = [renamed(record) for record in found["records"]]
    if "benchmark" in found:
        about = renamed(found["benchmark"])
        about |= {part: renamed(about[part]) for part in ("study", "recipe") if part in about}
        found["benchmark"] = about | {
            "conditions": [renamed(spec) for spec in about.get("conditions", [])]
        }
    if "summary" in found:
        rows = [renamed(row) for row in found["summary"]["rows"]]
        found["summary"] = {**found["summary"], "rows": rows}
    return found
