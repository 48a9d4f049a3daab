"""The results of an evaluation as one HTML file that opens without a network."""

from __future__ import annotations

import base64
import html
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.report.pairing import CLEAN
from stemob_wrappers.report.plots import plot_arms, plot_cells
from stemob_wrappers.report.statistics import ALL_TASKS

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


Interval = Mapping[str, float]
"""The ends "low" and "high" of an interval, as rates or differences of rates."""


# Should a mistake ever put an address into the page, the browser refuses to load it.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


_STYLE = """
body { font: 15px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif;
  color: #1c2530; background: #fff; margin: 0 auto; padding: 40px 32px 80px; max-width: 1180px; }
h1 { font-size: 29px; line-height: 1.2; letter-spacing: -.015em; margin: 0 0 4px; }
h2 { font-size: 20px; margin: 52px 0 10px; padding-top: 14px; border-top: 1px solid #dfe4ea; }
h3 { font-size: 15px; margin: 26px 0 8px; }
p { margin: 8px 0; max-width: 82ch; }
.sub, .note, small { color: #5d6b7a; }
.note { font-size: 13px; }
.headline { font-size: 18px; margin: 22px 0 6px; padding: 14px 20px; background: #f2f6fb;
  border-left: 4px solid #2660a4; max-width: none; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 10px 0; }
th { font-size: 12.5px; font-weight: 600; color: #44515f; vertical-align: bottom; }
th, td { padding: 6px 11px; text-align: right; border-bottom: 1px solid #e6eaef;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 2px; }
td:first-child { font-weight: 600; }
thead th { border-bottom: 2px solid #aab4c0; }
td small { display: block; font-size: 11.5px; line-height: 1.25; font-weight: 400; }
td.best { font-weight: 700; }
td.up { color: #10703c; font-weight: 600; }
td.down { color: #b3261e; font-weight: 600; }
table.plain td { text-align: left; font-weight: 400; vertical-align: top; }
table.plain td.code { white-space: normal; overflow-wrap: anywhere; }
table.plain th { text-align: left; }
table.plain td:first-child { color: #44515f; white-space: nowrap; padding-right: 24px; }
table.strip td { padding: 3px 4px; border: 0; text-align: center; }
table.strip th { padding: 2px 4px 4px; text-align: center; border: 0; font-weight: 500; }
table.strip td:first-child { padding-right: 14px; text-align: left; }
table.strip img { width: 126px; image-rendering: pixelated; border-radius: 3px; display: block; }
table.figures { width: 100%; }
img.plot { max-width: 100%; display: block; margin: 22px 0 8px; }
code { font: 12.5px/1.5 ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace; }
"""


def page(title: str, sections: Iterable[str]) -> str:
    """A whole page that loads nothing.

    Example:
        >>> page("Results", ["<p>None yet.</p>"]).startswith("<!doctype html>")
        True
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(sections)
        + "\n</body>\n</html>\n"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table.

    Args:
        head: a text for each column; none for a table without a head.
        rows: of cells as :func:`cell` makes them.
        kind: class of the table in the style sheet.

    Example:
        >>> "<td>0.5</td>" in table(["rate"], [[cell("0.5")]])
        True
    """
    titles = "".join(f"<th>{escape(text)}</th>" for text in head)
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    thead = f"<thead><tr>{titles}</tr></thead>\n" if head else ""
    return (
        f'<div class="wide"><table class="{kind}">\n{thead}<tbody>\n{body}\n</tbody></table></div>'
    )


def cell(text: str, below: str = "", *, kind: str = "", shade: float = 0.0) -> str:
    """A cell of a table, with a smaller text below and a shade from 0 (none) to 1.

    Example:
        >>> cell("90.0", "70–97", kind="best")
        '<td class="best">90.0<small>70–97</small></td>'
    """
    classes = f' class="{kind}"' if kind else ""
    style = f' style="background: rgba(38, 96, 164, {0.3 * shade:.3f})"' if shade else ""
    small = f"<small>{escape(below)}</small>" if below else ""
    return f"<td{classes}{style}>{escape(text)}{small}</td>"


def image(content: bytes, mime: str, alternative: str, kind: str = "") -> str:
    """A picture inside the page.

    Example:
        >>> image(b"", "image/png", "nothing")
        '<img class="" alt="nothing" src="data:image/png;base64,">'
    """
    data = base64.b64encode(content).decode()
    return f'<img class="{kind}" alt="{escape(alternative)}" src="data:{mime};base64,{data}">'


def percent(value: float) -> str:
    """A rate as percent with one decimal.

    Example:
        >>> percent(0.625)
        '62.5'
    """
    return f"{100 * value:.1f}"


def points(value: float) -> str:
    """A difference of rates in points, with its sign.

    Example:
        >>> points(-0.2), points(0.0)
        ('−20.0', '+0.0')
    """
    return f"{100 * value:+.1f}".replace("-", "−").replace("−0.0", "+0.0")


def span(interval: Interval) -> str:
    """The ends of the interval of a rate, in whole percent.

    Example:
        >>> span({"low": 0.514, "high": 0.8})
        '51–80'
    """
    return f"{100 * interval['low']:.0f}–{100 * interval['high']:.0f}"


def span_of_points(interval: Interval, sign: str = "+") -> str:
    """The ends of the interval of a difference, in points; none is rounded to 0.

    Args:
        interval: of a difference of rates.
        sign: "+" to write the sign of positive ends too, "-" not to.

    Example:
        >>> span_of_points({"low": -0.1, "high": 0.3}), span_of_points({"low": 0.002, "high": 0.2})
        ('−10 to +30', '+0.2 to +20')
    """
    ends = [100 * interval[end] for end in ("low", "high")]
    low, high = (f"{end:{sign}.{int(0 < abs(end) < 0.5)}f}".replace("-", "−") for end in ends)
    return f"{low} to {high}"


_STYLE = (
    "body{font:14px sans-serif;margin:2em}figure{display:inline-block;margin:0 1em 1em 0}"
    "img{width:168px;image-rendering:pixelated;margin-right:4px}figcaption{color:#555}"
    "pre{background:#f4f4f4;padding:1em;overflow:auto}"
)


def write_contact_sheet(
    path: Path,
    pairs: Iterable[tuple[str, NDArray[np.uint8], NDArray[np.uint8]]],
    *,
    title: str,
    made_by: dict[str, Any],
) -> Path:
    """Write a page of (label, frame before, frame after), uint8 [H, W, 3], and return its path.

    Example:
        >>> black = np.zeros((8, 8, 3), np.uint8)
        >>> write_contact_sheet(
        ...     Path("sheet.html"), [("demo_0", black, black)], title="a", made_by={}
        ... ) # doctest: +SKIP
    """
    figures = [
        f'<figure><img src="{_as_url(before)}" alt="before"><img src="{_as_url(after)}" '
        f'alt="after"><figcaption>{html.escape(label)}</figcaption></figure>'
        for label, before, after in pairs
    ]
    path.write_text(
        f"<!doctype html><meta charset='utf-8'><title>{html.escape(title)}</title>"
        f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>\n"
        + "\n".join(figures)
        + f"\n<pre>{html.escape(json.dumps(made_by, indent=2))}</pre>\n",
        encoding="utf-8",
    )
    return path


def _as_url(frame: NDArray[np.uint8]) -> str:
    _, encoded = cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return "data:image/png;base64," + base64.b64encode(encoded.tobytes()).decode()
