"""The results of an evaluation as one HTML file that opens without a network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stemob_wrappers.report.advice import advise
from stemob_wrappers.report.comparison import (
    GROUPS,
    Kind,
    best_of_literature,
    best_with_stem,
    compare,
    gap_closed,
    highest,
    kinds_of,
)
from stemob_wrappers.report.headline import headline
from stemob_wrappers.report.pairing import CLEAN, current_format
from stemob_wrappers.report.plots import plot_cells, plot_groups, plot_severities
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


def write_report(
    results: Mapping[str, Any],
    folder: Path,
    path: Path | None = None,
    *,
    reference: str | None = None,
) -> Path:
    """Write the report of an evaluation.

    Its figures are those of `summarise` on the records of the results; plots, frames and clips lie
    in the file.

    Args:
        results: what ``results.json`` holds, of any format.
        folder: where the paths of its frames and clips begin.
        path: of the file; None for ``report.html`` in the folder.
        reference: the row that others are compared with; None is the one that the evaluation was
            asked for, or the best one without a stem.

    Returns:
        the path.

    Raises:
        ValueError: the results lack something that the report shows, or the reference.
        FileNotFoundError: a frame or clip is not where the results say.
        ImportError: matplotlib is not installed.

    Example:
        >>> from stemob_wrappers.evaluation import Record
        >>> from stemob_wrappers.report.statistics import summarise
        >>> record = Record("raw", 0, "Lift", "clean", [1], [True], [9], [1.0], {})
        >>> results = {"reference": "raw", "cells": ["clean"], "records": [vars(record)]}
        >>> results |= {"summary": summarise([record], reference="raw"), "frames": []}
        >>> results |= {"conditions": [{"name": "raw", "policy": "my:policy", "stem": None}]}
        >>> results["conditions"][0] |= {"training_seed": 0, "task": None, "fingerprint": None}
        >>> write_report(results | {"settings": {}, "provenance": {}}, Path("out"))
        PosixPath('out/report.html')
    """
    results = current_format(results)
    missing = [key for key in KEYS if key not in results]
    if missing:
        raise ValueError(
            f"a report needs the keys {', '.join(KEYS)} of results.json; {', '.join(missing)} "
            "missing: evaluate again"
        )
    kinds = kinds_of(results)
    summary = compare(results, reference or results["settings"].get("reference"))
    rows, cells = summary["rows"], results["cells"]
    whole = [row for row in rows if row["task"] == ALL_TASKS]
    tasks = dict.fromkeys(row["task"] for row in rows)
    best = best_with_stem(kinds, rows) or highest(whole)
    return write_page(
        folder / "report.html" if path is None else path,
        "page.html.j2",
        title=TITLE,
        summary=_one_line(results),
        short=headline(summary, kinds),
        reference=summary["reference"],
        literature=_shown_literature(summary, kinds),
        confidence=f"{100 * summary['confidence']:.0f} %",
        resamples=summary["resamples"],
        perturbed=[name for name in cells if name != CLEAN],
        apart=results.get("apart", []),
        blocks=[
            {"heading": _heading(task, results), **_block(summary, task, cells, kinds)}
            for task in tasks
        ],
        advice=[text for row in best for text in advise(row)],
        groups=GROUPS,
        meanings=_meanings(kinds),
        trained_apart=len({kind.training for kind in kinds.values()}) > 1,
        clips=[_clip(clip, folder) for clip in results.get("clips", [])],
        strips=list(_strips(results["frames"], cells, folder)),
        costs=[_costs(row) for row in whole],
        facts=_facts(results),
        conditions=results["conditions"],
        stems={c["fingerprint"]: json.dumps(c["stem"]) for c in results["conditions"] if c["stem"]},
    )


def _shown_literature(summary: Mapping[str, Any], kinds: Mapping[str, Kind]) -> str | None:
    """The augmentation that rows are compared with in a column, unless it is the reference."""
    found = best_of_literature(kinds, summary["rows"])
    return None if found == summary["reference"] else found


def _meanings(kinds: Mapping[str, Kind]) -> dict[str, dict[str, Kind]]:
    """The rows by group, for the groups that there are."""
    return {
        group: found
        for group in GROUPS
        if (found := {name: kind for name, kind in kinds.items() if kind.group == group})
    }


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
        known = results.get("benchmark", {}).get("backbone_knew_task", {})
        seen = next((known[task] for task in known if f"/{task}-" in block), True)
        return block if seen else f"{block}, which the backbone never saw"
    return "Success" if len(tasks) == 1 else f"Mean of {len(tasks)} tasks"


def _block(
    summary: Mapping[str, Any], task: str, cells: Sequence[str], kinds: Mapping[str, Kind]
) -> dict[str, Any]:
    """The rows of one task, or of all, by group, and their plots."""
    chosen = [row for row in summary["rows"] if row["task"] == task]
    by_name = {row["condition"]: row for row in chosen}
    shown = [
        {
            **row,
            "against": {"control": None, "literature": None, **row["against"]},
            "gap_closed": gap_closed(row, by_name[against["condition"]])
            if (against := row["against"].get("control"))
            else None,
            "rates": {cell: _of_cell(row, cell) for cell in cells},
        }
        for row in chosen
    ]
    groups = {
        group: [row for row in shown if kinds[row["condition"]].group == group] for group in GROUPS
    }
    ordered = [row for rows in groups.values() for row in rows]
    plots = {
        "groups_plot": plot_groups(ordered, summary["reference"]),
        "cells_plot": plot_cells(ordered, cells),
        "severities_plot": plot_severities(ordered, cells),
    }
    return {
        "rows": ordered,
        "groups": {group: rows for group, rows in groups.items() if rows},
        "controls": any("control" in row["against"] for row in chosen),
        "best": _alone_highest([row["gen"] for row in chosen]),
        "best_of_cell": {
            cell: _alone_highest([_of_cell(r, cell) for r in chosen]) for cell in cells
        },
        **{name: plot and data_url(plot, "image/svg+xml") for name, plot in plots.items()},
    }


def _alone_highest(rates: Sequence[Interval | None]) -> float | None:
    """The highest rate; None where several are level, or there is nothing to be higher than."""
    values = sorted((rate["value"] for rate in rates if rate is not None), reverse=True)
    return values[0] if len(values) > 1 and values[0] > values[1] else None


def _of_cell(row: Row, name: str) -> Interval:
    return {**row["cells"][name], "value": row["cells"][name]["rate"]}


def _clip(clip: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A video of two policies in one episode, side by side."""
    path = folder / clip["path"]
    if not path.is_file():
        raise FileNotFoundError(f"no clip at {path}, which the results name")
    ends = [
        f"{side}: {part['condition']}, which {'succeeds' if part['success'] else 'fails'}"
        for side, part in (("Left", clip["left"]), ("right", clip["right"]))
    ]
    return {
        "source": data_url(path.read_bytes(), "video/webm"),
        "caption": f"{clip['task']}, {clip['cell']}, reset seed {clip['seed']}. {'; '.join(ends)}.",
        "width": 2 * clip["size"],
    }


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
