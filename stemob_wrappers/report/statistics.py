"""The summary of an evaluation: rates of every condition, and differences, with their intervals.

Every condition meets the same episodes, so conditions are compared episode by episode. The cells
are not resampled: Gen is defined as the mean of just these.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from stemob_wrappers.report.intervals import (
    Interval,
    difference_interval,
    rate_interval,
    wilson_interval,
)
from stemob_wrappers.report.pairing import CLEAN, Outcomes, Table

ALL_TASKS = "all"
"""Name of the block of a summary that is the mean over all tasks."""

PARTS = ("env", "stem", "policy")


def summarise(
    records: Sequence[Outcomes],
    *,
    reference: str,
    against: Mapping[str, Mapping[str, str]] | None = None,
    apart: Collection[str] = (),
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> dict[str, Any]:
    """Rates of all conditions in all cells, Train, Gen and All, and differences to one condition.

    As in the Stem-OB paper (arXiv 2411.04919, section 5): *Train* is the nominal scene, *Gen* the
    mean over the perturbed cells, *All* the mean over all cells. Within a task a cell's rate, and
    so Train, is that of the episodes of all training seeds, with a Wilson interval. Everything
    else, and everything that is a mean over tasks, has an interval of `report.intervals`.

    Args:
        records: one for each condition, training seed, task and cell, as
            `evaluation.Record` holds them.
        reference: name of the condition that the others are compared with.
        against: further comparisons by name: of a condition (key) with another one (value).
        apart: cells that Gen and All leave out.
        confidence, resamples, seed: of the intervals.

    Returns:
        plain JSON: ``{"reference", "confidence", "resamples", "rows": [{"task", "condition",
        "training_seeds", "trainings", "cells": {cell: {"successes", "episodes", "rate", "low",
        "high", "drop"}}, "train", "gen", "all", "drop", "kept", "difference": {"train", "gen",
        "all", "cells"}, "against": {name: {"condition", "train", "gen", "all", "cells"}},
        "ms_per_step"}]}``. An interval is ``{"value", "low", "high"}`` or null where there is none.
        ``trainings`` counts those of every task. ``drop`` is clean minus cell, or minus Gen, and
        ``kept`` is Gen over clean, null where nothing succeeded. The rows of task ``"all"``, means
        over the tasks, come first and leave out conditions that lack a task; with several tasks
        each has its own rows too. A difference is taken over the training seeds that both
        conditions have.

    Raises:
        ValueError: no records, no record of the reference, a cell twice or missing, or episodes
            that differ between cells or conditions, which therefore cannot be compared.

    Example:
        >>> from stemob_wrappers.evaluation import Record
        >>> episodes = ([1, 2], [True, True], [9, 9], [1.0, 1.0], {})
        >>> records = [Record("raw", 0, "Lift", cell, *episodes) for cell in ("clean", "texture-4")]
        >>> gen = summarise(records, reference="raw")["rows"][0]["gen"]
        >>> [round(end, 2) for end in gen.values()]
        [1.0, 0.29, 1.0]
    """
    table = Table(records, apart)
    if reference not in table.conditions:
        raise ValueError(
            f"the reference {reference!r} is none of the conditions: {', '.join(table.conditions)}"
        )
    compared = {
        condition: {
            name: pairs[condition] for name, pairs in (against or {}).items() if condition in pairs
        }
        for condition in table.conditions
    }
    options = {"confidence": confidence, "resamples": resamples, "seed": seed}
    blocks = [(ALL_TASKS, table.tasks)]
    if len(table.tasks) > 1:
        blocks += [(task, [task]) for task in table.tasks]
    rows: list[dict[str, Any]] = []
    for block, tasks in blocks:
        for condition in table.conditions:
            if not all((condition, task) in table.seeds for task in tasks):
                continue
            row = {"task": block, "condition": condition, **_row(table, condition, tasks, options)}
            row["difference"] = _difference(table, condition, reference, tasks, options)
            row["against"] = {
                name: {"condition": other, **difference}
                for name, other in compared[condition].items()
                if (difference := _difference(table, condition, other, tasks, options))
            }
            rows.append(row)
    settings = {"reference": reference, "confidence": confidence, "resamples": resamples}
    return {**settings, "rows": rows}


def _row(
    table: Table, condition: str, tasks: Sequence[str], options: dict[str, Any]
) -> dict[str, Any]:
    seeds = {task: table.seeds[condition, task] for task in tasks}
    cells = {cell: _cell(table, condition, seeds, cell, options) for cell in table.cells}
    groups = {
        name: _as_json(rate_interval(table.scores(condition, seeds, group), **options))
        if group
        else None
        for name, group in table.groups.items()
    }
    if CLEAN in cells:
        clean = cells[CLEAN]
        groups["train"] = {"value": clean["rate"], "low": clean["low"], "high": clean["high"]}
    train, gen = groups["train"], groups["gen"]
    return {
        "training_seeds": sorted({seed for chosen in seeds.values() for seed in chosen}),
        "trainings": sum(map(len, seeds.values())),
        "cells": cells,
        **groups,
        "drop": _drop(table, condition, seeds, table.groups["gen"], options),
        "kept": gen["value"] / train["value"] if train and gen and train["value"] else None,
        "ms_per_step": _milliseconds(table, condition, seeds),
    }


def _cell(
    table: Table,
    condition: str,
    seeds: Mapping[str, Sequence[int]],
    cell: str,
    options: dict[str, Any],
) -> dict[str, Any]:
    scores = table.scores(condition, seeds, [cell])
    successes, episodes = (int(sum(map(count, scores.values()))) for count in (np.sum, np.size))
    if len(scores) == 1:
        rate, low, high = wilson_interval(successes, episodes, options["confidence"])
    else:
        rate, low, high = rate_interval(scores, **options)
    drop = None if cell == CLEAN else _drop(table, condition, seeds, [cell], options)
    counts = {"successes": successes, "episodes": episodes}
    return {**counts, "rate": rate, "low": low, "high": high, "drop": drop}


def _drop(
    table: Table,
    condition: str,
    seeds: Mapping[str, Sequence[int]],
    cells: Sequence[str],
    options: dict[str, Any],
) -> dict[str, float] | None:
    """What a condition loses from the nominal scene to some cells; None if either is missing."""
    if not cells or CLEAN not in table.cells:
        return None
    clean, changed = (table.scores(condition, seeds, part) for part in ([CLEAN], cells))
    return _as_json(difference_interval(clean, changed, **options))


def _difference(
    table: Table, condition: str, other: str, tasks: Sequence[str], options: dict[str, Any]
) -> dict[str, Any] | None:
    """A condition minus another one, where both have a training; None where they share none."""
    shared = table.shared_seeds(condition, other, tasks)
    if shared is None or condition == other:
        return None

    def interval(cells: Sequence[str]) -> dict[str, float]:
        a, b = (table.scores(name, shared, cells) for name in (condition, other))
        return _as_json(difference_interval(a, b, **options))

    groups = {name: interval(cells) if cells else None for name, cells in table.groups.items()}
    return {**groups, "cells": {cell: interval([cell]) for cell in table.cells}}


def _milliseconds(
    table: Table, condition: str, seeds: Mapping[str, Sequence[int]]
) -> dict[str, float]:
    """Mean over control steps, by part."""
    chosen = [
        table.records[condition, task, seed, cell]
        for task, trained in seeds.items()
        for seed in trained
        for cell in table.cells
    ]
    steps = [max(sum(record.lengths), 1) for record in chosen]
    return {
        part: float(np.average([r.ms_per_step.get(part, 0.0) for r in chosen], weights=steps))
        for part in PARTS
    }


def _as_json(interval: Interval) -> dict[str, float]:
    return {"value": interval.value, "low": interval.low, "high": interval.high}
