"""The results of an evaluation as one HTML file that opens without a network."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from stemob_wrappers.evaluation.conditions import CLEAN
from stemob_wrappers.evaluation.page import (
    Interval,
    cell,
    image,
    page,
    percent,
    points,
    span,
    span_of_points,
    table,
)
from stemob_wrappers.evaluation.plots import plot_arms, plot_cells
from stemob_wrappers.evaluation.statistics import ALL_TASKS

KEYS = ("reference", "cells", "settings", "arms", "records", "summary", "frames", "provenance")
NONE = "–"
GROUPS = {"train": "Train", "gen": "Gen", "all": "All"}
TITLE = "Success kept under visual change"

Row = Mapping[str, Any]


def write_report(results: Mapping[str, Any], folder: Path, path: Path | None = None) -> Path:
    """Write the report of an evaluation.

    Every figure is one of ``results["summary"]``, rounded; plots and frames lie in the file.

    Args:
        results: what ``results.json`` holds.
        folder: where the paths of its frames begin.
        path: of the file; None for ``report.html`` in the folder.

    Returns:
        the path.

    Raises:
        ValueError: the results lack something that the report shows.
        FileNotFoundError: a frame is not where the results say.
        ImportError: matplotlib is not installed.

    Example:
        >>> write_report(json.loads(Path("out/results.json").read_text()), Path("out"))
        ... # doctest: +SKIP
        PosixPath('out/report.html')
    """
    missing = [key for key in KEYS if key not in results]
    if missing:
        raise ValueError(
            f"a report needs the keys {', '.join(KEYS)} of results.json; {', '.join(missing)} "
            "missing: evaluate again"
        )
    rows = results["summary"]["rows"]
    strips = _strips(results["frames"], results["cells"], folder)
    sections = [_opening(results)]
    for block in dict.fromkeys(row["task"] for row in rows):
        chosen = [row for row in rows if row["task"] == block]
        sections += [_heading(block, results), *_block(chosen, results)]
    sections += [strips, _costs(rows), _reading(results), _provenance(results)]
    path = folder / "report.html" if path is None else path
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(page(TITLE, sections), encoding="utf-8")
    os.replace(temporary, path)
    return path


# --- figures -------------------------------------------------------------------------------------


def _rate(interval: Interval | None, best: float | None = None) -> str:
    if interval is None:
        return cell(NONE)
    value = interval["value"]
    return cell(percent(value), span(interval), kind="best" if value == best else "", shade=value)


def _difference(interval: Interval | None) -> str:
    if interval is None:
        return cell(NONE)
    kind = "up" if interval["low"] > 0 else "down" if interval["high"] < 0 else ""
    return cell(points(interval["value"]), span_of_points(interval), kind=kind)


def _of_cell(row: Row, name: str) -> Interval:
    return {**row["cells"][name], "value": row["cells"][name]["rate"]}


# --- sections ------------------------------------------------------------------------------------


def _opening(results: Mapping[str, Any]) -> str:
    settings = results["settings"]
    tasks = list(dict.fromkeys(record["task"] for record in results["records"]))
    arms = list(dict.fromkeys(record["arm"] for record in results["records"]))
    said = (
        f"{_count(len(arms), 'arm')} · {_count(len(tasks), 'task')} ({', '.join(tasks)}) · "
        f"{_count(len(results['cells']), 'cell')} · {settings.get('episodes', NONE)} episodes a "
        f"cell and training seed · split “{settings.get('split', NONE)}”"
    )
    return f'<h1>{TITLE}</h1>\n<p class="sub">{escape(said)}</p>\n{_headline(results)}'


def _headline(results: Mapping[str, Any]) -> str:
    """The arm that is best on perturbed scenes, and how far above the reference."""
    first = results["summary"]["rows"][0]["task"]
    rows = [row for row in results["summary"]["rows"] if row["task"] == first and row["gen"]]
    if not rows:
        return ""
    best = max(rows, key=lambda row: row["gen"]["value"])
    said = (
        f"Highest on perturbed scenes: <b>{escape(best['arm'])}</b>, "
        f"{percent(best['gen']['value'])} % ({span(best['gen'])})"
    )
    difference = best["difference"] and best["difference"]["gen"]
    if difference:
        said += (
            f", {points(difference['value'])} points against "
            f"<b>{escape(results['reference'])}</b> ({span_of_points(difference)})"
        )
    if best["train"]:
        said += f"; {percent(best['train']['value'])} % on the nominal scene"
    return f'<p class="headline">{said}.</p>'


def _heading(block: str, results: Mapping[str, Any]) -> str:
    tasks = list(dict.fromkeys(record["task"] for record in results["records"]))
    if block != ALL_TASKS:
        return f"<h2>{escape(block)}</h2>"
    return "<h2>Success</h2>" if len(tasks) == 1 else f"<h2>Mean of {len(tasks)} tasks</h2>"


def _block(rows: Sequence[Row], results: Mapping[str, Any]) -> list[str]:
    cells, reference = results["cells"], results["reference"]
    perturbed = [name for name in cells if name != CLEAN]
    confidence = f"{100 * results['summary']['confidence']:.0f} %"
    return [
        _success_table(rows, perturbed),
        f'<p class="note">Success in percent, below it the {confidence} interval; the best of a '
        "column in bold.</p>",
        image(plot_arms(rows, reference), "image/svg+xml", "Train and Gen of each arm", "plot"),
        f"<h3>Against {escape(reference)}, same episodes</h3>",
        _difference_table(rows, perturbed, reference),
        '<p class="note">Points of success; coloured where the interval excludes 0. Drop: what an '
        "arm itself loses from the nominal scene to a cell.</p>",
        image(plot_cells(rows, cells), "image/svg+xml", "Success in each cell", "plot"),
    ]


def _success_table(rows: Sequence[Row], perturbed: Sequence[str]) -> str:
    head = ["arm", "Train", *perturbed, "Gen", "All", "trainings"]

    def intervals(row: Row) -> list[Interval | None]:
        return [row["train"], *(_of_cell(row, name) for name in perturbed), row["gen"], row["all"]]

    columns = zip(*(intervals(row) for row in rows), strict=True)
    best = [max((part["value"] for part in column if part), default=None) for column in columns]
    return table(
        head,
        [
            [
                cell(row["arm"]),
                *(_rate(part, top) for part, top in zip(intervals(row), best, strict=True)),
                cell(str(len(row["training_seeds"]))),
            ]
            for row in rows
        ],
        "figures",
    )


def _difference_table(rows: Sequence[Row], perturbed: Sequence[str], reference: str) -> str:
    head = ["arm", *GROUPS.values(), *(f"drop {name}" for name in perturbed)]

    def differences(row: Row) -> list[str]:
        if row["arm"] == reference:
            return [cell("reference"), cell(""), cell("")]
        found = row["difference"] or dict.fromkeys(GROUPS)
        return [_difference(found[group]) for group in GROUPS]

    def drop(row: Row, name: str) -> str:
        found = row["cells"][name]["drop"]
        if found is None:
            return cell(NONE)
        return cell(percent(found["value"]).replace("-", "−"), span_of_points(found, "-"))

    return table(
        head,
        [
            [cell(row["arm"]), *differences(row), *(drop(row, name) for name in perturbed)]
            for row in rows
        ],
        "figures",
    )


def _strips(frames: Sequence[Mapping[str, str]], cells: Sequence[str], folder: Path) -> str:
    """For every task and camera a row of frames for each label, a column for each cell."""
    if not frames:
        return ""
    sections = ["<h2>What the policies see</h2>"]
    sections.append('<p class="note">The first frame of one episode, as it is and as a stem.</p>')
    for task, camera in dict.fromkeys((f["task"], f["camera"]) for f in frames):
        here = [f for f in frames if (f["task"], f["camera"]) == (task, camera)]
        paths = {(f["label"], f["cell"]): folder / f["path"] for f in here}
        shown = [name for name in cells if any(f["cell"] == name for f in here)]
        rows = [
            [cell(label), *(_frame(paths.get((label, name)), f"{label}, {name}") for name in shown)]
            for label in dict.fromkeys(f["label"] for f in here)
        ]
        sections += [
            f"<h3>{escape(task)}, {escape(camera)}</h3>",
            table(["", *shown], rows, "strip"),
        ]
    return "\n".join(sections)


def _frame(path: Path | None, said: str) -> str:
    if path is None:
        return cell(NONE)
    if not path.is_file():
        raise FileNotFoundError(
            f"no frame at {path}, which the results name; write the report in the folder that the "
            "evaluation wrote"
        )
    return f"<td>{image(path.read_bytes(), 'image/png', said)}</td>"


def _costs(rows: Sequence[Row]) -> str:
    first = rows[0]["task"]
    lines = []
    for row in rows:
        if row["task"] != first:
            continue
        spent = row["ms_per_step"]
        beyond = spent["stem"] + spent["policy"]
        rate = f"{1000 / beyond:.0f}" if beyond else NONE
        parts = (f"{spent[part]:.1f}" for part in ("env", "stem", "policy"))
        lines.append([cell(row["arm"]), *map(cell, parts), cell(rate)])
    head = ["arm", "env, ms", "stem, ms", "policy, ms", "steps/s beyond the env"]
    return (
        "<h2>What a control step costs</h2>\n"
        + table(head, lines)
        + '<p class="note">Milliseconds of one env\'s step, rendering included in the env.</p>'
    )


def _reading(results: Mapping[str, Any]) -> str:
    summary = results["summary"]
    confidence = f"{100 * summary['confidence']:.0f} %"
    return f"""<h2>How to read it</h2>
