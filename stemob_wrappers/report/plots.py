"""Plots of rates and differences with their intervals, as SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from stemob_wrappers.extras import needs
from stemob_wrappers.report.pairing import CLEAN, factor_of, severity_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = Mapping[str, Any]
Interval = Mapping[str, float]

_INK, _GREY, _BLUE, _GREEN, _RED = "#1c2530", "#8a97a5", "#2660a4", "#10703c", "#b3261e"
_LINES = ("#5d6b7a", "#2660a4", "#b3261e", "#10703c", "#8a4b00", "#6a3d9a", "#00747a", "#1c2530")
_MARKERS = ("o", "D", "s", "^")
_LONGEST = 52  # characters of a label, beside which a plot still has room

# Names are no formulas, and the same results give the same bytes.
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": "#aab4c0",
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "text.parse_math": False,
    "svg.hashsalt": "stemob",
}


def plot_groups(rows: Sequence[Row], reference: str) -> bytes:
    """Train and Gen of every condition, and beside them how far Gen lies from the reference's.

    Args:
        rows: of one block of a summary, as `statistics.summarise` gives them.
        reference: name of the condition that differences are taken to.

    Returns:
        an SVG file.

    Raises:
        ImportError: matplotlib is not installed.

    Example:
        >>> rate = {"value": 0.5, "low": 0.2, "high": 0.8}
        >>> row = {"condition": "raw", "train": rate, "gen": rate, "difference": None}
        >>> plot_groups([row], "raw")[:5]
        b'<?xml'
    """
    with _style():
        figure, (rates, differences) = _figure(rows, columns=2, ratios=(3, 2))
        train, gen = ([row[group] for row in rows] for group in ("train", "gen"))
        _intervals(rates, train, _GREY, "o", offset=-0.14, label="nominal scene")
        _intervals(rates, gen, _BLUE, "D", offset=0.14, label="perturbed scenes")
        _percent_axis(rates)
        rates.set_xlabel("success, %")
        rates.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderpad=0)
        for index, row in enumerate(rows):
            found = row["difference"] and row["difference"]["gen"]
            if found:
                _intervals(differences, [found], _side(found), "D", offset=index)
        differences.axvline(0, color=_GREY, lw=1)
        differences.set_xlabel(f"points beyond {_label(reference)}")
        return _svg(figure)


def plot_cells(rows: Sequence[Row], cells: Sequence[str]) -> bytes:
    """The rate of every condition in each cell, one panel a cell.

    Args:
        rows: of one block of a summary.
        cells: which, in order.

    Returns:
        an SVG file.

    Raises:
        ImportError: matplotlib is not installed.

    Example:
        >>> clean = {"rate": 0.5, "low": 0.2, "high": 0.8}
        >>> plot_cells([{"condition": "raw", "cells": {"clean": clean}}], ["clean"])[:5]
        b'<?xml'
    """
    with _style():
        figure, panels = _figure(rows, columns=len(cells))
        for panel, cell in zip(panels, cells, strict=True):
            found = [{**row["cells"][cell], "value": row["cells"][cell]["rate"]} for row in rows]
            _intervals(panel, found, _BLUE, "o")
            _percent_axis(panel)
            panel.set_title(_label(cell), fontsize=10, loc="left")
        return _svg(figure)


def plot_severities(rows: Sequence[Row], cells: Sequence[str]) -> bytes | None:
    """The rate of every condition over the severity of each factor, the nominal scene as 0.

    Args:
        rows: of one block of a summary.
        cells: which, in order.

    Returns:
        an SVG file; None where no factor has two severities, so that there is no curve.

    Raises:
        ImportError: matplotlib is not installed.

    Example:
        >>> plot_severities([], ["clean", "texture-4"]) is None
        True
    """
    factors: dict[str, dict[int, str]] = {}
    for cell in cells:
        severity = severity_of(cell)
        if severity is not None:
            factors.setdefault(factor_of(cell), {})[severity] = cell
    factors = {name: found for name, found in factors.items() if len(found) > 1}
    if not factors:
        return None
    with _style():
        with needs("report"):
            from matplotlib.figure import Figure

        figure = Figure(figsize=(11.6, 3.4 + 0.2 * len(rows)), layout="constrained")
        panels = figure.subplots(1, len(factors), sharey=True, squeeze=False)[0]
        for panel, (factor, found) in zip(panels, factors.items(), strict=True):
            at = {0: CLEAN} if CLEAN in cells else {}
            at |= dict(sorted(found.items()))
            for index, row in enumerate(rows):
                rates = [100 * row["cells"][cell]["rate"] for cell in at.values()]
                style = {"color": _LINES[index % len(_LINES)], "marker": _MARKERS[index % 4]}
                panel.plot(list(at), rates, label=_label(row["condition"]), **style)
            panel.set(xticks=list(at), ylim=(-3, 103), xlabel="severity")
            panel.set_title(_label(factor), fontsize=10, loc="left")
            panel.grid(color="#e9edf2", lw=0.8)
        panels[0].set_ylabel("success, %")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=3, frameon=False)
        return _svg(figure)


def _style() -> AbstractContextManager[None]:
    with needs("report", "a plot"):
        from matplotlib import rc_context

    return rc_context(_STYLE)


def _label(name: str) -> str:
    """A name that a plot can show: no control characters, and its middle left out if it is long."""
    shown = "".join(sign if sign.isprintable() else "�" for sign in name)
    return shown if len(shown) <= _LONGEST else f"{shown[:24]} … {shown[-24:]}"


def _side(interval: Interval) -> str:
    """Green above zero, red below, grey where the interval holds it."""
    if interval["low"] > 0:
        return _GREEN
    return _RED if interval["high"] < 0 else _GREY


def _figure(
    rows: Sequence[Row], columns: int, ratios: Sequence[float] | None = None
) -> tuple[Figure, Sequence[Axes]]:
    """Panels side by side that share the conditions, from top to bottom as in the table."""
    with needs("report"):
        from matplotlib.figure import Figure

    figure = Figure(figsize=(11.6, 1.15 + 0.36 * len(rows)), layout="constrained")
    panels = figure.subplots(1, columns, sharey=True, squeeze=False, width_ratios=ratios)[0]
    panels[0].set_yticks(range(len(rows)), [_label(row["condition"]) for row in rows])
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    for panel in panels:
        panel.tick_params(axis="y", length=0)
        panel.grid(color="#e9edf2", lw=0.8)
        panel.set_axisbelow(True)
    return figure, panels


def _intervals(
    panel: Axes,
    found: Sequence[Interval | None],
    colour: str,
    marker: str,
    *,
    offset: float = 0.0,
    label: str | None = None,
) -> None:
    """A marker at each value, in percent, and a line from low to high; one row below the other."""
    there = [(index + offset, part) for index, part in enumerate(found) if part is not None]
    rows = [row for row, _ in there]
    low, value, high = ([100 * part[end] for _, part in there] for end in ("low", "value", "high"))
    panel.hlines(rows, low, high, color=colour, lw=2.2, alpha=0.55)
    panel.plot(value, rows, marker, color=colour, ms=6, label=label)


def _percent_axis(panel: Axes) -> None:
    panel.set_xlim(-3, 103)
    panel.set_xticks(range(0, 101, 25))


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
