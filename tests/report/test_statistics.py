import dataclasses
import json

import numpy as np
import pytest
import scipy.stats

from stemob_wrappers.evaluation.results import Record
from stemob_wrappers.report.intervals import difference_interval, rate_interval
from stemob_wrappers.report.statistics import summarise

EPISODES = 20
CELLS = ("clean", "lighting-4", "texture-4")


def record(condition, cell, successes, task="lift", training_seed=0, **changes):
    count = len(successes)
    fields = {"seeds": list(range(100, 100 + count)), "lengths": [10] * count}
    fields |= {"returns": [0.0] * count, "ms_per_step": {"env": 4.0, "stem": 2.0, "policy": 1.0}}
    outcomes = [bool(value) for value in successes]
    return Record(condition, training_seed, task, cell, successes=outcomes, **{**fields, **changes})


def first(count, episodes=EPISODES):
    """The first episodes succeed."""
    return np.arange(episodes) < count


def some_records(rates, task="lift", training_seed=0):
    """``rates`` by condition: how many of twenty episodes succeed in each cell."""
    return [
        record(condition, cell, first(count), task, training_seed)
        for condition, counts in rates.items()
        for cell, count in zip(CELLS, counts, strict=True)
    ]


def rows_of(summary, task="all"):
    return {row["condition"]: row for row in summary["rows"] if row["task"] == task}


def test_train_gen_and_all_are_those_of_the_paper():
    rates = {"raw": (18, 4, 8), "stem": (16, 14, 10)}
    summary = summarise(some_records(rates), reference="raw")
    assert json.loads(json.dumps(summary)) == summary
    raw, stem = rows_of(summary).values()
    assert [raw[part]["value"] for part in ("train", "gen", "all")] == pytest.approx(
        [0.9, 0.3, (0.9 + 0.2 + 0.4) / 3]
    )
    assert raw["cells"]["lighting-4"]["successes"] == 4
    assert raw["cells"]["lighting-4"]["episodes"] == EPISODES
    assert raw["cells"]["clean"]["drop"] is None
    assert raw["cells"]["lighting-4"]["drop"]["value"] == pytest.approx(0.7)
    assert raw["difference"] is None
    differences = {name: stem["difference"][name]["value"] for name in ("train", "gen", "all")}
    assert differences == pytest.approx({"train": -0.1, "gen": 0.3, "all": 0.5 / 3})
    assert stem["difference"]["cells"]["lighting-4"]["value"] == pytest.approx(0.5)
    assert raw["drop"]["value"] == pytest.approx(0.6)
    assert raw["kept"] == pytest.approx(0.3 / 0.9)
    for cell in CELLS:
        expected = scipy.stats.binomtest(rates["stem"][CELLS.index(cell)], EPISODES)
        interval = expected.proportion_ci(method="wilson")
        found = stem["cells"][cell]
        assert (found["low"], found["high"]) == pytest.approx((interval.low, interval.high))
    clean = stem["cells"]["clean"]
    assert stem["train"] == {"value": clean["rate"], "low": clean["low"], "high": clean["high"]}


def test_intervals_are_those_of_the_episodes_mean_over_the_cells():
    records = some_records({"raw": (18, 4, 8), "stem": (16, 14, 10)})
    summary = summarise(records, reference="raw", resamples=2000, seed=5)
    raw, stem = rows_of(summary).values()
    gen = {"raw": (first(4) + 0 + first(8)) / 2, "stem": (first(14) + 0 + first(10)) / 2}
    options = {"resamples": 2000, "seed": 5}
    expected = rate_interval({"lift": gen["raw"][None]}, **options)
    assert tuple(raw["gen"].values()) == pytest.approx(expected)
    expected = difference_interval({"l": gen["stem"][None]}, {"l": gen["raw"][None]}, **options)
    assert tuple(stem["difference"]["gen"].values()) == pytest.approx(expected)
    expected = difference_interval({"l": first(18)[None]}, {"l": first(4)[None]}, **options)
    assert tuple(raw["cells"]["lighting-4"]["drop"].values()) == pytest.approx(expected)


def test_the_order_of_records_does_not_matter():
    records = some_records({"raw": (18, 4, 8), "stem": (16, 14, 10)})
    shuffled = [records[i] for i in (0, 3, 1, 4, 2, 5)]
    assert summarise(shuffled, reference="raw") == summarise(records, reference="raw")


