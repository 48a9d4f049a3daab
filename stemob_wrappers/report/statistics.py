"""How sure a success rate is: intervals of rates, of means over cells, and of paired differences.

Every condition meets the same episodes, so conditions are compared episode by episode. What could
have come out otherwise is resampled: which tasks, which training seeds of a task, which episodes of
a task. The cells are not: Gen is defined as the mean of just these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.extras import needs

with needs("report"):
    from scipy.stats import binomtest

from stemob_wrappers.report.pairing import CLEAN, Outcomes, Table

ALL_TASKS = "all"
"""Name of the block of a summary that is the mean over all tasks."""

PARTS = ("env", "stem", "policy")

Scores = Mapping[Any, NDArray[Any]]
"""By task: the scores of its episodes, [training seeds, episodes]."""


class Interval(NamedTuple):
    """An estimate and the ends of its confidence interval."""

    value: float
    low: float
    high: float


def wilson_interval(successes: int, episodes: int, confidence: float = 0.95) -> Interval:
    """Success rate with Wilson's score interval, which holds near 0 and 1 and for few episodes.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.

    Args:
        successes: how many episodes succeeded.
        episodes: how many there were.
        confidence: how often such an interval holds the true rate.

    Raises:
        ValueError: no episodes, more successes than episodes, or a confidence outside (0, 1).

    Example:
        >>> [round(x, 3) for x in wilson_interval(18, 20)]
        [0.9, 0.699, 0.972]
    """
    if not 0 <= successes <= episodes or episodes < 1:
        raise ValueError(
            f"need at least one episode and 0 to that many successes, received {successes} of "
            f"{episodes}"
        )
    _check_confidence(confidence)
    interval = binomtest(successes, episodes).proportion_ci(confidence, method="wilson")
    return Interval(successes / episodes, float(interval.low), float(interval.high))


def bootstrap(
    scores: Scores, *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Mean score over tasks with a percentile bootstrap interval.

    Tasks are drawn with replacement, and for each of them training seeds and episodes. All
    training seeds of a task face the same episodes, so one draw of episodes serves them all.

    Args:
        scores: by task, [training seeds, episodes].
        confidence: of the interval.
        resamples: how many times to draw.
        seed: of the draws.

    Returns:
        the mean over tasks of the mean over training seeds and episodes, and its interval.

    Raises:
        ValueError: no scores, or a confidence outside (0, 1).

    Example:
        >>> bootstrap({"lift": np.array([[1.0, 1.0, 1.0]])})
        Interval(value=1.0, low=1.0, high=1.0)
    """
    _check_confidence(confidence)
    tables = [np.asarray(table, np.float64) for table in scores.values()]
    if not tables or any(table.ndim != 2 or table.size == 0 for table in tables):
        raise ValueError(
            "need scores [training seeds, episodes] of at least one task, received shapes "
            f"{[table.shape for table in tables]}"
        )
    means = np.empty((resamples, len(tables)))
    draws = _draws(tuple(table.shape for table in tables), resamples, seed)
    for table, (chosen, rows, columns) in zip(tables, draws, strict=True):
        means[chosen] = ((rows @ table) * columns).sum(axis=1)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(means.mean(axis=1), [tail, 100 - tail])
    value = np.mean([table.mean() for table in tables])
    return Interval(float(value), float(low), float(high))


