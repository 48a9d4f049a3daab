"""Intervals of rates and of paired differences: resampled, and honest about few episodes.

What could have come out otherwise is resampled: which tasks, which training seeds of a task, which
episodes of a task. Where all that was seen came out alike, a resampling finds no spread at all, so
its interval is never left narrower than that of as many independent episodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.extras import needs

with needs("report"):
    from scipy.stats import binomtest

Scores = Mapping[Any, NDArray[Any]]
"""By task: the scores of its episodes, [training seeds, episodes]."""


class Interval(NamedTuple):
    """An estimate and the ends of its confidence interval."""

    value: float
    low: float
    high: float


def wilson_interval(successes: int, episodes: int, confidence: float = 0.95) -> Interval:
    """Success rate with Wilson's score interval, which holds near 0 and 1 and for few episodes.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.

    Args:
        successes: how many episodes succeeded.
        episodes: how many there were.
        confidence: how often such an interval holds the true rate.

    Raises:
        ValueError: no episodes, more successes than episodes, or a confidence outside (0, 1).

    Example:
        >>> [round(x, 3) for x in wilson_interval(18, 20)]
        [0.9, 0.699, 0.972]
    """
    if not 0 <= successes <= episodes or episodes < 1:
        raise ValueError(
            f"need at least one episode and 0 to that many successes, received {successes} of "
            f"{episodes}"
        )
    _check_confidence(confidence)
    interval = binomtest(successes, episodes).proportion_ci(confidence, method="wilson")
    return Interval(successes / episodes, float(interval.low), float(interval.high))


def bootstrap(
    scores: Scores, *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Mean score over tasks with a percentile bootstrap interval.

    Tasks are drawn with replacement, and for each of them training seeds and episodes. All
    training seeds of a task face the same episodes, so one draw of episodes serves them all.

    Args:
        scores: by task, [training seeds, episodes].
        confidence: of the interval.
        resamples: how many times to draw.
        seed: of the draws.

    Returns:
        the mean over tasks of the mean over training seeds and episodes, and its interval.

    Raises:
        ValueError: no scores, or a confidence outside (0, 1).

    Example:
        >>> bootstrap({"lift": np.array([[1.0, 1.0, 1.0]])})
        Interval(value=1.0, low=1.0, high=1.0)
    """
    _check_confidence(confidence)
    tables = [np.asarray(table, np.float64) for table in scores.values()]
    if not tables or any(table.ndim != 2 or table.size == 0 for table in tables):
        raise ValueError(
            "need scores [training seeds, episodes] of at least one task, received shapes "
            f"{[table.shape for table in tables]}"
        )
    means = np.empty((resamples, len(tables)))
    draws = _draws(tuple(table.shape for table in tables), resamples, seed)
    for table, (chosen, rows, columns) in zip(tables, draws, strict=True):
        means[chosen] = ((rows @ table) * columns).sum(axis=1)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(means.mean(axis=1), [tail, 100 - tail])
    value = np.mean([table.mean() for table in tables])
    return Interval(float(value), float(low), float(high))


