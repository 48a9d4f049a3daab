"""Results of an evaluation that nobody played, with frames; ``import evaluated`` in tests."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from stemob_wrappers import StemConfig
from stemob_wrappers.evaluation.results import Record
from stemob_wrappers.pictures import write_image
from stemob_wrappers.report.statistics import summarise

CELLS = ("clean", "lighting-4", "texture-4")
TASKS = ("stemob/Lift-v0", "stemob/Stack-v0")
CONDITIONS = {"raw": 0.2, "stem": 0.8, "stem <i>&$a_b$ -- x": 0.5}


def make_results(
    folder: Path,
    tasks: tuple[str, ...] = TASKS,
    cells: tuple[str, ...] = CELLS,
    conditions: dict[str, float] = CONDITIONS,
) -> dict[str, Any]:
    """Two trainings of ten episodes a cell; conditions by name, with their true rate."""
    rng = np.random.default_rng(0)
    records, frames = [], []
    for task in tasks:
        for cell in cells:
            for condition, rate in conditions.items():
                for training_seed in range(2):
                    outcomes = (rng.random(10) < rate).tolist()
                    spent = {"env": 10.0, "stem": 3.0 * (condition != "raw"), "policy": 2.0}
                    key = (condition, training_seed, task, cell)
                    records.append(
                        Record(*key, [*range(10)], outcomes, [7] * 10, [0.0] * 10, spent)
                    )
            for label in ("raw", "stem"):
                path = f"frames/{task[7:]}-{cell}-{label}.png"
                write_image(folder / path, rng.integers(0, 256, (8, 8, 3), np.uint8))
                frames.append({"task": task, "cell": cell, "camera": "agentview", "label": label})
                frames[-1]["path"] = path
    described = [
        {"name": condition, "policy": "my:policy", "training_seed": seed, "task": None}
        | {"stem": StemConfig().to_dict() if condition == "stem" else None, "fingerprint": "f" * 32}
        for condition in conditions
        for seed in range(2)
    ]
    return {
        "format": 1,
        "reference": "raw",
        "cells": list(cells),
        "settings": {"split": "test", "episodes": 10, "seed": 0, "env_kwargs": {"size": 84}},
        "conditions": described,
        "records": [dataclasses.asdict(record) for record in records],
        "summary": summarise(records, reference="raw", resamples=500),
        "frames": frames,
        "provenance": {
            "command": "stemob evaluate --conditions 'a&b'",
            "versions": {"stemob_wrappers": "0.1.0", "torch": "2.13.0"},
            "started": "2026-01-31T12:00:00+00:00",
            "wall_seconds": 3750.0,
            "machine": "Linux x86_64, 2 cores",
        },
    }