def paired_bootstrap(
    a: Scores, b: Scores, *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Mean difference ``a - b`` with an interval, pairs staying together in every draw.

    Args:
        a, b: by task, [training seeds, episodes]; equal positions faced the same episode.
        confidence, resamples, seed: as for :func:`bootstrap`.

    Raises:
        ValueError: other tasks or shapes in ``a`` than in ``b``.

    Example:
        >>> a, b = np.array([[1, 1, 0, 1]]), np.array([[1, 0, 0, 1]])
        >>> paired_bootstrap({"lift": a}, {"lift": b}).value
        0.25
    """
    shapes = [{task: np.shape(table) for task, table in scores.items()} for scores in (a, b)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"pairs need equal tasks, training seeds and episodes, received shapes {shapes[0]} and "
            f"{shapes[1]}"
        )
    differences = {task: np.asarray(a[task], np.float64) - np.asarray(b[task]) for task in a}
    return bootstrap(differences, confidence=confidence, resamples=resamples, seed=seed)


def summarise(
    records: Sequence[Outcomes],
    *,
    reference: str,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> dict[str, Any]:
    """Rates of all conditions in all cells, Train, Gen and All, and differences to one condition.

    As in the Stem-OB paper (arXiv 2411.04919, section 5): *Train* is the nominal scene, *Gen* the
    mean over the perturbed cells, *All* the mean over all cells. Within a task a cell's rate, and
    so Train, is that of the episodes of all training seeds, with a Wilson interval. Everything
    else, and everything that is a mean over tasks, has a bootstrap interval.

    Args:
        records: one for each condition, training seed, task and cell, as
            `evaluation.Record` holds them.
        reference: name of the condition that the others are compared with.
        confidence, resamples, seed: of the intervals.

    Returns:
        plain JSON: ``{"reference", "confidence", "resamples", "rows": [{"task", "condition",
        "training_seeds", "cells": {cell: {"successes", "episodes", "rate", "low", "high",
        "drop"}}, "train", "gen", "all", "difference": {"train", "gen", "all"}, "ms_per_step"}]}``.
        An interval is ``{"value", "low", "high"}`` or null where there is none. ``drop`` is clean
        minus cell. The rows of task ``"all"``, means over the tasks, come first and leave out
        conditions that lack a task; with several tasks each has its own rows too. A difference is
        taken over the training seeds that both conditions have.

    Raises:
        ValueError: no records, no record of the reference, a cell twice or missing, or episodes
            that differ between cells or conditions, which therefore cannot be compared.

    Example:
        >>> from stemob_wrappers.evaluation import Record
        >>> episodes = ([1, 2], [True, True], [9, 9], [1.0, 1.0], {})
        >>> records = [Record("raw", 0, "Lift", cell, *episodes) for cell in ("clean", "texture-4")]
        >>> summarise(records, reference="raw")["rows"][0]["gen"]
        {'value': 1.0, 'low': 1.0, 'high': 1.0}
    """
    table = Table(records)
    if reference not in table.conditions:
        raise ValueError(
            f"the reference {reference!r} is none of the conditions: {', '.join(table.conditions)}"
        )
    options = {"confidence": confidence, "resamples": resamples, "seed": seed}
    blocks = [(ALL_TASKS, table.tasks)]
    if len(table.tasks) > 1:
        blocks += [(task, [task]) for task in table.tasks]
    rows = [
        {"task": block, "condition": condition, **_row(table, condition, tasks, reference, options)}
        for block, tasks in blocks
        for condition in table.conditions
        if all((condition, task) in table.seeds for task in tasks)
    ]
    settings = {"reference": reference, "confidence": confidence, "resamples": resamples}
    return {**settings, "rows": rows}


def _row(
    table: Table, condition: str, tasks: Sequence[str], reference: str, options: dict[str, Any]
) -> dict[str, Any]:
    seeds = {task: table.seeds[condition, task] for task in tasks}
    cells = {cell: _cell(table, condition, seeds, cell, options) for cell in table.cells}
    groups = {
        name: _as_json(bootstrap(table.scores(condition, seeds, group), **options))
        if group
        else None
        for name, group in table.groups.items()
    }
    if CLEAN in cells:
        clean = cells[CLEAN]
        groups["train"] = {"value": clean["rate"], "low": clean["low"], "high": clean["high"]}
    return {
        "training_seeds": sorted({seed for chosen in seeds.values() for seed in chosen}),
        "cells": cells,
        **groups,
        "difference": None
        if condition == reference
        else _difference(table, condition, tasks, reference, options),
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
        rate, low, high = bootstrap(scores, **options)
    drop = None
    if cell != CLEAN and CLEAN in table.cells:
        pairs = (table.scores(condition, seeds, [name]) for name in (CLEAN, cell))
        drop = _as_json(paired_bootstrap(*pairs, **options))
    counts = {"successes": successes, "episodes": episodes}
    return {**counts, "rate": rate, "low": low, "high": high, "drop": drop}


def _difference(
    table: Table, condition: str, tasks: Sequence[str], reference: str, options: dict[str, Any]
) -> dict[str, Any] | None:
    """The condition minus the reference, where both have a training; None where they share none."""
    shared = table.shared_seeds(condition, reference, tasks)
    if shared is None:
        return None
    return {
        name: _as_json(
            paired_bootstrap(
                table.scores(condition, shared, group),
                table.scores(reference, shared, group),
                **options,
            )
        )
        if group
        else None
        for name, group in table.groups.items()
    }


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


Draw = tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]


@lru_cache(maxsize=8)
def _draws(shapes: tuple[tuple[int, int], ...], resamples: int, seed: int) -> tuple[Draw, ...]:
    """Draw tasks, training seeds and episodes again.

    For each task: where it was drawn, [resamples, tasks], and for each time the weights of its
    training seeds and episodes, which say how often each was drawn.

    The mean of a drawn table is weights x table x weights. A summary asks for the same draws again
    and again.
    """
    rng = np.random.default_rng(seed)
    tasks = rng.integers(len(shapes), size=(resamples, len(shapes)))
    draws = []
    for index, shape in enumerate(shapes):
        chosen = tasks == index
        rows, columns = (
            rng.multinomial(size, np.full(size, 1 / size), size=chosen.sum()) / size
            for size in shape
        )
        draws.append((chosen, rows, columns))
    return tuple(draws)


def _as_json(interval: Interval) -> dict[str, float]:
    return {"value": interval.value, "low": interval.low, "high": interval.high}


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, received {confidence}")
