"""Does a backbone know frames like these? Its error on them, beside what its model card states."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.diffusion.schedule import Schedule

# Held-out frames differ by about 3 dB from one to the next; 8 dB are six times the squared error.
MARGIN_DB = 8.0
CARD_STEPS = 50  # the model card states its figures by inversion steps of so many


def psnr(frames: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the peak signal-to-noise ratio of each frame in dB, float64 [N].

    Example:
        >>> a = np.zeros((1, 8, 8, 3), np.uint8)
        >>> psnr(a, a + 1).round(1).tolist()
        [48.1]
    """
    error = (frames.astype(np.float64) - others) ** 2
    return 10 * np.log10(255**2 / np.maximum(error.mean(axis=(1, 2, 3)), 1e-10))


def expected_psnr(
    figures: Mapping[str, Mapping[str, float]],
    schedule: Schedule,
    size: int,
    alpha_bar: float,
) -> float | None:
    """Return what a model card leads to expect at a frame size and noise level, in dB.

    None beyond the deepest level that the card states.

    Args:
        figures: PSNR in dB by frame size and by inversion steps of 50, as the index has them.
        schedule: the backbone's, which says what noise level the steps are.
        size: side of the frames in pixels; the nearest that the card has is taken.
        alpha_bar: noise level; between those of the card the figures are interpolated.

    Example:
        >>> from stemob_wrappers.diffusion.schedule import SD_SCHEDULE, NoiseSchedule
        >>> schedule = NoiseSchedule.from_config(SD_SCHEDULE)
        >>> expected_psnr({"84": {"0": 30.0, "15": 20.0}}, schedule, 96, 1.0)
        30.0
    """
    nearest = min(figures, key=lambda stated: abs(int(stated) - size))
    points = sorted(
        (schedule.alpha_bar(schedule.timestep(CARD_STEPS, int(steps))), value)
        for steps, value in figures[nearest].items()
    )
    levels, values = zip(*points, strict=True)
    if alpha_bar < levels[0]:
        return None
    return float(np.interp(alpha_bar, levels, values))


def warn_if_unknown(found: float, expected: float | None, backbone: str) -> None:
    """Warn where frames come back far worse than the backbone's model card leads to expect.

    Example:
        >>> warn_if_unknown(27.0, 28.0, "embedded")
    """
    if expected is not None and found < expected - MARGIN_DB:
        warnings.warn(
            f"backbone {backbone!r} does not know frames like these: they come back at "
            f"{found:.1f} dB PSNR, where its model card leads to expect {expected:.1f}. Objects "
            "may be lost or invented. Look at them (stemob invert IN OUT --grid), and train a "
            "backbone on your own scenes: stemob train-backbone --out DIR",
            stacklevel=2,
        )
