"""The table of a study: its rows, their file, and the row that it recommends."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stemob_wrappers.work import whole_file


@dataclass(frozen=True)
class Row:
    """One line of the table; errors are medians over the probe seeds, in cm.

    Attributes:
        name: ``"stem"`` or ``"raw"``, and what the probe was trained under.
        backbone, method, noise, inversion_steps: of the stem frames; empty for a baseline.
        alpha_bar: noise level.
        pixels, latents: convergence, lower is better; NaN where there are none.
        own_state: share of perturbed frames whose nearest clean one shows the same state.
        own_state_chance: what that share is by chance, one over the number of states.
        clean_cm, perturbed_cm: the probe's error on clean and on perturbed test frames.
        perturbed_low_cm, perturbed_high_cm: the lowest and highest of the seeds.
        effector_cm, objects_cm: of the perturbed error, by what is read.
        fingerprint: of the pipeline that made the stem frames; empty for a baseline.
    """

    name: str
    backbone: str = ""
    method: str = ""
    noise: str = ""
    inversion_steps: int = 0
    alpha_bar: float = 1.0
    pixels: float = np.nan
    latents: float = np.nan
    own_state: float = np.nan
    own_state_chance: float = np.nan
    clean_cm: float = np.nan
    perturbed_cm: float = np.nan
    perturbed_low_cm: float = np.nan
    perturbed_high_cm: float = np.nan
    effector_cm: float = np.nan
    objects_cm: float = np.nan
    fingerprint: str = ""


def read_rows(path: Path) -> list[Row]:
    """Read a table; none where there is no file."""
    if not path.exists():
        return []
    kinds: dict[str, Any] = {
        f.name: type(f.default) for f in dataclasses.fields(Row) if f.name != "name"
    }
    with path.open(newline="") as file:
        return [
            Row(line.pop("name"), **{name: kinds[name](text) for name, text in line.items()})
            for line in csv.DictReader(file)
        ]


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Write a table, whole at any time."""
    with whole_file(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in dataclasses.fields(Row)])
        writer.writeheader()
        writer.writerows(dataclasses.asdict(row) for row in rows)


def rivals(rows: Sequence[Row], best: Row, slack_cm: float = 0.5) -> list[Row]:
    """Return the stem rows that could be recommended as well: their ranges of seeds overlap.

    Example:
        >>> near = Row("stem", clean_cm=1.0, perturbed_low_cm=4.0, perturbed_high_cm=6.0)
        >>> rivals([near], near) == [near]
        True
    """
    limit = min(row.clean_cm for row in rows if row.name == "stem") + slack_cm
    return [
        row
        for row in rows
        if row.name == "stem"
        and row.clean_cm <= limit
        and row.perturbed_low_cm <= best.perturbed_high_cm
    ]


def recommend(rows: Sequence[Row], slack_cm: float = 0.5) -> Row | None:
    """Return the stem row with the lowest perturbed error whose clean error is hardly worse.

    Args:
        rows: of one study.
        slack_cm: how much worse than the best stem row on clean frames it may be.

    Returns:
        a row, or None where nothing was read (folders of images have no positions).

    Example:
        >>> recommend([Row("stem", clean_cm=1.0, perturbed_cm=5.0)]).perturbed_cm
        5.0
    """
    stems = [row for row in rows if row.name == "stem" and np.isfinite(row.perturbed_cm)]
    if not stems:
        return None
    limit = min(row.clean_cm for row in stems) + slack_cm
    return min((r for r in stems if r.clean_cm <= limit), key=lambda row: row.perturbed_cm)