def paired_bootstrap(
    a: Scores, b: Scores, *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Mean difference ``a - b`` with an interval, pairs staying together in every draw.

    Args:
        a, b: by task, [training seeds, episodes]; equal positions faced the same episode.
        confidence, resamples, seed: as for :func:`bootstrap`.

    Raises:
        ValueError: other tasks or shapes in ``a`` than in ``b``.

    Example:
        >>> a, b = np.array([[1, 1, 0, 1]]), np.array([[1, 0, 0, 1]])
        >>> paired_bootstrap({"lift": a}, {"lift": b}).value
        0.25
    """
    shapes = [{task: np.shape(table) for task, table in scores.items()} for scores in (a, b)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"pairs need equal tasks, training seeds and episodes, received shapes {shapes[0]} and "
            f"{shapes[1]}"
        )
    differences = {task: np.asarray(a[task], np.float64) - np.asarray(b[task]) for task in a}
    return bootstrap(differences, confidence=confidence, resamples=resamples, seed=seed)


def rate_interval(scores: Scores, **options: Any) -> Interval:
    """Mean success with the wider of two intervals, within 0 and 1.

    One is :func:`bootstrap`'s. The other takes all episodes as independent, and adds half of z
    squared successes and as many failures to those of each task: Agresti and Coull, "Approximate
    Is Better than 'Exact'", 1998. It has a width where all episodes came out alike.

    Args:
        scores: by task, [training seeds, episodes]: shares of success, in [0, 1].
        options: as for :func:`bootstrap`.

    Example:
        >>> [round(x, 2) for x in rate_interval({"lift": np.ones((3, 20))})]
        [1.0, 0.93, 1.0]
    """
    half = _z(options.get("confidence", 0.95)) ** 2 / 2
    return _widened(bootstrap(scores, **options), scores, {0.0: half, 1.0: half}, options)


def difference_interval(a: Scores, b: Scores, **options: Any) -> Interval:
    """Mean difference ``a - b`` with the wider of two intervals, within -1 and 1.

    One is :func:`paired_bootstrap`'s. The other takes all pairs as independent, and adds two pairs
    to those of each task, half a pair for every way that one can come out: Agresti and Min, "Simple
    Improved Confidence Intervals for Comparing Matched Proportions", 2005.

    Args:
        a, b: by task, [training seeds, episodes]: shares of success, in [0, 1]; equal positions
            faced the same episode.
        options: as for :func:`bootstrap`.

    Example:
        >>> same = {"lift": np.ones((3, 20))}
        >>> [round(x, 2) for x in difference_interval(same, same)]
        [0.0, -0.03, 0.03]
    """
    found = paired_bootstrap(a, b, **options)
    differences = {task: np.asarray(a[task], np.float64) - np.asarray(b[task]) for task in a}
    return _widened(found, differences, {-1.0: 0.5, 0.0: 1.0, 1.0: 0.5}, options)


def _widened(
    found: Interval, scores: Scores, added: Mapping[float, float], options: Mapping[str, Any]
) -> Interval:
    """The interval, no narrower than that of independent scores with these ones (weights) added."""
    values, weights = np.array(list(added)), np.array(list(added.values()))
    means, variances = [], []
    for table in scores.values():
        count = np.size(table) + weights.sum()
        mean = (np.sum(table) + weights @ values) / count
        square = (np.sum(np.square(table, dtype=np.float64)) + weights @ values**2) / count
        means.append(mean)
        variances.append((square - mean**2) / count)
    spread = _z(options.get("confidence", 0.95)) * np.sqrt(np.sum(variances)) / len(means)
    low, high = np.mean(means) - spread, np.mean(means) + spread
    ends = (found.value, min(found.low, found.value, low), max(found.high, found.value, high))
    return Interval(*(float(np.clip(end, values.min(), values.max())) for end in ends))


def _z(confidence: float) -> float:
    """How many standard deviations to both sides hold that share of a normal distribution."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


Draw = tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]


@lru_cache(maxsize=8)
def _draws(shapes: tuple[tuple[int, int], ...], resamples: int, seed: int) -> tuple[Draw, ...]:
    """Draw tasks, training seeds and episodes again.

    For each task: where it was drawn, [resamples, tasks], and for each time the weights of its
    training seeds and episodes, which say how often each was drawn.

    The mean of a drawn table is weights x table x weights. A summary asks for the same draws again
    and again.
    """
    rng = np.random.default_rng(seed)
    tasks = rng.integers(len(shapes), size=(resamples, len(shapes)))
    draws = []
    for index, shape in enumerate(shapes):
        chosen = tasks == index
        rows, columns = (
            rng.multinomial(size, np.full(size, 1 / size), size=chosen.sum()) / size
            for size in shape
        )
        draws.append((chosen, rows, columns))
    return tuple(draws)


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, received {confidence}")
