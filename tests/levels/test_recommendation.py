"""A level is recommended only where the probe seeds tell it from the others."""

from typing import Any

from stemob_wrappers.levels.report import reasons
from stemob_wrappers.levels.rows import Row


def row(steps: int, low: float, high: float, **changes: Any) -> Row:
    fields: dict[str, Any] = {"backbone": "embedded", "inversion_steps": steps, "clean_cm": 5.0}
    fields |= {"perturbed_cm": (low + high) / 2, "perturbed_low_cm": low, "perturbed_high_cm": high}
    return Row("stem", **fields | changes)


RAW = Row("raw", clean_cm=5.0, perturbed_cm=16.0)


def test_a_level_apart_from_the_others_is_recommended():
    assert reasons([RAW, row(5, 8, 9), row(10, 9.5, 11)]).startswith("Recommended: embedded")


def test_levels_whose_ranges_overlap_are_no_clear_winner():
    said = reasons([RAW, row(5, 8, 9), row(10, 8.9, 11), row(25, 12, 14)])
    assert said.startswith("No clear winner: the probe seeds' range overlaps with that of embedded")
    assert "embedded 10. Lowest: embedded" in said
    assert "embedded 25" not in said


def test_a_level_that_is_worse_on_clean_frames_is_no_rival():
    assert reasons([RAW, row(5, 8, 9), row(10, 8, 9.5, clean_cm=9.0)]).startswith("Recommended")
