"""What the rows of an evaluation are, and which of them it is fair to compare with which.

`results["about"]` tells it where whoever made the rows knows: for each condition any of "group",
"means", "control", "literature" and "training". The rest is told from the stems and policies.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from stemob_wrappers.report.statistics import ALL_TASKS, summarise

NO_STEM, STEM, BEYOND = "No stem", "Stem", "Beyond Stem-OB"
GROUPS = {
    NO_STEM: "Policies that are tested and trained on frames without a stem.",
    STEM: "Partial diffusion inversion, as in Stem-OB: noise alone makes appearances alike.",
    BEYOND: "The decoder was taught, on pairs of renders, to paint the nominal appearance.",
}
"""Of rows, in the order of the page, and what each is."""

CANONICAL = "canonical"
"""Part of the names of backbones with such a decoder."""

TIE = 1e-9
"""Rates that differ by less are level: a mean of the same numbers in another order."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """What a row is.

    Attributes:
        group: one of GROUPS.
        means: what its policy learned from and is tested on, in words.
        control: the row that has all of it but the stem.
        literature: whether it is one augmentation of the literature, by itself.
        training: what its training took, in words; empty if nobody said.
    """

    group: str
    means: str
    control: str | None = None
    literature: bool = False
    training: str = ""


def kinds_of(results: Mapping[str, Any]) -> dict[str, Kind]:
    """What each row is, by name.

    Example:
        >>> stem = {"backbone": "embedded", "inversion_steps": 5, "num_steps": 50}
        >>> names = {"raw": None, "embedded": stem}
        >>> conditions = [{"name": n, "policy": "a:b", "stem": s} for n, s in names.items()]
        >>> kinds_of({"conditions": conditions})["embedded"].control
        'raw'
    """
    told, kinds = results.get("about", {}), {}
    for condition in results["conditions"]:
        name, stem = condition["name"], condition["stem"]
        found = Kind(_group(stem), _means(condition), _control(condition, results["conditions"]))
        kinds[name] = dataclasses.replace(found, **told.get(name, {}))
    return kinds


def compare(results: Mapping[str, Any], reference: str | None = None) -> dict[str, Any]:
    """Summarise the records of results, every row beside the rows that it is fair to compare with.

    Args:
        results: what ``results.json`` holds, of the present format.
        reference: the row that others are compared with; None is the best one without a stem.

    Returns:
        as `summarise`; "against" has "control" and, for rows with a stem, "literature".
    """
    records: list[Any] = [SimpleNamespace(**record) for record in results["records"]]
    kinds = kinds_of(results)
    apart = results.get("apart", ())
    rates = summarise(records, reference=records[0].condition, apart=apart, resamples=1)["rows"]
    literature = best_of_literature(kinds, rates)
    known = {row["condition"] for row in rates}
    against = {
        "control": {name: kind.control for name, kind in kinds.items() if kind.control in known},
        "literature": {
            name: literature
            for name, kind in kinds.items()
            if literature is not None and kind.group != NO_STEM
        },
    }
    stored = results.get("summary", {})
    return summarise(
        records,
        reference=reference or default_reference(results, rates),
        against=against,
        apart=apart,
        confidence=stored.get("confidence", 0.95),
        resamples=stored.get("resamples", 10_000),
        seed=results["settings"].get("seed", 0),
    )


def default_reference(results: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """The row without a stem that keeps the most; what the results name where none is without.

    Example:
        >>> conditions = [{"name": name, "policy": "a:b", "stem": None} for name in ("raw", "srm")]
        >>> gen = [("raw", 0.4), ("srm", 0.6)]
        >>> rows = [{"task": "all", "condition": n, "gen": {"value": v}} for n, v in gen]
        >>> default_reference({"conditions": conditions, "reference": "raw"}, rows)
        'srm'
    """
    kinds = kinds_of(results)
    plain = [row for row in rows if _is(row, kinds, NO_STEM)]
    best = highest(plain)
    return best[0]["condition"] if best else results["reference"]


def best_of_literature(kinds: Mapping[str, Kind], rows: Sequence[Row]) -> str | None:
    """The single augmentation of the literature that keeps the most."""
    known = [row for row in rows if row["task"] == ALL_TASKS and kinds[row["condition"]].literature]
    best = highest(known)
    return best[0]["condition"] if best else None


def best_with_stem(kinds: Mapping[str, Kind], rows: Sequence[Row]) -> list[Row]:
    """The rows with a stem that keep the most: several if they are level."""
    return highest([row for row in rows if _is(row, kinds, STEM, BEYOND)])


def highest(rows: Sequence[Row]) -> list[Row]:
    """The rows with the highest success on perturbed scenes; several if they are level."""
    there = [row for row in rows if row["gen"]]
    best = max((row["gen"]["value"] for row in there), default=0.0)
    return [row for row in there if row["gen"]["value"] > best - TIE]


def gap_closed(row: Row, control: Row) -> float | None:
    """How much of what a control loses to the changes a row wins back; 1 is all.

    ``(row - control) / (control in the nominal scene - control)`` on perturbed scenes; None where
    the control does not lose for sure, and there is no gap to close.

    Example:
        >>> control = {"gen": {"value": 0.5}, "train": {"value": 1.0}}
        >>> control["drop"] = {"value": 0.5, "low": 0.3, "high": 0.6}
        >>> gap_closed({"gen": {"value": 0.75}}, control)
        0.5
    """
    drop = control["drop"]
    if row["gen"] is None or drop is None or drop["low"] <= 0:
        return None
    return (row["gen"]["value"] - control["gen"]["value"]) / drop["value"]


def _is(row: Row, kinds: Mapping[str, Kind], *groups: str) -> bool:
    kind = kinds.get(row["condition"])
    return row["task"] == ALL_TASKS and kind is not None and kind.group in groups


def _group(stem: Mapping[str, Any] | None) -> str:
    if stem is None:
        return NO_STEM
    return BEYOND if CANONICAL in stem["backbone"] else STEM


def _means(condition: Mapping[str, Any]) -> str:
    stem = condition["stem"]
    if stem is None:
        return "Tested on raw frames."
    return (
        f"Tested on stem frames of {stem['backbone']}, {stem['inversion_steps']} of "
        f"{stem['num_steps']} steps."
    )


def _control(condition: Mapping[str, Any], conditions: Sequence[Mapping[str, Any]]) -> str | None:
    """The row of the same policy without a stem, or the only row that has none."""
    if condition["stem"] is None:
        return None
    plain = [other for other in conditions if other["stem"] is None]
    same = [other["name"] for other in plain if other["policy"] == condition["policy"]]
    names = list(dict.fromkeys(same or [other["name"] for other in plain]))
    return names[0] if len(names) == 1 else None
