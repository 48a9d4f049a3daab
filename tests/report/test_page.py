import base64
import copy
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from accessible import faults
from evaluated import CELLS, CONDITIONS, TASKS, make_results

from stemob_wrappers.report.comparison import BEYOND, compare
from stemob_wrappers.report.page import KEYS, write_report
from stemob_wrappers.report.pairing import current_format
from stemob_wrappers.report.plots import plot_cells, plot_groups, plot_severities
from stemob_wrappers.report.render import points


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


def tables_of(page, title):
    return [table for table in page.tables if table[0][0] == [title]]


def shown_rows(table):
    """The rows of a table by name: their texts by column."""
    head, *lines = [list(line) for line in table]
    titles = [title for (title,) in head]
    return {line[0][0]: dict(zip(titles, line, strict=True)) for line in lines if len(line) > 1}


def expected_rows(results, block):
    summary = compare(current_format(results))
    return {row["condition"]: row for row in summary["rows"] if row["task"] == block}


def test_all_rates_are_those_of_the_records(page, results):
    tables = [t for t in tables_of(page, "row") if ["Perturbed"] in t[0]]
    assert len(tables) == 3
    for block, table in zip(["all", *TASKS], tables, strict=True):
        shown, rows = shown_rows(table), expected_rows(results, block)
        assert set(shown) == set(rows)
        for name, row in rows.items():
            assert_shown(shown[name]["Nominal"], row["train"])
            assert_shown(shown[name]["Perturbed"], row["gen"])
            assert shown[name]["Trainings"] == ["4" if block == "all" else "2"]
            assert numbers(shown[name]["Kept"][0]) == pytest.approx([row["kept"]], abs=0.00051)
            if name != "stem <i>&$a_b$ -- x":
                assert shown[name]["Beyond stem <i>&$a_b$ -- x"] != ["–"]


def test_all_cells_are_those_of_the_records(page, results):
    whole = [t for t in tables_of(page, "row") if t[0][1:] == [[cell] for cell in CELLS[1:]]]
    losses = tables_of(page, "row loses")
    gains = [t for t in page.tables if str(t[0][0]).startswith("['row beyond")]
    for block, *three in zip(["all", *TASKS], whole, losses, gains, strict=True):
        rates, lost, gained = map(shown_rows, three)
        for name, row in expected_rows(results, block).items():
            for cell in CELLS[1:]:
                part = row["cells"][cell]
                assert_shown(rates[name][cell], {**part, "value": part["rate"]})
                assert_shown(lost[name][cell], part["drop"])
                if row["difference"]:
                    assert_shown(gained[name][cell], row["difference"]["cells"][cell])


def test_the_reference_is_the_best_row_without_a_stem(results, folder, tmp_path):
    assert compare(current_format(results))["reference"] == "stem <i>&$a_b$ -- x"
    named = write_report(results, folder, tmp_path / "a.html", reference="raw").read_text()
    assert "Beyond raw" in named
    with pytest.raises(ValueError, match="none of the conditions"):
        write_report(results, folder, tmp_path / "b.html", reference="rwa")


def test_the_first_lines_say_what_was_gained_and_what_it_cost(page, results):
    best = expected_rows(results, "all")["stem"]
    said = page.text[page.text.index("stem has") :]
    expected = [best["gen"]["value"], best["gen"]["low"], best["gen"]["high"], best["kept"]]
    assert numbers(said)[:4] == pytest.approx(expected, abs=0.0051)
    gained = re.search("Gained: (.*)\\.", page.text)
    assert gained
    assert f"in all {points(best['difference']['gen']['value'])}" in gained[1]
    cost = re.search("Cost: (.*)\\.", page.text)
    assert cost
    assert "3.0 ms a step for the stem, beside 2.0 for the policy" in cost[1]


@pytest.mark.parametrize("worse", [True, False])
def test_the_nominal_scene_is_a_cost_only_where_it_is_worse(tmp_path, worse):
    results = make_results(tmp_path, TASKS[:1], CELLS[:2])
    for record in results["records"]:
        if record["cell"] == CELLS[0]:
            record["successes"] = [(record["condition"] != "stem") == worse] * 10
    text = Page(write_report(results, tmp_path).read_text()).text
    where = {name: re.search(f"{name}: (.*)\\.", text) for name in ("Gained", "Cost")}
    told = [name for name, found in where.items() if found and "the nominal scene" in found[1]]
    assert told == ["Cost" if worse else "Gained"]


