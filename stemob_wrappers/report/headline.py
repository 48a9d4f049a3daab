"""The first lines of a report: what was gained, where nothing was, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from stemob_wrappers.report.comparison import NO_STEM, Kind, best_with_stem, highest
from stemob_wrappers.report.pairing import CLEAN
from stemob_wrappers.report.render import percent, points, span, span_of_points
from stemob_wrappers.report.statistics import ALL_TASKS

Row = Mapping[str, Any]
NOMINAL = "the nominal scene"


class Headline(NamedTuple):
    """Texts, each list possibly empty.

    Attributes:
        best: the best row, or rows that are level.
        gained, nothing, lost: where it is better for sure, not for sure, and worse for sure.
        cost: of a step, of the nominal scene, of training.
    """

    best: list[str]
    gained: list[str]
    nothing: list[str]
    lost: list[str]
    cost: list[str]


def headline(summary: Mapping[str, Any], kinds: Mapping[str, Kind]) -> Headline:
    """Say it of the best row with a stem, or of the best row where none has a stem.

    Args:
        summary: as `statistics.summarise` gives it.
        kinds: of its rows, as `comparison.kinds_of` tells them.
    """
    rows, reference = summary["rows"], summary["reference"]
    whole = [row for row in rows if row["task"] == ALL_TASKS]
    best = best_with_stem(kinds, rows) or highest(whole)
    if not best:
        return Headline([], [], [], [], [])
    parts: dict[str, list[str]] = {"up": [], "none": [], "down": []}
    costs: list[str] = []
    for row in best:
        named = f"{row['condition']}, " * (len(best) > 1)
        for where, found in _differences(rows, row):
            side = "up" if found["low"] > 0 else "down" if found["high"] < 0 else "none"
            parts[side].append(f"{named}{where} {_points(found)}")
        costs += [f"{named}{text}" for text in _costs(row, kinds, reference)]
    told = _best(best, reference, kinds)
    return Headline(told, parts["up"], parts["none"], parts["down"], costs)


def _best(best: Sequence[Row], reference: str, kinds: Mapping[str, Kind]) -> list[str]:
    names = " and ".join(row["condition"] for row in best)
    gen = best[0]["gen"]
    level = "are level at" if len(best) > 1 else "has"
    told = [f"{names} {level} {percent(gen['value'])} % on perturbed scenes ({span(gen)})"]
    for row in best:
        it = row["condition"] if len(best) > 1 else "it"
        if row["kept"] is not None:
            told.append(f"{it} keeps {percent(row['kept'])} % of its success in the nominal scene")
        literature = row["against"].get("literature")
        if literature and literature["condition"] != reference:
            told.append(
                f"{it} is {_points(literature['gen'])} points beyond {literature['condition']}, "
                "the best single augmentation of the literature"
            )
    if all(row["condition"] != reference for row in best):
        plain = reference in kinds and kinds[reference].group == NO_STEM
        told.append(f"below, it is compared with {reference}{', which has no stem' * plain}")
    return told


def _differences(rows: Sequence[Row], row: Row) -> Iterator[tuple[str, Mapping[str, float]]]:
    """In all, by task, by cell, and where nothing was changed: the row minus the reference."""
    if row["difference"] is None:
        return
    tasks = [other for other in rows if other["condition"] == row["condition"]]
    for other in tasks:
        found = other["difference"] and other["difference"]["gen"]
        if found:
            several = len(tasks) > 1
            yield (
                other["task"].rpartition("/")[2] if several and other is not row else "in all",
                found,
            )
    for cell, found in row["difference"]["cells"].items():
        if cell != CLEAN:
            yield cell, found
    nominal = row["difference"]["train"]
    if nominal and nominal["value"] >= 0:  # otherwise it is a cost
        yield NOMINAL, nominal


def _costs(row: Row, kinds: Mapping[str, Kind], reference: str) -> Iterator[str]:
    train = row["difference"] and row["difference"]["train"]
    if train and train["value"] < 0:
        yield f"{_points(train)} points in {NOMINAL}"
    spent = row["ms_per_step"]
    yield f"{spent['stem']:.1f} ms a step for the stem, beside {spent['policy']:.1f} for the policy"
    training = kinds[row["condition"]].training
    if training and row["condition"] != reference:
        other = kinds[reference].training
        alike = training == other
        yield (
            f"trained as long as {reference} ({training})"
            if alike
            else f"trained on {training}, where {reference} had {other or 'an unknown number'}"
        )


def _points(found: Mapping[str, float]) -> str:
    return f"{points(found['value'])} ({span_of_points(found)})"
