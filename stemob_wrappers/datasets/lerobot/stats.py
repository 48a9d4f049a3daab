"""Statistics of image keys in LeRobot's form, exact: all of an image's levels are counted."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVELS = 256
NAMES = ("min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99")


class Levels(NamedTuple):
    """What the statistics of some frames are made from.

    Attributes:
        counts: how often each level occurs in each channel, int64 [3, 256].
        frames: in how many frames.
    """

    counts: NDArray[np.int64]
    frames: int


def count_levels(frames: NDArray[np.uint8]) -> Levels:
    """Count the levels of frames.

    Args:
        frames: uint8 [N, H, W, 3].

    Example:
        >>> count_levels(np.zeros((2, 16, 16, 3), np.uint8)).counts[:, 0].tolist()
        [512, 512, 512]
    """
    channels = frames.reshape(-1, 3).T
    counts = np.stack([np.bincount(channel, minlength=LEVELS) for channel in channels])
    return Levels(counts, len(frames))


def add_levels(many: Iterable[Levels]) -> Levels:
    """Count the levels of several lots of frames together.

    Example:
        >>> add_levels([count_levels(np.zeros((2, 16, 16, 3), np.uint8))] * 3).frames
        6
    """
    counts, frames = np.zeros((3, LEVELS), np.int64), 0
    for levels in many:
        counts = counts + levels.counts
        frames += levels.frames
    return Levels(counts, frames)


def image_stats(levels: Levels, names: Collection[str] = NAMES) -> dict[str, Any]:
    """Return statistics in [0, 1] of shape [3, 1, 1], as nested lists.

    lerobot 0.4.4 takes them from some of the frames and squares uint8 for the standard deviation,
    which overflows; so these differ from its own where its own are wrong.

    Args:
        levels: of all frames.
        names: ``min``, ``max``, ``mean``, ``std``, ``count`` and quantiles such as ``q01``.

    Raises:
        ValueError: another name.

    Example:
        >>> image_stats(count_levels(np.full((1, 16, 16, 3), 51, np.uint8)), ["mean", "count"])
        {'mean': [[[0.2]], [[0.2]], [[0.2]]], 'count': [1]}
    """
    counts, values = levels.counts, np.arange(LEVELS) / 255
    total = counts.sum(axis=1)
    mean = counts @ values / total
    found = {
        "min": [values[np.flatnonzero(channel)[0]] for channel in counts],
        "max": [values[np.flatnonzero(channel)[-1]] for channel in counts],
        "mean": mean,
        "std": np.sqrt(np.maximum(0, counts @ values**2 / total - mean**2)),
    }
    stats: dict[str, Any] = {}
    for name in names:
        if name == "count":
            stats[name] = [levels.frames]
            continue
        if name not in found and not (name.startswith("q") and name[1:].isdigit()):
            raise ValueError(f"unknown statistic {name!r} of an image; known are {NAMES}")
        of_name = found[name] if name in found else _quantile(counts, int(name[1:]) / 100)
        stats[name] = [[[float(value)]] for value in of_name]
    return stats


def _quantile(counts: NDArray[np.int64], share: float) -> list[float]:
    below = counts.cumsum(axis=1)
    return [int(np.searchsorted(channel, share * channel[-1])) / 255 for channel in below]
