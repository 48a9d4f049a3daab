"""The results of an evaluation as one HTML file that opens without a network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stemob_wrappers.report.pairing import CLEAN, current_format
from stemob_wrappers.report.plots import plot_cells, plot_groups
from stemob_wrappers.report.render import Interval, data_url, duration, write_page
from stemob_wrappers.report.statistics import ALL_TASKS

KEYS = (
    "reference",
    "cells",
    "settings",
    "conditions",
    "records",
    "summary",
    "frames",
    "provenance",
)
NONE = "–"
TITLE = "Success kept under visual change"

Row = Mapping[str, Any]


def write_report(results: Mapping[str, Any], folder: Path, path: Path | None = None) -> Path:
    """Write the report of an evaluation.

    Every figure is one of ``results["summary"]``, rounded; plots and frames lie in the file.

    Args:
        results: what ``results.json`` holds, of any format.
        folder: where the paths of its frames begin.
        path: of the file; None for ``report.html`` in the folder.

    Returns:
        the path.

    Raises:
        ValueError: the results lack something that the report shows.
        FileNotFoundError: a frame is not where the results say.
        ImportError: matplotlib is not installed.

    Example:
        >>> from stemob_wrappers.evaluation import Record
        >>> from stemob_wrappers.report.statistics import summarise
        >>> record = Record("raw", 0, "Lift", "clean", [1], [True], [9], [1.0], {})
        >>> results = {"reference": "raw", "cells": ["clean"], "records": [vars(record)]}
        >>> results |= {"summary": summarise([record], reference="raw"), "conditions": []}
        >>> results |= {"settings": {}, "frames": [], "provenance": {}}
        >>> write_report(results, Path("out"))
        PosixPath('out/report.html')
    """
    results = current_format(results)
    missing = [key for key in KEYS if key not in results]
    if missing:
        raise ValueError(
            f"a report needs the keys {', '.join(KEYS)} of results.json; {', '.join(missing)} "
            "missing: evaluate again"
        )
    summary, cells = results["summary"], results["cells"]
    rows, perturbed = summary["rows"], [name for name in cells if name != CLEAN]
    blocks = [
        {"heading": _heading(task, results), **_block(rows, task, results)}
        for task in dict.fromkeys(row["task"] for row in rows)
    ]
    first = [row for row in rows if row["task"] == rows[0]["task"]]
    return write_page(
        folder / "report.html" if path is None else path,
        "page.html.j2",
        title=TITLE,
        summary=_one_line(results),
        reference=results["reference"],
        confidence=f"{100 * summary['confidence']:.0f} %",
        resamples=summary["resamples"],
        perturbed=perturbed,
        drops=[f"drop {name}" for name in perturbed],
        best=max(
            (row for row in first if row["gen"]), key=lambda row: row["gen"]["value"], default=None
        ),
        blocks=blocks,
        strips=list(_strips(results["frames"], cells, folder)),
        costs=[_costs(row) for row in first],
        facts=_facts(results),
        conditions=results["conditions"],
        stems={c["fingerprint"]: json.dumps(c["stem"]) for c in results["conditions"] if c["stem"]},
    )


def _one_line(results: Mapping[str, Any]) -> str:
    settings = results["settings"]
    tasks, conditions = (
        list(dict.fromkeys(record[name] for record in results["records"]))
        for name in ("task", "condition")
    )
    return (
        f"{_count(len(conditions), 'condition')} · {_count(len(tasks), 'task')} "
        f"({', '.join(tasks)}) · {_count(len(results['cells']), 'cell')} · "
        f"{settings.get('episodes', NONE)} episodes a cell and training seed · "
        f"split “{settings.get('split', NONE)}”"
    )


def _heading(block: str, results: Mapping[str, Any]) -> str:
    tasks = {record["task"] for record in results["records"]}
    if block != ALL_TASKS:
        return block
    return "Success" if len(tasks) == 1 else f"Mean of {len(tasks)} tasks"


def _block(rows: Sequence[Row], task: str, results: Mapping[str, Any]) -> dict[str, Any]:
    """The rows of one task, or of all: rates, differences and drops, and the best rates."""
    chosen = [row for row in rows if row["task"] == task]
    perturbed = [name for name in results["cells"] if name != CLEAN]
    shown = [
        {
            "condition": row["condition"],
            "rates": [
                row["train"],
                *(_of_cell(row, name) for name in perturbed),
                *(row["gen"], row["all"]),
            ],
            "differences": list(
                (row["difference"] or dict.fromkeys(("train", "gen", "all"))).values()
            ),
            "drops": [row["cells"][name]["drop"] for name in perturbed],
            "trainings": len(row["training_seeds"]),
        }
        for row in chosen
    ]
    columns = zip(*(row["rates"] for row in shown), strict=True)
    plots = (plot_groups(chosen, results["reference"]), plot_cells(chosen, results["cells"]))
    groups_plot, cells_plot = (data_url(plot, "image/svg+xml") for plot in plots)
    return {
        "rows": shown,
        "best": [max((part["value"] for part in col if part), default=None) for col in columns],
        "groups_plot": groups_plot,
        "cells_plot": cells_plot,
    }


def _of_cell(row: Row, name: str) -> Interval:
    return {**row["cells"][name], "value": row["cells"][name]["rate"]}


def _strips(
    frames: Sequence[Mapping[str, str]], cells: Sequence[str], folder: Path
) -> Iterator[dict[str, Any]]:
    """For every task and camera a row of frames for each label, a column for each cell."""
    for task, camera in dict.fromkeys((f["task"], f["camera"]) for f in frames):
        here = [f for f in frames if (f["task"], f["camera"]) == (task, camera)]
        urls = {(f["label"], f["cell"]): _frame(folder / f["path"]) for f in here}
        shown = [name for name in cells if any(f["cell"] == name for f in here)]
        labels = dict.fromkeys(f["label"] for f in here)
        rows = [(label, [urls.get((label, name)) for name in shown]) for label in labels]
        yield {"task": task, "camera": camera, "cells": shown, "rows": rows}


def _frame(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(
            f"no frame at {path}, which the results name; write the report in the folder that the "
            "evaluation wrote"
        )
    return data_url(path.read_bytes(), "image/png")


def _costs(row: Row) -> list[str]:
    spent = row["ms_per_step"]
    beyond = spent["stem"] + spent["policy"]
    parts = (f"{spent[part]:.1f}" for part in ("env", "stem", "policy"))
    return [row["condition"], *parts, f"{1000 / beyond:.0f}" if beyond else NONE]


def _facts(results: Mapping[str, Any]) -> dict[str, str]:
    told, seconds = results["provenance"], results["provenance"].get("wall_seconds")
    seeds = {record["task"]: record["seeds"] for record in results["records"]}
    facts = {
        "command": told.get("command"),
        "started": told.get("started"),
        "wall time": NONE if seconds is None else duration(seconds),
        "machine": told.get("machine"),
        "versions": ", ".join(f"{name} {v}" for name, v in told.get("versions", {}).items()),
        **{name.replace("_", " "): value for name, value in results["settings"].items()},
        "reset seeds": "; ".join(
            f"{task}: {', '.join(map(str, each))}" for task, each in seeds.items()
        ),
    }
    return {name: v if isinstance(v, str) else json.dumps(v) for name, v in facts.items()}


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
