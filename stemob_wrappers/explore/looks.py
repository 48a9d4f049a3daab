"""Two looks of one state beside each other: raw, stem, what differs, and how far they are apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.perturb.corruptions import CORRUPTIONS
from stemob_wrappers.splits import SEEDS

Frame = NDArray[np.uint8]
GAIN = 2  # by which a picture of differences is brighter than they are


@dataclass(frozen=True)
class Look:
    """One look of a state.

    Attributes:
        raw: the frame, uint8 [H, W, 3], at the size of the stem frame.
        stem: its stem frame, uint8 [H, W, 3].
    """

    raw: Frame
    stem: Frame


@dataclass(frozen=True)
class Distances:
    """How far two looks of one state are apart.

    Attributes:
        raw, stem: mean distance of their pixels, in grey levels of 255.
        latents: root mean square distance of their latents as they are encoded.
        noised: likewise at the config's level, noise included, as they are decoded.
    """

    raw: float
    stem: float
    latents: float
    noised: float


@dataclass(frozen=True)
class Seen:
    """What one setting gives.

    Attributes:
        looks: the frame as it is and, if there is one, the changed look.
        distances: between the two, or None.
        level: inversion steps, and of how many.
        alpha_bar: the share of signal variance that is left.
        milliseconds: that one stem frame takes.
        engine: what computed it.
        notes: what the backbone warns of.
    """

    looks: tuple[Look, ...]
    distances: Distances | None
    level: tuple[int, int]
    alpha_bar: float
    milliseconds: float
    engine: str
    notes: tuple[str, ...] = ()


def difference(one: Frame, other: Frame) -> Frame:
    """A picture of how far two frames are apart at each pixel: black where they are equal.

    Args:
        one, other: uint8 [H, W, 3].

    Returns:
        uint8 [H, W, 3], the distance of each channel times :data:`GAIN`.

    Example:
        >>> black, white = np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 9, np.uint8)
        >>> difference(black, white).tolist()
        [[[18, 18, 18]]]
    """
    return np.minimum(GAIN * np.abs(one.astype(int) - other), 255).astype(np.uint8)


def pixel_distance(one: Frame, other: Frame) -> float:
    """Mean distance of two frames in grey levels, 0 to 255.

    Example:
        >>> pixel_distance(np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 9, np.uint8))
        9.0
    """
    return float(np.abs(one.astype(int) - other).mean())


def latent_distance(latents: Sequence[NDArray[np.float32]]) -> float:
    """Root mean square distance of two latents, float [C, h, w].

    Example:
        >>> latent_distance([np.zeros((2, 1, 1)), np.full((2, 1, 1), 0.5)])
        0.5
    """
    one, other = latents
    return float(np.sqrt(np.square(one - other).mean()))


def corrupt(frame: Frame, factor: str, severity: int, draw: int = 0) -> Frame:
    """Change a finished picture as `perturb.PixelPerturbation` does in one episode.

    Args:
        frame: uint8 [H, W, 3].
        factor: a name in `perturb.corruptions.CORRUPTIONS`.
        severity: 1 (slight) to 5 (severe).
        draw: which of its draws, 0 to 999999.

    Returns:
        uint8 [H, W, 3], an array of its own.

    Raises:
        KeyError: an unknown factor.

    Example:
        >>> corrupt(np.full((8, 8, 3), 100, np.uint8), "brightness", severity=2)[0, 0].tolist()
        [75, 75, 75]
    """
    corruption, episode = CORRUPTIONS[factor], SEEDS["test"][draw]
    magnitude = corruption.magnitude(severity, episode)
    return corruption.apply(frame, magnitude, episode, np.random.default_rng(episode))
