"""Frames of a data set by episode and camera, whatever its format; read one at a time."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.datasets.formats import format_of, open_source

Frame = NDArray[np.uint8]


@dataclass(frozen=True)
class Track:
    """One camera of one episode.

    Attributes:
        count: number of frames.
        read: gives the frame of a row.
    """

    count: int
    read: Callable[[int], Frame]


class Recordings:
    """The raw frames of a data set; nothing outside of it is read, and nothing is written.

    Args:
        path: robomimic or MimicGen file, LeRobot or Minari data set, folder of pictures and videos,
            or one video.

    Attributes:
        tracks: a Track for each camera of each episode, by name, such as ``"demo_0 front_image"``.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: no frames in it, or stem frames already.
        OSError: it cannot be read.

    Example:
        >>> import h5py
        >>> with h5py.File("demos.hdf5", "w") as file:
        ...     file["data/demo_0/obs/front"] = np.zeros((6, 84, 84, 3), np.uint8)
        >>> recordings = Recordings("demos.hdf5")
        >>> list(recordings.tracks), recordings.frame("demo_0 front", 5).shape
        (['demo_0 front'], (84, 84, 3))
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        find = {"robomimic": _robomimic, "minari": _minari, "pictures": _pictures}
        source = open_source(self.path, {})
        self.tracks = find.get(format_of(self.path), _lerobot)(source)

    def frame(self, track: str, row: int) -> Frame:
        """One frame: uint8 [H, W, 3].

        Raises:
            ValueError: no such track or row.
            OSError: it cannot be read.
        """
        if track not in self.tracks:
            raise ValueError(
                f"{self.path} has no {track!r}; it has {', '.join(list(self.tracks)[:6])}"
                f"{', …' * (len(self.tracks) > 6)}"
            )
        found = self.tracks[track]
        if not 0 <= row < found.count:
            raise ValueError(f"{track} has frames 0 to {found.count - 1}, received {row}")
        return found.read(row)


def _robomimic(source: Any) -> dict[str, Track]:
    from stemob_wrappers.made_by import open_hdf5

    def reader(demo: str, path: str) -> Callable[[int], Frame]:
        def read(row: int) -> Frame:
            with open_hdf5(source.path) as file:
                image, layout = source.images(file, demo)[path]
                return layout.to_frames(np.asarray(image[row]))[-1]  # of a stack, the newest

        return read

    tracks = {}
    with open_hdf5(source.path) as file:
        for item in source.items():
            for path, (image, _) in source.images(file, item.source).items():
                group, _, key = path.partition("/")
                if group == "obs":
                    tracks[f"{item.source} {key}"] = Track(len(image), reader(item.source, path))
    return tracks


def _minari(source: Any) -> dict[str, Track]:
    from stemob_wrappers.datasets.minari.metadata import MAIN_FILE
    from stemob_wrappers.made_by import open_hdf5

    def reader(item: Any, leaf: Any) -> Callable[[int], Frame]:
        def read(row: int) -> Frame:
            with open_hdf5(source.path / MAIN_FILE) as file:
                dataset = source.replaced(file, item)[leaf]
                return leaf.layout.to_frames(source.rows(leaf, dataset, row, row + 1))[-1]

        return read

    tracks = {}
    with open_hdf5(source.path / MAIN_FILE) as file:
        for item in source.items():
            datasets = source.replaced(file, item)
            for leaf in source.images:
                name = f"{item.source} {leaf.key}".strip()
                tracks[name] = Track(len(datasets[leaf]), reader(item, leaf))
    return tracks


def _lerobot(source: Any) -> dict[str, Track]:
    return {
        item.source: Track(source.count(item), _nth_of(source, item)) for item in source.items()
    }


def _pictures(source: Any) -> dict[str, Track]:
    """A video is a track; so are the pictures of a folder, by name."""
    from stemob_wrappers.datasets.pictures.listing import is_video

    tracks, folders = {}, {}
    for item in source.items():
        if is_video(Path(item.source)):
            tracks[item.source] = Track(source.count(item), _nth_of(source, item))
        else:
            folders.setdefault(str(Path(item.source).parent), []).append(item)
    for folder, items in folders.items():
        tracks[folder] = Track(len(items), lambda row, items=items: next(source.frames(items[row])))
    return tracks


def _nth_of(source: Any, item: Any) -> Callable[[int], Frame]:
    return lambda row: next(islice(source.frames(item), row, None))
