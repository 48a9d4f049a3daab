import dataclasses
import json
from statistics import NormalDist

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from stemob_wrappers.evaluation.results import Record
from stemob_wrappers.report.statistics import (
    bootstrap,
    paired_bootstrap,
    summarise,
    wilson_interval,
)

EPISODES = 20
CELLS = ("clean", "lighting-4", "texture-4")


# --- one rate ------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(episodes=st.integers(1, 400), share=st.floats(0, 1), confidence=st.sampled_from([0.8, 0.95]))
def test_at_both_ends_the_rate_is_as_unlikely_as_the_confidence_says(episodes, share, confidence):
    """Wilson's score interval holds the rates p that lie within z sqrt(p (1 - p) / n)."""
    successes = round(share * episodes)
    found = wilson_interval(successes, episodes, confidence)
    assert found.value == successes / episodes
    assert 0 <= found.low <= found.value <= found.high <= 1
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    for end in (found.low, found.high):
        spread = z * (end * (1 - end) / episodes) ** 0.5
        # No rate lies beyond 0 and 1, where the spread is nothing.
        assert abs(found.value - end) == pytest.approx(spread, abs=1e-9)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((1, 0), "at least one episode and 0 to that many successes, received 1 of 0"),
        ((0, 0), "received 0 of 0"),
        ((3, 2), "received 3 of 2"),
        ((-1, 2), "received -1 of 2"),
        ((1, 2, 1.0), "between 0 and 1, received 1.0"),
        ((1, 2, 95), "between 0 and 1, received 95"),
    ],
)
def test_impossible_counts_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        wilson_interval(*arguments)


# --- bootstrap -----------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_one_level_of_pairs_is_scipys_bootstrap(share):
    rng = np.random.default_rng(0)
    a, b = rng.random(40) < 0.8, rng.random(40) < share

    def difference(x, y, axis):
        return x.mean(axis=axis) - y.mean(axis=axis)

    expected = scipy.stats.bootstrap(
        (a.astype(float), b.astype(float)),
        difference,
        paired=True,
        vectorized=True,
        n_resamples=40_000,
        method="percentile",
        rng=1,
    ).confidence_interval
    found = paired_bootstrap({"t": a[None]}, {"t": b[None]}, resamples=40_000)
    assert found.value == pytest.approx(a.mean() - b.mean())
    # A bound moves in steps of one episode, 1 / 40, as the draws differ.
    assert found.low == pytest.approx(expected.low, abs=0.026)
    assert found.high == pytest.approx(expected.high, abs=0.026)


def test_continuous_scores_agree_with_scipy_closely():
    scores = np.random.default_rng(3).normal(size=60)
    expected = scipy.stats.bootstrap(
        (scores,), np.mean, n_resamples=60_000, method="percentile", confidence_level=0.9, rng=1
    ).confidence_interval
    found = bootstrap({"t": scores[None]}, resamples=60_000, confidence=0.9)
    assert found[1:] == pytest.approx((expected.low, expected.high), abs=0.006)


def test_pairs_stay_together():
    """What moves both conditions of a pair alike is no uncertainty of their difference."""
    luck = (np.random.default_rng(0).random((1, 30)) < 0.5).astype(float)
    together = paired_bootstrap({"t": luck + 0.25}, {"t": luck})
    assert together == pytest.approx((0.25, 0.25, 0.25))
    apart = paired_bootstrap({"t": np.roll(luck, 1) + 0.25}, {"t": luck})
    assert apart.value == pytest.approx(0.25)
    assert apart.high - apart.low > 0.3


@pytest.mark.parametrize("level", ["tasks", "training seeds", "episodes"])
def test_every_level_is_resampled(level):
    """All that differs is one level; its spread alone makes the interval."""
    values = np.random.default_rng(1).normal(size=6)
    tables = {
        "tasks": {str(i): np.full((2, 5), value) for i, value in enumerate(values)},
        "training seeds": {"t": np.repeat(values[:, None], 5, axis=1)},
        "episodes": {"t": np.repeat(values[None], 5, axis=0)},
    }
    found = bootstrap(tables[level], resamples=40_000)
    alone = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=40_000, method="percentile", rng=1
    ).confidence_interval
    assert found.value == pytest.approx(values.mean())
    assert found[1:] == pytest.approx((alone.low, alone.high), abs=0.03)


def test_levels_add_up_as_a_plain_loop_says():
    rng = np.random.default_rng(5)
    tables = {"lift": rng.random((3, 12)), "stack": rng.random((2, 8)) / 2}
    found = bootstrap(tables, resamples=20_000)
    means = []
    for _ in range(4000):
        drawn = []
        for task in rng.choice(list(tables), size=2):
            rows, columns = (rng.integers(n, size=n) for n in tables[task].shape)
            drawn.append(tables[task][np.ix_(rows, columns)].mean())
        means.append(np.mean(drawn))
    assert found.value == pytest.approx((tables["lift"].mean() + tables["stack"].mean()) / 2)
    assert found[1:] == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=0.015)


def test_draws_are_repeatable_and_confidence_widens():
    scores = {"t": np.random.default_rng(0).random((2, 10))}
    assert bootstrap(scores, seed=1) == bootstrap(scores, seed=1)
    assert bootstrap(scores, seed=1) != bootstrap(scores, seed=2)
    narrow, wide = (bootstrap(scores, confidence=c) for c in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = []
    for _ in range(300):
        a, b = rng.random((2, 1, 50)) < np.array([0.8, 0.5])[:, None, None]
        found = paired_bootstrap({"t": a}, {"t": b}, resamples=400)
        held.append(found.low <= 0.3 <= found.high)
    assert 0.9 <= np.mean(held) <= 0.98


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"t": np.zeros((1, 3))}, {"u": np.zeros((1, 3))}),
        ({"t": np.zeros((1, 3))}, {"t": np.zeros((1, 4))}),
        ({"t": np.zeros((1, 3))}, {"t": np.zeros((2, 3))}),
    ],
)
def test_what_is_not_paired_is_refused(a, b):
    with pytest.raises(ValueError, match="pairs need equal tasks, training seeds and episodes"):
        paired_bootstrap(a, b)


@pytest.mark.parametrize("scores", [{}, {"t": np.zeros((0, 3))}, {"t": np.zeros(3)}])
def test_scores_need_two_axes_and_an_entry(scores):
    with pytest.raises(ValueError, match=r"need scores \[training seeds, episodes\]"):
        bootstrap(scores)


# --- summaries -----------------------------------------------------------------------------------


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
    differences = {name: part["value"] for name, part in stem["difference"].items()}
    assert differences == pytest.approx({"train": -0.1, "gen": 0.3, "all": 0.5 / 3})
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
    expected = bootstrap({"lift": gen["raw"][None]}, **options)
    assert tuple(raw["gen"].values()) == pytest.approx(expected)
    expected = paired_bootstrap({"l": gen["stem"][None]}, {"l": gen["raw"][None]}, **options)
    assert tuple(stem["difference"]["gen"].values()) == pytest.approx(expected)
    expected = paired_bootstrap({"l": first(18)[None]}, {"l": first(4)[None]}, **options)
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
