"""One line of a study's table, and the table as a CSV file."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Row:
    """One line of the table; errors are medians over the probe seeds, in cm.

    Attributes:
        name: ``"stem"`` or ``"raw"``, and what the probe was trained under.
        backbone, method, noise, inversion_steps: of the stem frames; empty for a baseline.
        alpha_bar: noise level.
        pixels, latents: convergence, lower is better; NaN where there are none.
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
    """Write a table."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in dataclasses.fields(Row)])
        writer.writeheader()
        writer.writerows(dataclasses.asdict(row) for row in rows)


def append_row(row: Row, path: Path) -> None:
    """Add a row to a table, which is whole at any time."""
    write_rows([*read_rows(path), row], path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)
