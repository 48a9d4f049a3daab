"""Which view of a scene frames are: how turned, coloured and drawn, and from which camera."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
Draw = Callable[[str, str], Frames]

TURNS = ("", "flipped", "mirrored", "flipped and mirrored")
CHANNELS = ("RGB", "BGR", "RBG", "GRB", "GBR", "BRG")
SAME = 2.0  # mean grey levels apart: other drivers draw edges differently
ALIKE = 3.0  # the same, once a tone curve is fitted


@dataclass(frozen=True)
class View:
    """How frames came of a scene.

    Attributes:
        camera: the camera's name.
        quality: ``"full"`` as robosuite draws, ``"fast"`` without shadows, reflections and
            multisampling.
        turn: one of `TURNS`; flipped is upside down, mirrored is left for right.
        channels: order of the colours as stored.
        tone: the tone curve that was applied, in words; "" for none.
        apart: mean grey levels between the frames and this view of the scene.
    """

    camera: str
    quality: str = "full"
    turn: str = ""
    channels: str = "RGB"
    tone: str = ""
    apart: float = np.inf

    def apply(self, drawn: Frames) -> Frames:
        """Turn frames that were drawn upright in RGB into this view; not its tone curve.

        Example:
            >>> drawn = np.arange(6, dtype=np.uint8).reshape(1, 1, 2, 3)
            >>> View("front", turn="mirrored").apply(drawn).tolist()
            [[[[3, 4, 5], [0, 1, 2]]]]
        """
        return self._turn(drawn)[..., ["RGB".index(colour) for colour in self.channels]]

    def undo(self, stored: Frames) -> Frames:
        """Turn frames that are stored in this view upright and into RGB.

        Example:
            >>> drawn = np.arange(6, dtype=np.uint8).reshape(1, 1, 2, 3)
            >>> view = View("front", turn="mirrored", channels="GBR")
            >>> view.undo(view.apply(drawn)).tolist()
            [[[[0, 1, 2], [3, 4, 5]]]]
        """
        return self._turn(stored)[..., [self.channels.index(colour) for colour in "RGB"]]

    def _turn(self, frames: Frames) -> Frames:
        rows = slice(None, None, -1 if "flipped" in self.turn else 1)
        columns = slice(None, None, -1 if "mirrored" in self.turn else 1)
        return frames[:, rows, columns]


def find_view(stored: Frames, draw: Draw, cameras: Iterable[str]) -> View:
    """Return the view that explains frames best, one without a tone curve if any does.

    Args:
        stored: uint8 [N, H, W, 3].
        draw: the same scenes from a camera at a quality, upright, in RGB, of the same shape.
        cameras: names, that which they should be of first.

    Returns:
        the view; its ``apart`` is above `ALIKE` where none explains them.

    Example:
        >>> frames = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), np.uint8)
        >>> view = find_view(frames[:, ::-1, :, ::-1], lambda camera, quality: frames, ["front"])
        >>> view.turn, view.channels, view.apart
        ('flipped', 'BGR', 0.0)
    """
    first, *others = cameras
    best = View(first)
    for group in ([first], others):
        views = [
            replace(view, apart=_apart(stored, view.apply(draw(view.camera, view.quality))))
            for view in _views(group)
        ]
        best = min([best, *views], key=lambda view: view.apart)
        if best.apart <= SAME:
            return best
    fitted = [
        _fit_tone(stored, view, draw(view.camera, view.quality))
        for view in _views([first, *others])
    ]
    nearest = min(fitted, key=lambda view: view.apart)
    return nearest if nearest.apart <= ALIKE else best


def _views(cameras: Iterable[str]) -> Iterator[View]:
    for camera, quality, channels, turn in itertools.product(
        cameras, ("full", "fast"), CHANNELS, TURNS
    ):
        yield View(camera, quality, turn, channels)


def _apart(one: Frames, other: Frames) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean())


def _fit_tone(stored: Frames, view: View, drawn: Frames) -> View:
    """The view with the tone curve that fits best: a grey level stored for each one drawn."""
    plain = view.apply(drawn)
    curve, counts = _mean_by_level(plain, stored)
    apart = float(np.abs(curve[plain] - stored).mean())
    return replace(view, tone=_name_tone(curve, counts), apart=apart)


def _mean_by_level(
    drawn: Frames, stored: Frames
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean of what is stored where each grey level is drawn, and how often it is."""
    counts = np.bincount(drawn.ravel(), minlength=256).astype(float)
    sums = np.bincount(drawn.ravel(), weights=stored.ravel().astype(float), minlength=256)
    return sums / np.maximum(counts, 1), counts


def _name_tone(curve: NDArray[np.float64], counts: NDArray[np.float64]) -> str:
    """A tone curve in words: a gamma, a contrast and brightness, or one of its own."""
    levels = np.flatnonzero(counts * (curve > 2) * (curve < 253))  # not where it was cut off
    levels = levels[(levels > 2) & (levels < 253)]
    if len(levels) < 3:
        return "a tone curve of its own"
    weights = np.sqrt(counts[levels])
    seen = curve[levels]
    slope, offset = np.polyfit(levels, seen, 1, w=weights)
    logs = np.log(levels / 255), np.log(seen / 255)
    gamma = float((weights**2 * logs[0] * logs[1]).sum() / (weights**2 * logs[0] ** 2).sum())
    straight = np.abs(seen - slope * levels - offset).mean()
    curved = np.abs(seen - 255 * (levels / 255) ** gamma).mean()
    if min(straight, curved) > ALIKE:
        return "a tone curve of its own"
    if curved < straight:
        return f"gamma {gamma:.2f}"
    return f"contrast times {slope:.2f}, brightness {offset:+.0f} grey levels"
