"""Frames made smaller by area averaging, and given back at their own size; numpy or torch.

The result of OpenCV's INTER_AREA within one grey level, without OpenCV: a pixel of the small frame
is the mean of the area that it covers, parts of pixels counted by their share.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.config import StemConfig
from stemob_wrappers.stem.frames import FrameLayout


def small_size(config: StemConfig, height: int, width: int) -> tuple[int, int]:
    """Return (height, width) that a frame is inverted at under a config.

    Raises:
        ValueError: a frame is smaller than what it is to be made.

    Example:
        >>> small_size(StemConfig(resize=(128, 128)), 480, 640)
        (96, 128)
    """
    if config.resize is None:
        return height, width
    if config.aspect == "keep":
        scale = min(config.resize[0] / height, config.resize[1] / width, 1.0)
        return max(1, round(height * scale)), max(1, round(width * scale))
    if config.resize[0] > height or config.resize[1] > width:
        raise ValueError(
            f"resize={config.resize} makes frames smaller, received a frame of {(height, width)}; "
            "take a smaller resize, or aspect='keep', which leaves small frames alone"
        )
    return config.resize


def given_size(config: StemConfig, height: int, width: int) -> tuple[int, int]:
    """Return (height, width) of the stem frame of a frame of a size, as a pipeline gives it back.

    Example:
        >>> given_size(StemConfig(resize=(128, 128), output="small"), 480, 640)
        (96, 128)
    """
    if config.output == "small":
        return small_size(config, height, width)
    return height, width


def given_layout(config: StemConfig, layout: FrameLayout) -> FrameLayout:
    """Return how the stem frames of frames lie in an array, as a pipeline gives them back.

    Raises:
        ValueError: as for :func:`small_size`.

    Example:
        >>> config = StemConfig(resize=(16, 16), aspect="crop", output="small")
        >>> given_layout(config, FrameLayout(32, 64, channels_first=True)).shape
        (3, 16, 16)
    """
    height, width = given_size(config, layout.height, layout.width)
    return dataclasses.replace(layout, height=height, width=width)


def make_small(config: StemConfig, frames: Any) -> Any:
    """Return uint8 frames [N, H, W, 3] at the size that they are inverted at, of the same kind."""
    height, width = frames.shape[1:3]
    size = small_size(config, height, width)
    if size == (height, width):
        return frames
    if config.aspect == "crop":
        frames = frames[(slice(None), *_middle(size, height, width))]
    if isinstance(frames, np.ndarray):
        return np.stack([average_areas(frame, size) for frame in frames])
    torch: Any = importlib.import_module("torch")

    if frames.device.type == "cpu":
        return torch.from_numpy(np.stack([average_areas(f, size) for f in frames.numpy()]))
    return average_areas_on_device(frames, size)


def give_back(config: StemConfig, stems: Any, height: int, width: int) -> Any:
    """Return stem frames [N, h, w, 3] at the size to be given back, by nearest neighbour."""
    small = stems.shape[1:3]
    if config.resize is None or given_size(config, height, width) == tuple(small):
        return stems
    rows, columns = (_nearest(*sizes) for sizes in zip((height, width), small, strict=True))
    is_tensor: bool = not isinstance(stems, np.ndarray)
    if is_tensor:
        return stems[:, :, columns.tolist()][:, rows.tolist()]
    # Whole pixels are copied, three bytes at once, and then whole rows.
    whole: NDArray[Any] = np.ascontiguousarray(cast(NDArray[Any], stems))
    pixels = whole.view("V3")[..., 0]
    wide = pixels.take(columns, axis=2).take(rows, axis=1)
    return wide[..., None].view(np.uint8)


def average_areas(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Shrink a uint8 frame [H, W, 3] to ``size`` (height, width), each at most the frame's.

    Example:
        >>> average_areas(np.arange(24, dtype=np.uint8).reshape(2, 4, 3), (1, 2))[0].tolist()
        [[8, 8, 10], [14, 14, 16]]
    """
    height, width = frame.shape[:2]
    rows = _sum_rows(np.ascontiguousarray(frame).reshape(height, width * 3), size[0])
    # Channels first, columns are summed by one product of matrices.
    lines = np.ascontiguousarray(rows.reshape(size[0], width, 3).swapaxes(1, 2)).reshape(-1, width)
    means = lines @ _shares(width, size[1]) * np.float32(size[0] * size[1] / (height * width))
    levels = np.rint(means, out=means).astype(np.uint8)
    return np.ascontiguousarray(levels.reshape(size[0], 3, size[1]).swapaxes(1, 2))


def average_areas_on_device(frames: Any, size: tuple[int, int]) -> Any:
    """The same of a torch tensor [N, H, W, 3], by two products of matrices on its device."""
    torch: Any = importlib.import_module("torch")

    height, width = frames.shape[1:3]
    shares = [_shares(n, m) * np.float32(m / n) for n, m in zip((height, width), size, strict=True)]
    down, across = (torch.from_numpy(part).to(frames.device) for part in shares)
    means = torch.einsum("nhwc,hy,wx->nyxc", frames.float(), down, across)
    return means.round_().clamp_(0, 255).to(torch.uint8).contiguous()


def _sum_rows(rows: NDArray[np.uint8], count: int) -> NDArray[np.float32]:
    """Add up [H, L] by rows to [count, L], rows that lie in two sums by their shares."""
    height = len(rows)
    if count == height:
        return rows.astype(np.float32)
    edges = np.arange(count + 1) * height / count
    whole = np.minimum(edges.astype(np.int64), height - 1)
    sums = _add_up(rows, whole[:-1], height).astype(np.float32)
    shares = (edges - whole).astype(np.float32)[1:-1, None]
    if shares.any():
        parts = rows[whole[1:-1]] * shares
        sums[:-1] += parts
        sums[1:] -= parts
    return sums


def _add_up(rows: NDArray[np.uint8], starts: NDArray[np.int64], height: int) -> NDArray[Any]:
    """Add up the rows from each start to the next; 257 rows of 255 fill 16 bits."""
    lengths = np.diff([*starts, height])
    kind = np.uint16 if lengths.max() <= 257 else np.uint32
    sums = rows[starts].astype(kind)
    for step in range(1, lengths.max()):
        longer = lengths > step
        if longer.all():
            sums += rows[starts + step]
        else:
            sums[longer] += rows[starts[longer] + step]
    return sums


@functools.lru_cache(maxsize=32)
def _shares(length: int, count: int) -> NDArray[np.float32]:
    """How much of each of ``length`` pixels each of ``count`` areas covers: [length, count]."""
    edges = np.arange(count + 1) * length / count
    pixels = np.arange(length)[:, None]
    covered = np.minimum(pixels + 1, edges[1:]) - np.maximum(pixels, edges[:-1])
    return np.maximum(covered, 0).astype(np.float32)


@functools.lru_cache(maxsize=32)
def _nearest(length: int, small: int) -> NDArray[np.int64]:
    """Which of ``small`` pixels each of ``length`` lies in."""
    return (2 * np.arange(length) + 1) * small // (2 * length)


def _middle(size: tuple[int, int], height: int, width: int) -> tuple[slice, slice]:
    """The largest part, in the middle of a frame, that has the aspect ratio of a size."""
    scale = min(height / size[0], width / size[1])
    kept = round(size[0] * scale), round(size[1] * scale)
    first = (height - kept[0]) // 2, (width - kept[1]) // 2
    return slice(first[0], first[0] + kept[0]), slice(first[1], first[1] + kept[1])
