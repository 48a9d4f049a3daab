"""Which factor to collect or augment next, from what a row loses to each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stemob_wrappers.report.pairing import CLEAN, factor_of
from stemob_wrappers.report.render import percent, span_of_points


def advise(row: Mapping[str, Any]) -> list[str]:
    """Say what a row's policy should see more of, the most costly factor first.

    Args:
        row: of a summary, as `statistics.summarise` gives them.

    Returns:
        sentences; a drop whose interval holds 0 is called uncertain.

    Example:
        >>> drop = {"value": 0.5, "low": 0.25, "high": 0.75}
        >>> advise({"condition": "raw", "cells": {"texture-4": {"rate": 0.5, "drop": drop}}})[0]
        'Collect or augment texture next: raw loses 50.0 points (25 to 75) to texture-4.'
    """
    name = row["condition"]
    drops = {
        cell: part["drop"]
        for cell, part in row["cells"].items()
        if cell != CLEAN and part["drop"] is not None
    }
    if not drops:
        return [f"No advice for {name}: it needs the nominal scene and a cell beside it."]
    order = sorted(drops, key=lambda cell: -drops[cell]["value"])
    sure = [cell for cell in order if drops[cell]["low"] > 0]
    if not sure:
        worst = order[0]
        return [
            f"{name} loses to no factor for sure; the most to {worst}: {_points(drops[worst])}. "
            "Play more episodes, or a higher severity, before collecting anything."
        ]
    told = [
        f"Collect or augment {factor_of(sure[0])} next: {name} loses {_points(drops[sure[0]])} to "
        f"{sure[0]}."
    ]
    if sure[1:]:
        rest = ", ".join(f"{cell} {_points(drops[cell])}" for cell in sure[1:])
        told.append(f"After that: {rest}.")
    spared = [cell for cell in order if cell not in sure]
    if spared:
        told.append(f"No loss that is sure: {', '.join(spared)}.")
    return told


def _points(drop: Mapping[str, float]) -> str:
    return f"{percent(drop['value'])} points ({span_of_points(drop, '-')})"
