"""Frame arrays: checks, layouts, float and uint8; numpy or torch alike.

The package works on *frames*: uint8 [N, H, W, 3], RGB, upright. A :class:`FrameLayout` says how
such frames lie in somebody's image array (channels first, float, stacked) and converts both ways.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Array = Any  # a numpy array or a torch tensor; this module imports no torch


@dataclass(frozen=True)
class FrameLayout:
    """How ``count`` RGB frames lie in one image array.

    Attributes:
        height, width: of one frame, in pixels.
        channels_first: True for [3, H, W], False for [H, W, 3].
        stack: ``"none"`` (one frame), ``"leading"`` ([K, ...]) or ``"channels"`` (3 K channels).
        count: K, how many frames are stacked; 1 for ``"none"``.
        floating: True for floats in [0, 1], False for uint8.

    Example:
        >>> layout = FrameLayout(84, 84, channels_first=True)
        >>> layout.to_frames(np.zeros((3, 84, 84), np.uint8)).shape
        (1, 84, 84, 3)
    """

    height: int
    width: int
    channels_first: bool = False
    stack: Literal["none", "leading", "channels"] = "none"
    count: int = 1
    floating: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the image array, without batch dimensions."""
        channels = 3 * self.count if self.stack == "channels" else 3
        height, width = self.height, self.width
        image = (channels, height, width) if self.channels_first else (height, width, channels)
        return (self.count, *image) if self.stack == "leading" else image

    def to_frames(self, array: Array) -> Array:
        """Take the frames out of an image array with any leading batch dimensions.

        Args:
            array: uint8, or float in [0, 1], of shape [..., *shape]; numpy or torch.

        Returns:
            uint8 [B * count, H, W, 3] of the same kind, contiguous.

        Raises:
            ValueError: the shape does not end in ``shape``, or a float lies outside [0, 1].
            TypeError: the dtype is not the layout's.
        """
        if tuple(array.shape[-len(self.shape) :]) != self.shape:
            raise ValueError(
                f"image must have shape [..., {', '.join(map(str, self.shape))}], "
                f"received {tuple(array.shape)}"
            )
        pixels = to_uint8(array) if self.floating else array
        if not _is_uint8(pixels):
            raise TypeError(f"image must be uint8, received {array.dtype}")
        height, width, count = self.height, self.width, self.count
        if self.channels_first:
            pixels = _move_axis(pixels.reshape(-1, count, 3, height, width), 2, 4)
        elif self.stack == "channels":
            pixels = _move_axis(pixels.reshape(-1, height, width, count, 3), 3, 1)
        return _contiguous(pixels.reshape(-1, height, width, 3))

    def from_frames(self, frames: Array, like: Array) -> Array:
        """Lay frames out as ``like``, the image array that they were taken from.

        Returns:
            an array of ``like``'s dtype and kind that shares no memory with it; of its shape too,
            or, of frames of another size, with their height and width in it.
        """
        height, width = frames.shape[-3:-1]
        count, own = self.count, dataclasses.replace(self, height=height, width=width)
        batch = tuple(like.shape[: like.ndim - len(self.shape)])
        pixels = frames.reshape(-1, count, height, width, 3)
        if self.channels_first:
            pixels = _move_axis(pixels, 4, 2)
        elif self.stack == "channels":
            pixels = _move_axis(pixels, 1, 3)
        pixels = _contiguous(pixels.reshape((*batch, *own.shape)))
        return to_float(pixels, like.dtype) if self.floating else pixels


def check_frames(frames: Any) -> None:
    """Raise unless ``frames`` is uint8 [N, H, W, 3], numpy or torch, with no empty dimension.

    Raises:
        TypeError: not an array, or not uint8.
        ValueError: another shape, or a dimension of size 0.

    Example:
        >>> check_frames(np.zeros((2, 84, 84, 3), np.uint8))
    """
    if not hasattr(frames, "shape") or not hasattr(frames, "dtype"):
        raise TypeError(
            f"frames must be a numpy array or torch tensor, received {type(frames).__name__}"
        )
    shape = tuple(frames.shape)
    if len(shape) != 4 or shape[-1] != 3:
        hint = "; add a leading axis for a single frame" if len(shape) == 3 else ""
        raise ValueError(f"frames must have shape [N, H, W, 3] (RGB), received {shape}{hint}")
    if not _is_uint8(frames):
        raise TypeError(
            f"frames must be uint8, received {frames.dtype}; "
            "convert floats in [0, 1] with stemob_wrappers.stem.frames.to_uint8"
        )
    if 0 in shape:
        raise ValueError(f"frames must not have an empty dimension, received shape {shape}")


