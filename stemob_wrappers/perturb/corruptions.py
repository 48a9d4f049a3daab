"""Changes of a finished picture, by name: exposure, colour, noise, blur, compression, occlusion.

Every corruption is a function of a frame (uint8 [H, W, 3], RGB), a magnitude, a generator for what
stays the same through an episode, and one for what differs between frames.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.extras import needs

with needs("images"):
    import cv2


Frame = NDArray[np.uint8]
Rng = np.random.Generator

REFERENCE_WIDTH = 84
"""Lengths are in pixels of a frame this wide, and grow with the frame."""


@dataclass(frozen=True)
class Corruption:
    """One kind of change of a picture.

    Attributes:
        name: as users write it.
        meaning: what the magnitude measures, with its unit.
        bounds: six magnitudes; severity s lies between the s-th and the next.
        change: applies it to one frame.
        elsewhere: the ranges of others, with their source.
    """

    name: str
    meaning: str
    bounds: tuple[float, float, float, float, float, float]
    change: Callable[[Frame, float, Rng, Rng], Frame]
    elsewhere: str = ""

    def magnitude(self, severity: int, episode: int) -> float:
        """How far this episode goes."""
        rng = self.generator(episode)
        return float(rng.uniform(self.bounds[severity - 1], self.bounds[severity]))

    def apply(self, frame: Frame, magnitude: float, episode: int, rng: Rng) -> Frame:
        """The changed frame, an array of its own.

        Args:
            frame: uint8 [H, W, 3], RGB.
            magnitude: as `magnitude` gives it.
            episode: number of the episode, from which sides, hues and places are drawn.
            rng: for what differs from frame to frame.
        """
        return self.change(frame, magnitude, self.generator(episode, 1), rng)

    def generator(self, episode: int, purpose: int = 0) -> Rng:
        """A generator that the episode and this corruption alone decide."""
        return np.random.default_rng([episode, zlib.crc32(self.name.encode()), purpose])


# --- exposure: tables of 256 levels ---------------------------------------------------------------

_LEVELS = np.arange(256, dtype=np.float64)


def brightness(frame: Frame, levels: float, episode: Rng, rng: Rng) -> Frame:
    """Add the same number of grey levels everywhere, or take it away."""
    return _look_up(frame, _LEVELS + _either_sign(episode) * levels)


def contrast(frame: Frame, factor: float, episode: Rng, rng: Rng) -> Frame:
    """Stretch or squeeze the levels about the frame's mean."""
    mean = float(frame.mean())
    return _look_up(frame, mean + (_LEVELS - mean) * factor ** _either_sign(episode))


def gamma(frame: Frame, exponent: float, episode: Rng, rng: Rng) -> Frame:
    """Bend the levels: darker or brighter middle tones, black and white as they are."""
    return _look_up(frame, 255.0 * (_LEVELS / 255.0) ** exponent ** _either_sign(episode))


def colour_cast(frame: Frame, saturation: float, episode: Rng, rng: Rng) -> Frame:
    """Multiply by one tint, as a wrong white balance does."""
    hue = np.array([[[episode.uniform(0.0, 180.0), 255, 255]]]).astype(np.uint8)
    pure = cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[0, 0] / 255.0
    tint = 1.0 - saturation * (1.0 - pure)
    tables = _LEVELS[:, None] * (tint / tint.mean())
    return _look_up(frame, tables)


# --- colour: hue and saturation -------------------------------------------------------------------


def hue(frame: Frame, degrees: float, episode: Rng, rng: Rng) -> Frame:
    """Turn all hues."""
    hsv = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV)
    turn = round(_either_sign(episode) * degrees / 2.0)  # OpenCV counts hues in 2 degrees
    hsv[..., 0] = (hsv[..., 0].astype(np.int16) + turn) % 180
    return _uint8(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


def saturation(frame: Frame, factor: float, episode: Rng, rng: Rng) -> Frame:
    """Make colours paler or stronger."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    return _clip(grey + (frame - grey) * factor ** _either_sign(episode))


# --- noise: drawn for each frame ------------------------------------------------------------------


def gaussian_noise(frame: Frame, levels: float, episode: Rng, rng: Rng) -> Frame:
    """Add noise of this standard deviation."""
    return _clip(frame + levels * rng.standard_normal(frame.shape, np.float32))


def shot_noise(frame: Frame, share: float, episode: Rng, rng: Rng) -> Frame:
    """Count photons: so few that a white pixel varies by this share."""
    photons = 1.0 / share**2
    return _clip(rng.poisson(frame * (photons / 255.0)) * (255.0 / photons))


# --- optics and transmission ----------------------------------------------------------------------


def blur(frame: Frame, pixels: float, episode: Rng, rng: Rng) -> Frame:
    """Gaussian blur."""
    return _uint8(cv2.GaussianBlur(frame, (0, 0), _scaled(frame, pixels)))


def motion_blur(frame: Frame, pixels: float, episode: Rng, rng: Rng) -> Frame:
    """Smear along one direction."""
    length = _scaled(frame, pixels)
    reach = int(np.ceil(length / 2.0)) + 1
    angle = episode.uniform(0.0, np.pi)
    tip = 0.5 * length * np.array([np.cos(angle), np.sin(angle)])
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for point in np.linspace(-tip, tip, 4 * reach):  # shared among the four pixels around it
        x, y = np.floor(point).astype(int) + reach
        right, down = point + reach - (x, y)
        kernel[y, x] += (1.0 - right) * (1.0 - down)
        kernel[y, x + 1] += right * (1.0 - down)
        kernel[y + 1, x] += (1.0 - right) * down
        kernel[y + 1, x + 1] += right * down
    return _uint8(cv2.filter2D(frame, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE))


def jpeg(frame: Frame, loss: float, episode: Rng, rng: Rng) -> Frame:
    """Compress as JPEG and decode."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, max(round(100.0 - loss), 1)]
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), quality)
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return _uint8(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB))