def test_several_tasks_have_a_mean_and_rows_of_their_own():
    lift = some_records({"raw": (20, 10, 10), "stem": (20, 20, 20), "extra": (1, 1, 1)})
    lift += some_records({"raw": (10, 0, 0), "stem": (10, 10, 10)}, training_seed=1)
    stack = some_records({"raw": (10, 2, 2), "stem": (8, 6, 6)}, task="stack")
    summary = summarise(lift + stack, reference="raw")
    assert [row["task"] for row in summary["rows"]] == ["all"] * 2 + ["lift"] * 3 + ["stack"] * 2
    raw = rows_of(summary)["raw"]
    # The mean over tasks, whose numbers of training seeds differ.
    assert raw["cells"]["clean"]["rate"] == pytest.approx((0.75 + 0.5) / 2)
    assert raw["gen"]["value"] == pytest.approx((0.25 + 0.1) / 2)
    assert raw["cells"]["clean"]["episodes"] == 3 * EPISODES
    assert raw["training_seeds"] == [0, 1]
    assert raw["trainings"] == 3
    for row in summary["rows"]:
        for cell in CELLS[1:]:
            drop = row["cells"]["clean"]["rate"] - row["cells"][cell]["rate"]
            assert row["cells"][cell]["drop"]["value"] == pytest.approx(drop)
    lift_raw = rows_of(summary, "lift")["raw"]
    assert lift_raw["cells"]["clean"]["rate"] == pytest.approx(0.75)
    assert rows_of(summary, "stack")["stem"]["difference"]["gen"]["value"] == pytest.approx(0.2)


def test_differences_are_taken_over_the_training_seeds_that_both_have():
    records = some_records({"raw": (20, 0, 0), "stem": (20, 10, 10), "other": (0, 0, 0)})
    records = [r for r in records if r.condition != "other"]
    records += some_records({"raw": (20, 20, 20)}, training_seed=1)
    records += some_records({"other": (20, 20, 20)}, training_seed=7)
    rows = rows_of(summarise(records, reference="raw"))
    assert rows["stem"]["difference"]["gen"]["value"] == pytest.approx(0.5)
    assert rows["other"]["difference"] is None


def test_a_condition_is_compared_with_its_own_control():
    rates = {"raw": (20, 0, 0), "augmented": (20, 8, 8), "stem": (20, 14, 14)}
    rates |= {"failing": (0, 0, 0)}
    against = {"control": {"stem": "augmented", "augmented": "raw"}, "same": {"stem": "stem"}}
    rows = rows_of(summarise(some_records(rates), reference="raw", against=against))
    assert list(rows["stem"]["against"]) == ["control"]
    found = rows["stem"]["against"]["control"]
    assert found["condition"] == "augmented"
    assert found["gen"]["value"] == pytest.approx(0.3)
    assert found["cells"]["clean"]["value"] == 0
    assert rows["augmented"]["against"]["control"]["gen"] == rows["augmented"]["difference"]["gen"]
    assert rows["raw"]["against"] == {}
    assert rows["failing"]["kept"] is None


def test_milliseconds_are_means_over_steps():
    slow = {"env": 9.0, "stem": 3.0, "policy": 2.0}
    records = [
        record("raw", "clean", first(2, 2), lengths=[10, 20]),
        record("raw", "lighting-4", first(1, 2), lengths=[50, 10], ms_per_step=slow),
    ]
    row = rows_of(summarise(records, reference="raw"))["raw"]
    assert row["ms_per_step"]["env"] == pytest.approx((30 * 4 + 60 * 9) / 90)


def test_a_single_cell_has_no_gen_and_perturbed_cells_alone_no_train():
    clean = summarise([record("raw", "clean", first(3))], reference="raw")["rows"][0]
    assert clean["gen"] is None
    assert clean["train"]["value"] == clean["all"]["value"] == 3 / EPISODES
    perturbed = summarise([record("raw", "lighting-4", first(3))], reference="raw")["rows"][0]
    assert perturbed["train"] is None
    assert perturbed["all"] is None
    assert perturbed["cells"]["lighting-4"]["drop"] is None


def test_cells_apart_have_rates_and_count_in_no_mean():
    records = some_records({"raw": (18, 4, 8), "stem": (16, 14, 10)})
    whole = rows_of(summarise(records, reference="raw"))
    apart = rows_of(summarise(records, reference="raw", apart=["texture-4"]))
    for name, row in apart.items():
        assert row["cells"] == whole[name]["cells"]
        rates = [row["cells"][cell]["rate"] for cell in CELLS[:2]]
        assert row["gen"]["value"] == rates[1] != whole[name]["gen"]["value"]
        assert row["all"]["value"] == pytest.approx(np.mean(rates))
    assert apart["stem"]["difference"]["gen"]["value"] == pytest.approx((14 - 4) / 20)
    assert apart["stem"]["difference"]["cells"].keys() == set(CELLS)


def test_records_that_cannot_be_compared_are_refused():
    records = some_records({"raw": (20, 0, 0), "stem": (20, 10, 10)})
    refused = {
        "none of the conditions: raw, stem": (records, "best"),
        "at least one record": ([], "raw"),
        "another record of condition 'raw', lift, training seed 0, cell 'clean'": (
            [*records, records[0]],
            "raw",
        ),
        "lacks the cells texture-4": (records[:-1], "raw"),
        "need the same reset seeds to be paired; condition 'stem'": (
            [*records[:-1], dataclasses.replace(records[-1], seeds=list(range(EPISODES)))],
            "raw",
        ),
    }
    for said, (given_records, reference) in refused.items():
        with pytest.raises(ValueError, match=said):
            summarise(given_records, reference=reference)