def to_uint8(array: Array) -> Array:
    """Turn floats in [0, 1] into uint8, to the nearest of the 256 levels.

    Raises:
        TypeError: not floating point.
        ValueError: NaN, a value outside [0, 1], or nothing at all.

    Example:
        >>> to_uint8(np.array([0.0, 0.5, 1.0], np.float32)).tolist()
        [0, 128, 255]
    """
    if "float" not in str(array.dtype):
        raise TypeError(f"expected floats in [0, 1], received {array.dtype}")
    if 0 in array.shape:
        raise ValueError(f"float images must not be empty, received shape {tuple(array.shape)}")
    low, high = float(array.min()), float(array.max())
    if np.isnan(low) or np.isnan(high):
        raise ValueError("float images must be finite, received NaN; check what renders them")
    if low < 0.0 or high > 1.0:
        raise ValueError(
            f"float images must lie in [0, 1], received values from {low:g} to {high:g}; "
            "divide by 255 if they are in [0, 255]"
        )
    levels = (array * 255).round()
    return levels.astype(np.uint8) if _is_numpy(levels) else levels.byte()


def to_float(array: Array, dtype: Any) -> Array:
    """Turn uint8 into floats in [0, 1] of the given numpy or torch dtype.

    Example:
        >>> to_float(np.array([255], np.uint8), np.float32).tolist()
        [1.0]
    """
    if _is_numpy(array):
        return array.astype(dtype) / np.asarray(255, dtype)
    return array.to(dtype) / 255


def as_numpy(array: Array) -> Array:
    """Return a numpy array of a numpy array or a torch tensor on any device.

    Example:
        >>> as_numpy(np.zeros(2)).shape
        (2,)
    """
    return array if _is_numpy(array) else array.numpy(force=True)


def round_up(value: int, multiple: int) -> int:
    """Return the smallest multiple of ``multiple`` that is not below ``value``.

    Example:
        >>> round_up(84, 8)
        88
    """
    return -(-value // multiple) * multiple


def _is_numpy(array: Array) -> bool:
    return isinstance(array, np.ndarray)


def _is_uint8(array: Array) -> bool:
    if _is_numpy(array):
        return array.dtype == np.uint8
    return str(array.dtype) == "torch.uint8"


def _move_axis(array: Array, source: int, destination: int) -> Array:
    if _is_numpy(array):
        return np.moveaxis(array, source, destination)
    return array.movedim(source, destination)


def _contiguous(array: Array) -> Array:
    return np.ascontiguousarray(array) if _is_numpy(array) else array.contiguous()


# Smaller images than this are taken for something else, such as a stack of coordinates.
MIN_SIDE = 8


# Words of names that three-channel arrays have which are no colour picture.
NOT_COLOUR = frozenset(
    word + ending
    for word in ("depth", "segmentation", "mask", "normal", "flow")
    for ending in ("", "s")
)


def named_as_no_colour(name: str) -> bool:
    """Whether a word of a name says depth, segmentation, mask, normal or flow.

    Words end at everything that is no letter, and where a capital follows a small letter.

    Example:
        >>> [named_as_no_colour(name) for name in ("eye_depth0", "frontDepth", "flower_cam")]
        [True, True, False]
    """
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
    return any(word.lower() in NOT_COLOUR for word in words)


def find_layout(shape: tuple[int, ...], dtype: Any) -> FrameLayout | None:
    """Return how RGB frames lie in an array of a shape and dtype, or None where they do not.

    This is what an image is, for spaces and for recorded arrays: uint8, or floats (in [0, 1]), of
    shape [H, W, 3], [3, H, W], [K, H, W, 3], [K, 3, H, W], [H, W, 3 K] or [3 K, H, W].

    Example:
        >>> find_layout((12, 84, 84), np.uint8).count
        4
        >>> find_layout((84, 84, 4), np.uint8) is None
        True
    """
    floating = np.issubdtype(dtype, np.floating)
    if not floating and np.dtype(dtype) != np.uint8:
        return None
    if len(shape) == 4:
        inner = _single_image(shape[1:], stacked=False)
        return inner and FrameLayout(*inner[:3], "leading", shape[0], bool(floating))
    if len(shape) == 3:
        inner = _single_image(shape, stacked=True)
        if inner is not None:
            stack = "none" if inner[3] == 1 else "channels"
            return FrameLayout(*inner[:3], stack, inner[3], bool(floating))
    return None


def _single_image(shape: tuple[int, ...], stacked: bool) -> tuple[int, int, bool, int] | None:
    """Return (height, width, channels_first, frames) of a three-dimensional image shape."""
    for channels_first in (False, True):
        channels = shape[0] if channels_first else shape[-1]
        height, width = shape[1:] if channels_first else shape[:2]
        if min(height, width) < MIN_SIDE or channels % 3 or not channels:
            continue
        if channels == 3 or (stacked and channels < min(height, width)):
            return height, width, channels_first, channels // 3
    return None