<p>Train is success in the nominal scene, Gen the mean over the perturbed cells, All the mean over
all cells, as in the Stem-OB paper (arXiv 2411.04919). Every arm met the same episodes: the same
reset seeds, and with them the same lights, textures and colours.</p>
<p>Rates of one task carry Wilson intervals over the episodes of all training seeds; these take
episodes as independent. Gen, All, differences, drops and means over tasks carry bootstrap intervals
({summary["resamples"]:,} draws) that resample tasks, training seeds and episodes, pairs staying
together. All intervals are at {confidence}; they are not corrected for the number of arms. With two
tasks or two training seeds a resampling says little about other ones.</p>"""


def _provenance(results: Mapping[str, Any]) -> str:
    told = results["provenance"]
    facts = {
        "command": told.get("command"),
        "started": told.get("started"),
        "wall time": _duration(told.get("wall_seconds")),
        "machine": told.get("machine"),
        "versions": ", ".join(f"{name} {v}" for name, v in told.get("versions", {}).items()),
        **{name.replace("_", " "): value for name, value in results["settings"].items()},
        "reset seeds": _reset_seeds(results["records"]),
    }
    arms = [
        [
            cell(arm["name"]),
            cell(str(arm["training_seed"])),
            cell(arm.get("task") or "every task"),
            _code(arm["policy"]),
            cell(arm["fingerprint"] if arm["stem"] else "raw frames"),
        ]
        for arm in results["arms"]
    ]
    stems = {arm["fingerprint"]: arm["stem"] for arm in results["arms"] if arm["stem"]}
    sections = [
        "<h2>Where it comes from</h2>",
        table([], [[cell(name), _code(value)] for name, value in facts.items()], "plain"),
        "<h3>Arms</h3>",
        table(["arm", "training seed", "task", "policy", "stem at test time"], arms, "plain"),
    ]
    if stems:
        lines = [[_code(name), _code(config)] for name, config in stems.items()]
        sections += ["<h3>Stems</h3>", table(["fingerprint", "config"], lines, "plain")]
    return "\n".join(sections)


def _code(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return f'<td class="code"><code>{escape(text)}</code></td>'


def _reset_seeds(records: Sequence[Mapping[str, Any]]) -> str:
    seeds = {record["task"]: record["seeds"] for record in records}
    return "; ".join(f"{task}: {', '.join(map(str, each))}" for task, each in seeds.items())


def _duration(seconds: float | None) -> str:
    """
    Example:
        >>> _duration(3750)
        '1 h 2 min 30 s'
    """
    if seconds is None:
        return NONE
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours} h"] * (hours > 0) + [f"{minutes} min"] * (hours + minutes > 0)
    return " ".join([*parts, f"{rest} s"])


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