def test_level_rows_are_both_named_and_none_is_bold(tmp_path):
    results = make_results(tmp_path, TASKS[:1], CELLS[:2])
    for record in results["records"]:
        record["successes"] = [record["condition"] == "stem"] * 10
    twin = [{**r, "condition": "twin"} for r in results["records"] if r["condition"] == "stem"]
    described = [{**c, "name": "twin"} for c in results["conditions"] if c["name"] == "stem"]
    results["records"] += twin
    results["conditions"] += described
    text = write_report(results, tmp_path).read_text()
    assert "stem and twin are level at 100.0 %" in text
    assert 'class="best"' not in text


def test_coloured_is_what_excludes_zero(page, results, folder):
    text = (folder / "report.html").read_text()
    differences = [
        (attributes.get("class"), numbers(ends))
        for attributes, ends in zip(
            (a for tag, a in page.tags if tag == "td" and "Beyond" in str(a.get("data-title"))),
            re.findall(r'data-title="Beyond[^>]*>(?:reference|[^<]*<small>([^<]*))', text),
            strict=True,
        )
        if ends
    ]
    assert {each for each, _ in differences} >= {"up", "down"}
    for colour, (low, high) in differences:
        if colour == "up":
            assert low > 0
        elif colour == "down":
            assert high < 0
        else:
            assert low <= 0.01
            assert high >= -0.01


def test_what_rows_are_and_how_long_they_were_trained_is_told(small, tmp_path):
    results, folder = copy.deepcopy(small[0]), small[1]
    results["about"] = {
        "raw": {"means": "Learns from raw frames.", "literature": True, "training": "10 epochs"},
        "stem": {"control": "raw", "group": BEYOND, "training": "20 epochs"},
    }
    path = write_report(results, folder, tmp_path / "a.html")
    page = Page(path.read_text())
    assert "Learns from raw frames. Trained on 10 epochs." in page.text
    assert "Its control is raw. Trained on 20 epochs." in page.text
    assert "trained for different numbers of steps" in page.text
    assert "trained on 20 epochs, where" in page.text
    rows = shown_rows(next(t for t in tables_of(page, "row") if ["Gap closed"] in t[0]))
    assert rows["stem"]["Beyond its control"][-1] == "raw"
    assert "points beyond raw, the best single augmentation of the literature" in page.text


def test_a_curve_is_drawn_where_a_factor_has_two_severities(small):
    rows = compare(current_format(small[0]))["rows"]
    assert plot_severities(rows, CELLS[:2]) is None
    rows = [{**row, "cells": {**row["cells"], "lighting-1": row["cells"]["clean"]}} for row in rows]
    drawn = plot_severities(rows, ["clean", "lighting-1", "lighting-4"])
    assert drawn
    assert ElementTree.fromstring(drawn) is not None


def test_a_clip_lies_in_the_page(small, tmp_path):
    results, folder = copy.deepcopy(small[0]), small[1]
    (folder / "clip.webm").write_bytes(b"film")
    sides = {
        side: {"condition": name, "success": name == "stem"}
        for side, name in (("left", "raw"), ("right", "stem"))
    }
    clip = {
        "task": "Lift",
        "cell": "texture-4",
        "seed": 7,
        "size": 84,
        "path": "clip.webm",
        **sides,
    }
    text = write_report({**results, "clips": [clip]}, folder, tmp_path / "a.html").read_text()
    assert f'src="data:video/webm;base64,{base64.b64encode(b"film").decode()}"' in text
    assert "Left: raw, which fails; right: stem, which succeeds." in text
    assert faults(text) == []
    with pytest.raises(FileNotFoundError, match="no clip at"):
        write_report({**results, "clips": [{**clip, "path": "gone.webm"}]}, folder)


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
    shown = shown_rows(page.tables[0])
    assert shown["raw"]["Perturbed"] == ["–"]
    assert shown["raw"]["Trainings"] == ["2"]
    assert not page.images("image/png")
    assert "Gained" not in page.text


def test_a_condition_without_a_pair_has_no_difference(small, tmp_path):
    results = copy.deepcopy(small[0])
    for record in results["records"]:
        if record["condition"] == "raw":
            record["training_seed"] += 5
    page = Page(write_report(results, small[1], tmp_path / "a.html").read_text())
    shown = shown_rows(page.tables[0])
    assert shown["raw"]["Beyond stem <i>&$a_b$ -- x"] == ["–"]


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
