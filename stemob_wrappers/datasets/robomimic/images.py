"""The images of one demo of a robomimic file: found, named, read and inverted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.extras import needs

with needs("datasets"):
    import h5py

from stemob_wrappers.datasets.hdf5.copy import Address, address
from stemob_wrappers.datasets.stems import CorruptSourceError, Item, Stems
from stemob_wrappers.stem.frames import MIN_SIDE, FrameLayout, find_layout, named_as_no_colour

GROUPS = ("obs", "next_obs")
UNREADABLE = (OSError, KeyError, RuntimeError)  # what HDF5 raises on damaged data


@dataclass
class DemoImages:
    """What of a demo is an image.

    Attributes:
        images: data set and layout of every RGB image, by path below the demo; once, if it has two
            names.
        names: below ``obs`` or ``next_obs`` of all of them, with those of such second names.
        left_out: why other arrays that look like pictures are none, by path.
        links: paths of the links below ``obs`` and ``next_obs`` that lead to images.
    """

    images: dict[str, tuple[h5py.Dataset, FrameLayout]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    left_out: dict[str, str] = field(default_factory=dict)
    links: set[str] = field(default_factory=set)


def find_demo_images(demo: h5py.Group, named: Collection[str] = ()) -> DemoImages:
    """Find every RGB image below ``obs`` and ``next_obs`` of a demo; links are followed.

    Floats count as images by their shape; whether they lie in [0, 1] is seen when they are read.

    Args:
        demo: the group of a demo.
        named: names of images that are taken though a word of them says depth, segmentation, mask,
            normal or flow.

    Raises:
        CorruptSourceError: a link leads nowhere, or a member cannot be read.
    """
    search = _Search({*named})
    for group in GROUPS:
        if group in demo or demo.get(group, getlink=True) is not None:
            search.visit(demo, group, group, ())
    for path, dataset in _elsewhere(demo):
        if address(dataset) not in search.seen:
            search.found.left_out[path] = f"it lies outside of {' and '.join(GROUPS)}"
    return search.found


def key_of(path: str) -> str:
    """The name below ``obs`` or ``next_obs``; what lies elsewhere in a demo has its whole path.

    Example:
        >>> key_of("next_obs/front"), key_of("images/front")
        ('front', 'images/front')
    """
    group, _, name = path.partition("/")
    return name if group in GROUPS else path


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
    """Invert the frames of ``obs`` and ``next_obs`` in one call, so that shared ones go once.

    Raises:
        CorruptSourceError: floats that are NaN or outside [0, 1].
    """
    frames = {
        path: _to_frames(path, images[path][1], array) for path, array in read.items() if len(array)
    }
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


def _to_frames(path: str, layout: FrameLayout, array: NDArray[Any]) -> NDArray[np.uint8]:
    try:
        return layout.to_frames(array)
    except ValueError as error:
        raise CorruptSourceError(f"{path}: {error}") from error


class _Search:
    """One walk through the observations of a demo."""

    def __init__(self, named: set[str]) -> None:
        self.named = named
        self.found = DemoImages()
        self.seen: dict[Address, h5py.HLObject] = {}  # open, so that addresses stay

    def visit(self, parent: Any, name: str, path: str, links: tuple[str, ...]) -> None:
        """Look at a member; ``links`` are those that the way to it goes through."""
        if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
            links = (*links, path)
        try:
            item = parent[name]
        except UNREADABLE as error:
            raise CorruptSourceError(f"{path} cannot be opened ({error})") from error
        again = address(item) in self.seen
        self.seen.setdefault(address(item), item)
        if isinstance(item, h5py.Group) and not again:
            for child in map(str, item):
                self.visit(item, child, f"{path}/{child}", links)
        elif isinstance(item, h5py.Dataset):
            self.judge(item, path, links, again)

    def judge(self, item: h5py.Dataset, path: str, links: tuple[str, ...], again: bool) -> None:
        reason = why_no_image(item)
        if reason == "" and path.split("/", 1)[1] not in self.named and _named_other(path):
            reason = "its name speaks of depth, segmentation, mask, normal or flow"
        if reason == "":
            self.found.links.update(links)
            self.found.names.add(path.split("/", 1)[1])
            if not again:
                layout = find_layout(item.shape[1:], item.dtype)
                assert layout is not None, "no reason against it"
                self.found.images[path] = (item, layout)
        elif reason is not None:
            self.found.left_out[path] = reason


def why_no_image(dataset: h5py.Dataset) -> str | None:
    """Say why an array is no series of RGB images: "" if it is one, None if nobody would think so.

    Example:
        >>> with h5py.File("rgba.hdf5", "w") as file:
        ...     why_no_image(file.create_dataset("a", (5, 84, 84, 4), np.uint8))
        'its frames are (84, 84, 4), not RGB'
    """
    if isinstance(h5py.check_vlen_dtype(dataset.dtype), np.dtype):  # and no text
        return "it holds arrays of varying length, as compressed pictures are; decode them first"
    sides = dataset.shape[1:] if dataset.shape else ()
    if len([side for side in sides if side >= MIN_SIDE]) < 2 or dataset.dtype.kind not in "biuf":
        return None
    if find_layout(sides, dataset.dtype) is not None:
        return ""
    if find_layout(sides, np.uint8) is not None:
        return f"it is {dataset.dtype}, not uint8 or float in [0, 1]"
    return f"its frames are {sides}, not RGB"


def _named_other(path: str) -> bool:
    return any(map(named_as_no_colour, path.split("/")))


def _elsewhere(demo: h5py.Group) -> list[tuple[str, h5py.Dataset]]:
    """Images of a demo beside its observations."""
    found: list[tuple[str, h5py.Dataset]] = []

    def look(path: str | bytes, item: Any) -> None:
        if isinstance(path, bytes):  # no UTF-8
            path = path.decode(errors="backslashreplace")
        is_image = isinstance(item, h5py.Dataset) and item.dtype == np.uint8
        if is_image and path.split("/", 1)[0] not in GROUPS and why_no_image(item) == "":
            found.append((path, item))

    demo.visititems(look)
    return found
