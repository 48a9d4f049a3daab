import base64
import copy
import dataclasses
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from stemob_wrappers import StemConfig
from stemob_wrappers.evaluation.results import Record
from stemob_wrappers.pictures import write_image
from stemob_wrappers.report.page import KEYS, write_report
from stemob_wrappers.report.plots import plot_cells, plot_groups
from stemob_wrappers.report.render import points
from stemob_wrappers.report.statistics import summarise

CELLS = ("clean", "lighting-4", "texture-4")
TASKS = ("stemob/Lift-v0", "stemob/Stack-v0")
CONDITIONS = {"raw": 0.2, "stem": 0.8, "stem <i>&$a_b$ -- x": 0.5}


class Page(HTMLParser):
    """Tables as lists of rows of texts, and every tag with its attributes."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.tags, self.text = [], [], ""
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append([])
            self._inside = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._inside = False

    def handle_data(self, data):
        self.text += data
        if self._inside:
            self.tables[-1][-1][-1].append(data)

    def images(self, mime):
        prefix = f"data:{mime};base64,"
        sources = [attributes["src"] for tag, attributes in self.tags if tag == "img"]
        return [base64.b64decode(s[len(prefix) :]) for s in sources if s.startswith(prefix)]


def make_results(folder, tasks=TASKS, cells=CELLS, conditions=CONDITIONS):
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def results(folder):
    made = make_results(folder)
    (folder / "results.json").write_text(json.dumps(made))
    return json.loads((folder / "results.json").read_text())


@pytest.fixture(scope="module")
def page(results, folder):
    path = write_report(results, folder)
    assert path == folder / "report.html"
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Results of one task, quick to report, and their folder."""
    folder = tmp_path_factory.mktemp("small")
    return make_results(folder, TASKS[:1], CELLS[:2]), folder


def test_nothing_is_loaded_from_anywhere(page, folder):
    attributes = [pair for _, found in page.tags for pair in found.items()]
    assert all(value.startswith("data:") for name, value in attributes if name == "src")
    assert not {"href", "srcset", "data", "action"} & {name for name, _ in attributes}
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    assert not re.search(r"url\(|@import|https?://", (folder / "report.html").read_text())
    for drawing in page.images("image/svg+xml"):
        for element in ElementTree.fromstring(drawing).iter():
            for name, value in element.attrib.items():
                assert not name.endswith("href") or value.startswith("#")
    policies = [a["content"] for tag, a in page.tags if a.get("http-equiv")]
    assert policies[0].startswith("default-src 'none'; img-src data:")


def numbers(text):
    """The numbers of a text with any minus sign, as rates."""
    signed = text.replace("−", "-").replace("–", " ")
    return [float(number) / 100 for number in re.findall(r"[+-]?\d+\.?\d*", signed)]


def assert_shown(cell, interval):
    value, ends = cell
    assert numbers(value) == pytest.approx([interval["value"]], abs=0.00051)
    assert numbers(ends) == pytest.approx([interval["low"], interval["high"]], abs=0.0051)


def test_all_rates_are_those_of_the_json(page, results):
    tables = [
        t for t in page.tables if t[0][:2] == [["condition"], ["Train"]] and ["trainings"] in t[0]
    ]
    blocks = ["all", *TASKS]
    assert len(tables) == len(blocks)
    for block, (head, *lines) in zip(blocks, tables, strict=True):
        rows = [row for row in results["summary"]["rows"] if row["task"] == block]
        assert [line[0][0] for line in lines] == [row["condition"] for row in rows]
        for row, line in zip(rows, lines, strict=True):
            shown = dict(zip((title for (title,) in head), line, strict=True))
            for group, title in (("train", "Train"), ("gen", "Gen"), ("all", "All")):
                assert_shown(shown[title], row[group])
            for cell in CELLS[1:]:
                assert_shown(
                    shown[cell], {**row["cells"][cell], "value": row["cells"][cell]["rate"]}
                )
            assert shown["trainings"] == ["2"]


def test_all_differences_are_those_of_the_json(page, results):
    tables = [t for t in page.tables if ["drop lighting-4"] in t[0]]
    for block, (head, *lines) in zip(["all", *TASKS], tables, strict=True):
        rows = [row for row in results["summary"]["rows"] if row["task"] == block]
        for row, line in zip(rows, lines, strict=True):
            shown = dict(zip((title for (title,) in head), line, strict=True))
            for cell in CELLS[1:]:
                assert_shown(shown[f"drop {cell}"], row["cells"][cell]["drop"])
            if row["condition"] == "raw":
                assert shown["Train"] == ["reference"]
                continue
            for group, title in (("train", "Train"), ("gen", "Gen"), ("all", "All")):
                assert_shown(shown[title], row["difference"][group])


