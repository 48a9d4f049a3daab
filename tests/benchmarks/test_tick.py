"""The picture of a tick is drawn from what was measured."""

import json
import runpy
from pathlib import Path

import pytest

from stemob_wrappers.pictures import read_image

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def tick(monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return runpy.run_path(str(BENCHMARKS / "tick.py"))


def test_a_longer_part_has_a_longer_bar(tick, tmp_path):
    def reds(stem):
        """Pixels in the stem's colour, those of the legend too."""
        parts = {"physics": 10.0, "rendering": 20.0, "stem": stem, "policy": 2.0}
        row = {"rendering_quality": "fast", "envs": 8, **parts}
        tick["draw"]({"machine": {"load": 0.5}, "rows": [row]}, tmp_path / "tick.png")
        red, green, blue = read_image(tmp_path / "tick.png").astype(int).transpose(2, 0, 1)
        return ((abs(red - 0xD9) < 9) & (abs(green - 0x5F) < 9) & (abs(blue - 0x02) < 9)).sum()

    few, many = reds(1.0), reds(10.0)
    assert 0 < 3 * few < many


def test_the_picture_in_the_docs_has_its_figures_beside_it(tick):
    content = json.loads((BENCHMARKS / "results" / "tick.json").read_text())
    assert [(row["rendering_quality"], row["envs"]) for row in content["rows"]] == [
        ("fast", 1), ("fast", 8), ("full", 1), ("full", 8),
    ]  # fmt: skip
    assert tick["PICTURE"].is_file()
