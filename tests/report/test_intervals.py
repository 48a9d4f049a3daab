from statistics import NormalDist

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from stemob_wrappers.report.intervals import (
    bootstrap,
    difference_interval,
    paired_bootstrap,
    rate_interval,
    wilson_interval,
)

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


# --- few episodes --------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    seeds=st.integers(1, 3),
    episodes=st.integers(1, 12),
    tasks=st.integers(1, 3),
    share=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_intervals_have_a_width_and_stay_in_range(seeds, episodes, tasks, share):
    rng = np.random.default_rng([seeds, episodes, tasks])
    drawn = [rng.random((seeds, episodes)) < share for _ in range(2 * tasks)]
    a, b = (dict(enumerate(half)) for half in (drawn[:tasks], drawn[tasks:]))
    rate = rate_interval(a, resamples=200)
    assert 0 <= rate.low <= rate.value <= rate.high <= 1
    difference = difference_interval(a, b, resamples=200)
    assert -1 <= difference.low <= difference.value <= difference.high <= 1
    count = seeds * episodes * tasks
    assert rate.high - rate.low > 1 / (count + 10)
    assert difference.high - difference.low > 1 / (count + 10)


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_a_mean_of_sure_tasks_is_about_as_sure_as_one_of_them(outcome):
    """Wilson's interval of one task is its measure: 94 to 100 for 60 successes of 60."""
    tables = {"lift": np.full((3, 20), outcome), "stack": np.full((2, 20), outcome)}
    found = rate_interval(tables)
    alone = wilson_interval(round(60 * outcome), 60)
    assert found.high - found.low == pytest.approx(alone.high - alone.low, abs=0.02)


def test_the_interval_of_one_task_without_clusters_is_that_of_agresti_and_coull():
    found = rate_interval({"t": np.ones((1, 4))})
    squared = NormalDist().inv_cdf(0.975) ** 2
    centre = (4 + squared / 2) / (4 + squared)
    spread = (squared * centre * (1 - centre) / (4 + squared)) ** 0.5
    assert found == pytest.approx((1, centre - spread, 1))


def test_where_a_resampling_is_wider_it_is_kept():
    a, b = np.random.default_rng(0).random((2, 3, 20)).round()
    a[:, :10] = 1  # episodes that are alike in all trainings are fewer than they seem
    assert rate_interval({"t": a}).low == pytest.approx(bootstrap({"t": a}).low)
    assert difference_interval({"t": a}, {"t": b}) == pytest.approx(
        paired_bootstrap({"t": a}, {"t": b})
    )


def test_equal_conditions_differ_by_an_interval_around_nothing():
    tables = {"t": np.tile(np.arange(20) < 10, (3, 1)).astype(float)}
    found = difference_interval(tables, tables)
    assert found.value == 0
    assert found.low == pytest.approx(-found.high)
    assert 0.01 < found.high < 0.1


@pytest.mark.parametrize("rate", [0.85, 0.98])
def test_small_samples_are_held_as_often_as_is_said(rate):
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(300):
        found = rate_interval({"t": rng.random((1, 20)) < rate}, resamples=200)
        held += found.low <= rate <= found.high
    assert held / 300 >= 0.93