def test_the_headline_names_the_best_condition_on_perturbed_scenes(page, results):
    best = next(row for row in results["summary"]["rows"] if row["condition"] == "stem")
    said = re.search(r"Highest on perturbed scenes: (.*?)\.\n", page.text)
    assert said
    expected = [best["gen"]["value"], best["gen"]["low"], best["gen"]["high"]]
    assert said[1].startswith("stem,")
    assert numbers(said[1])[:3] == pytest.approx(expected, abs=0.0051)
    assert points(best["difference"]["gen"]["value"]) in said[1]


def test_coloured_is_what_excludes_zero(small):
    results, folder = copy.deepcopy(small[0]), small[1]
    rows = [row for row in results["summary"]["rows"] if row["difference"]]
    for row, (low, high) in zip(rows, [(0.01, 0.2), (-0.2, -0.01)], strict=True):
        for group in row["difference"]:
            row["difference"][group] = {"value": (low + high) / 2, "low": low, "high": high}
    text = write_report(results, folder).read_text()
    assert text.count('<td class="up">+10.5<small>+1 to +20</small>') == 3
    assert text.count('<td class="down">−10.5<small>−20 to −1</small>') == 3


def test_every_frame_lies_in_the_page(page, results, folder):
    expected = [(folder / frame["path"]).read_bytes() for frame in results["frames"]]
    assert sorted(page.images("image/png")) == sorted(expected)
    strips = [t for t in page.tables if t[0] == [[], *([cell] for cell in CELLS)]]
    assert [[line[0] for line in strip[1:]] for strip in strips] == [[["raw"], ["stem"]]] * 2


def test_plots_hold_every_condition_in_every_block(page):
    drawings = page.images("image/svg+xml")
    assert len(drawings) == 2 * (1 + len(TASKS))
    assert all(b"<!-- stem -->" in drawing for drawing in drawings)


@pytest.mark.parametrize("plot", [0, 1])
def test_plots_follow_the_figures(small, plot):
    rows = copy.deepcopy(small[0]["summary"]["rows"])

    def draw():
        return plot_cells(rows, CELLS[:2]) if plot else plot_groups(rows, "raw")

    before = draw()
    assert draw() == before
    (rows[1]["cells"]["clean"] if plot else rows[1]["gen"])["high"] -= 0.01
    assert draw() != before
    assert ElementTree.fromstring(before) is not None


def test_where_it_comes_from_is_told(page, results):
    told = {row[0][0]: row[1][0] for table in page.tables for row in table if len(row) == 2}
    assert told["command"] == results["provenance"]["command"]
    assert told["wall time"] == "1 h 2 min 30 s"
    assert told["versions"] == "stemob_wrappers 0.1.0, torch 2.13.0"
    assert told["split"] == "test"
    assert json.loads(told["env kwargs"]) == {"size": 84}
    assert told["reset seeds"].startswith("stemob/Lift-v0: 0, 1, 2, 3")
    assert "f" * 32 in page.text
    assert '"inversion_steps": 5' in page.text


def test_names_are_shown_as_they_are(page):
    names = {line[0][0] for table in page.tables for line in table if line and line[0]}
    assert set(CONDITIONS) <= names
    assert not [tag for tag, _ in page.tags if tag == "i"]


def test_the_same_results_give_the_same_file(small, tmp_path):
    results, folder = small
    files = [write_report(results, folder, tmp_path / "new" / f"{i}.html") for i in range(2)]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert {path.name for path in files[0].parent.iterdir()} == {"0.html", "1.html"}


def test_a_clean_cell_alone_and_no_frames_are_enough(tmp_path):
    results = make_results(tmp_path, tasks=TASKS[:1], cells=CELLS[:1], conditions={"raw": 0.5})
    page = Page(write_report({**results, "frames": []}, tmp_path).read_text())
    head, line = page.tables[0]
    assert [title for (title,) in head] == ["condition", "Train", "Gen", "All", "trainings"]
    assert line[2] == ["–"]
    assert not page.images("image/png")
    assert "Highest" not in page.text


def test_a_condition_without_a_pair_has_no_difference(small):
    results, folder = copy.deepcopy(small[0]), small[1]
    for row in results["summary"]["rows"]:
        row["difference"] = None
    page = Page(write_report(results, folder).read_text())
    lines = next(t for t in page.tables if ["drop lighting-4"] in t[0])[2:]
    assert all(line[1:4] == [["–"]] * 3 for line in lines)


@pytest.mark.parametrize("key", KEYS)
def test_incomplete_results_are_refused(results, folder, key):
    rest = {name: value for name, value in results.items() if name != key}
    with pytest.raises(ValueError, match=f"; {key} missing: evaluate again"):
        write_report(rest, folder, folder / "none.html")
    assert not (folder / "none.html").exists()


def test_a_frame_that_is_gone_is_named(results, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no frame at .*frames/Lift-v0-clean-raw\.png"):
        write_report(results, tmp_path)
    assert not list(tmp_path.iterdir())
