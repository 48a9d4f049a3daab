"""The images of one demo of a robomimic file: found, named, read and inverted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import h5py
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from stemob_wrappers.datasets.hdf5.copy import address
from stemob_wrappers.datasets.stems import CorruptSourceError, Item, Stems
from stemob_wrappers.stem.frames import FrameLayout, named_as_no_colour
from stemob_wrappers.wrappers.spaces import image_layout

GROUPS = ("obs", "next_obs")


def find_demo_images(demo: h5py.Group) -> dict[str, tuple[h5py.Dataset, FrameLayout]]:
    """Return every RGB image data set below ``obs`` and ``next_obs``, once if it has two names.

    Keys whose name speaks of depth, segmentation, mask, normal or flow are left out.
    """
    found: dict[int, tuple[str, h5py.Dataset, FrameLayout]] = {}
    for group in GROUPS:
        if group in demo:
            for path, dataset in _datasets(demo[group], group):
                layout = None
                if dataset.dtype == np.uint8 and dataset.ndim >= 4:
                    layout = image_layout(Box(0, 255, dataset.shape[1:], np.uint8))
                if layout is not None:
                    found.setdefault(address(dataset), (path, dataset, layout))
    return {path: (dataset, layout) for path, dataset, layout in found.values()}


def row_names(path: str, first: int, count: int) -> list[str]:
    """Names of the frames from ``first`` on of an image; next_obs[t] is obs[t + 1]: named so.

    Example:
        >>> row_names("next_obs/front", 0, 2) == row_names("obs/front", 1, 2)
        True
    """
    name, first = path.split("/", 1)[1], first + path.startswith("next_")
    return [f"{name} {first + row}" for row in range(count)]


def same_frames(images: Iterable[str]) -> dict[str, list[str]]:
    """Paths by image name: ``obs/a`` and ``next_obs/a`` hold the same frames, one step apart."""
    by_name: dict[str, list[str]] = {}
    for path in images:
        by_name.setdefault(path.split("/", 1)[1], []).append(path)
    return by_name


def invert_block(
    item: Item,
    stems: Stems,
    images: Mapping[str, tuple[h5py.Dataset, FrameLayout]],
    read: Mapping[str, NDArray[np.uint8]],
    start: int,
) -> dict[str, NDArray[np.uint8]]:
    """Invert the frames of ``obs`` and ``next_obs`` in one call, so that shared ones go once."""
    frames = {path: images[path][1].to_frames(array) for path, array in read.items() if len(array)}
    rows = [
        name
        for path, array in frames.items()
        for name in row_names(path, start * images[path][1].count, len(array))
    ]
    batch = np.concatenate(list(frames.values()))
    inverted = stems(batch, item.draw, episode=item.source, rows=rows)
    result, first = {}, 0
    for path, array in frames.items():
        stem = inverted[first : first + len(array)]
        result[path] = images[path][1].from_frames(stem, read[path])
        first += len(array)
    return result


def read_rows(dataset: h5py.Dataset, start: int, stop: int) -> NDArray[np.uint8]:
    """Read rows of an image.

    Raises:
        CorruptSourceError: they cannot be read.
    """
    try:
        return dataset[start:stop]
    except (OSError, RuntimeError) as error:
        raise CorruptSourceError(
            f"{dataset.name} cannot be read at rows {start} to {stop} ({error})"
        ) from error


def _datasets(group: Any, path: str) -> Iterator[tuple[str, h5py.Dataset]]:
    for name in group:
        if named_as_no_colour(name):
            continue
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        item = group[name]
        if isinstance(item, h5py.Group):
            yield from _datasets(item, f"{path}/{name}")
        elif isinstance(item, h5py.Dataset):
            yield f"{path}/{name}", item
