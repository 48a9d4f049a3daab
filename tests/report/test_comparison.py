"""Which rows are compared with which, and what to collect next."""

import pytest

from stemob_wrappers.report.advice import advise
from stemob_wrappers.report.comparison import (
    BEYOND,
    NO_STEM,
    STEM,
    Kind,
    best_of_literature,
    best_with_stem,
    gap_closed,
    kinds_of,
)


def row(name, gen, **more):
    return {"task": "all", "condition": name, "gen": {"value": gen}, **more}


def test_stems_are_grouped_and_compared_with_the_same_policy():
    def condition(name, policy, backbone=None):
        stem = {"backbone": backbone, "inversion_steps": 5, "num_steps": 50}
        return {"name": name, "policy": policy, "stem": stem if backbone else None}

    conditions = [
        condition("a, raw", "a"),
        condition("b, raw", "b"),
        condition("a, embedded", "a", "embedded"),
        condition("b, canonical", "b", "embedded-canonical"),
        condition("c", "c", "embedded"),
    ]
    kinds = kinds_of({"conditions": conditions, "about": {"c": {"means": "Learns."}}})
    assert [kind.group for kind in kinds.values()] == [NO_STEM, NO_STEM, STEM, BEYOND, STEM]
    controls = [kind.control for kind in kinds.values()]
    assert controls == [None, None, "a, raw", "b, raw", None]
    assert kinds["c"].means == "Learns."


def test_only_the_literature_and_only_stems_are_chosen_among():
    kinds = {
        "raw": Kind(NO_STEM, ""),
        "srm": Kind(NO_STEM, "", literature=True),
        "mixup": Kind(NO_STEM, "", literature=True),
        "augmented": Kind(NO_STEM, ""),
        "one": Kind(STEM, ""),
        "two": Kind(BEYOND, ""),
    }
    gen = {"raw": 0.1, "srm": 0.3, "mixup": 0.4, "augmented": 0.9, "one": 0.7, "two": 0.7 + 1e-12}
    rows = [row(name, value) for name, value in gen.items()]
    assert best_of_literature(kinds, rows) == "mixup"
    assert [each["condition"] for each in best_with_stem(kinds, rows)] == ["one", "two"]
    assert best_of_literature({"raw": kinds["raw"]}, rows[:1]) is None


def test_there_is_no_gap_to_close_where_the_control_may_lose_nothing():
    control = row("raw", 0.9, drop={"value": 0.1, "low": -0.05, "high": 0.2})
    assert gap_closed(row("stem", 1.0), control) is None
    control["drop"]["low"] = 0.02
    assert gap_closed(row("stem", 1.0), control) == pytest.approx(1)


def test_advice_is_ordered_by_loss_and_leaves_out_what_is_not_sure():
    def cell(value, low, high):
        return {"drop": {"value": value, "low": low, "high": high}}

    cells = {"clean": {"drop": None}, "lighting-4": cell(0.2, 0.1, 0.3)}
    cells |= {"camera-4": cell(0.6, 0.4, 0.8), "colour-4": cell(0.05, -0.1, 0.2)}
    first, then, rest = advise({"condition": "stem", "cells": cells})
    assert first == (
        "Collect or augment camera next: stem loses 60.0 points (40 to 80) to camera-4."
    )
    assert then == "After that: lighting-4 20.0 points (10 to 30)."
    assert rest == "No loss that is sure: colour-4."
    del cells["lighting-4"], cells["camera-4"]
    assert "Play more episodes" in advise({"condition": "stem", "cells": cells})[0]
    assert "needs the nominal scene" in advise({"condition": "stem", "cells": {}})[0]