def occlusion(frame: Frame, share: float, episode: Rng, rng: Rng) -> Frame:
    """Hide a rectangle, the same one through the episode, behind one colour."""
    aspect = episode.uniform(0.6, 1.6)
    height, width = frame.shape[:2]
    rows = min(round(np.sqrt(share * aspect) * height), height)
    columns = min(round(np.sqrt(share / aspect) * width), width)
    top = round(episode.uniform(0.0, height - rows))
    left = round(episode.uniform(0.0, width - columns))
    hidden = frame.copy()
    hidden[top : top + rows, left : left + columns] = episode.integers(0, 256, 3)
    return hidden


# --- registry -------------------------------------------------------------------------------------

_IMAGENET_C = "ImageNet-C"
CORRUPTIONS: dict[str, Corruption] = {
    corruption.name: corruption
    for corruption in (
        Corruption("brightness", "grey levels, ±", (5, 15, 30, 50, 75, 105), brightness),
        Corruption("contrast", "factor, or its inverse", (1.1, 1.25, 1.5, 2, 2.75, 4), contrast),
        Corruption("gamma", "exponent, or its inverse", (1.1, 1.25, 1.5, 2, 2.75, 4), gamma),
        Corruption("hue", "degrees, ±", (4, 10, 22, 45, 90, 180), hue),
        Corruption("saturation", "factor, or its inverse", (1.15, 1.4, 1.8, 2.5, 4, 8), saturation),
        Corruption(
            "colour_cast",
            "saturation of the tint, at the same brightness",
            (0.05, 0.15, 0.3, 0.5, 0.7, 0.95),
            colour_cast,
        ),
        Corruption(
            "gaussian_noise",
            "standard deviation in grey levels",
            (3, 7, 14, 25, 42, 70),
            gaussian_noise,
            f"{_IMAGENET_C}: 20, 31, 46, 66, 97",
        ),
        Corruption(
            "shot_noise",
            "standard deviation of a white pixel, as a share of its value",
            (0.03, 0.06, 0.1, 0.17, 0.28, 0.45),
            shot_noise,
            f"{_IMAGENET_C}: 60, 25, 12, 5, 3 photons, that is 0.13, 0.2, 0.29, 0.45, 0.58",
        ),
        Corruption(
            "blur",
            f"standard deviation in pixels of a frame {REFERENCE_WIDTH} wide",
            (0.4, 0.7, 1.1, 1.7, 2.6, 4),
            blur,
            "LIBERO-Plus: 1 to 10 px (10 levels), whatever the frame",
        ),
        Corruption(
            "motion_blur",
            f"length in pixels of a frame {REFERENCE_WIDTH} wide, any direction",
            (2, 3.5, 5.5, 8.5, 13, 20),
            motion_blur,
            "LIBERO-Plus: 10 levels, within 45° of the horizontal",
        ),
        Corruption("jpeg", "100 - quality", (40, 60, 75, 85, 92, 97), jpeg),
        Corruption(
            "occlusion", "share of the frame", (0.01, 0.03, 0.07, 0.13, 0.22, 0.35), occlusion
        ),
    )
}
"""Every corruption by name, in the order they are applied."""

CORRUPTION_GROUPS: dict[str, tuple[str, ...]] = {"corruption": tuple(CORRUPTIONS)}
"""A group stands for one of its members an episode, not for all of them on top of each other."""


def _look_up(frame: Frame, tables: NDArray[Any]) -> Frame:
    levels = _clip(tables)
    table = levels.reshape(1, 256, -1)
    return _uint8(cv2.LUT(frame, table if table.shape[-1] == 3 else table[..., 0]))


def _clip(values: Any) -> Frame:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _uint8(image: Any) -> Frame:
    return np.asarray(image, np.uint8)


def _scaled(frame: Frame, pixels: float) -> float:
    return pixels * frame.shape[1] / REFERENCE_WIDTH


def _either_sign(rng: Rng) -> int:
    return 1 if rng.random() < 0.5 else -1
