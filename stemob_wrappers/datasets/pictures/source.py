"""Folders of images and videos, and single videos.

An image becomes a PNG of the same name, so that no lossy format changes its frames; a video keeps
its container. Everything else in the folder is copied bit for bit: what is no picture, pictures
whose path speaks of depth, segmentation, mask, normal or flow, and images that are not of three
channels of 8 bits.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.datasets.stems import CorruptSourceError, Item, Stems
from stemob_wrappers.pictures import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    read_image,
    read_video,
    video_properties,
    write_image,
    write_video,
)
from stemob_wrappers.stem.frames import named_as_no_colour
from stemob_wrappers.stem.provenance import write_sidecar


@dataclass(frozen=True)
class PicturesSource:
    """A folder of images and videos, or one video.

    Args:
        path: folder or video file; it is only ever read.
        draws: noise draws a frame; those after the first become files ``NAME.drawN``.

    Example:
        >>> PicturesSource(Path("frames")).items() # doctest: +SKIP
    """

    path: Path
    draws: int = 1

    part_suffix = ""

    def items(self) -> list[Item]:
        """A part per image or video and draw.

        Raises:
            ValueError: there is no image or video, or two files would get one name.
        """
        files, copied = self._files
        if self.path.is_file() and self.draws > 1:
            raise ValueError("several draws of one video need a folder: put the video into one")
        if not files:
            raise ValueError(
                f"{self.path} holds nothing to convert "
                f"({', '.join(IMAGE_SUFFIXES + VIDEO_SUFFIXES)}, .hdf5)"
            )
        made = [
            Item(f"item_{index}_{draw}", str(file), draw)
            for draw in range(self.draws)
            for index, file in enumerate(files)
        ]
        results = [_result_name(item) for item in made] + list(map(str, copied))
        twice = sorted({name for name in results if results.count(name) > 1})
        if twice:
            raise ValueError(f"several files would become {twice[0]}; rename one of them")
        return made

    def selection(self) -> dict[str, Any]:
        """What of the source is converted: everything."""
        return {}

    def is_whole(self) -> bool:
        """Whether there is one result a file."""
        return self.draws == 1

    def count(self, item: Item) -> int:
        """Number of frames of an item, as the file says."""
        file = self.original(item)
        if not is_video(file):
            return 1
        try:
            return video_properties(file)[1]
        except ValueError:
            return 0

    def convert(
        self, item: Item, stems: Stems, part: Path, advance: Callable[[int], None]
    ) -> list[str]:
        """Write the stem frames of a file.

        Raises:
            CorruptSourceError: the file cannot be read, or is a video of a format not written.
            OSError: the part cannot be written.
        """
        stems.begin()
        file = self.original(item)
        try:
            if is_video(file):
                encoded = part.with_name(part.name + file.suffix)
                fps, _ = video_properties(file)
                write_video(encoded, self.stem_frames(item, stems, advance), fps)
            else:
                encoded = part.with_name(part.name + ".png")
                write_image(encoded, next(self.stem_frames(item, stems, advance)))
        except ValueError as error:
            raise CorruptSourceError(f"{item.source}: {error}") from error
        os.replace(encoded, part)
        return []

    def assemble(
        self, target: Path, items: list[Item], parts: Mapping[Item, Path], made_by: dict[str, Any]
    ) -> list[str]:
        """Write the target of the parts and what is no picture; return failed items."""
        failed = [
            f"{item.name}: {item.source} was not converted" for item in items if item not in parts
        ]
        if self.path.is_file():
            if failed:
                raise OSError(f"{self.path} cannot be read")
            shutil.copyfile(parts[items[0]], target)
            write_sidecar(target, made_by)
            return failed
        for item in items:
            if item in parts:
                result = self.result(target, item)
                result.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(parts[item], result)
        for file in self.copied():
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.path / file, target / file)
        target.mkdir(exist_ok=True)
        write_sidecar(target, made_by)
        return failed

    def sample_pairs(
        self, target: Path, most: int = 12
    ) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.uint8]]]:
        """Yield label, frame before and frame after for some of the files."""
        items = [item for item in self.items() if not item.draw]
        for item in items[:: max(1, len(items) // most)]:
            result = self.result(target, item)
            if result.exists():
                yield item.source, next(read_frames(self.original(item))), next(read_frames(result))

    def original(self, item: Item) -> Path:
        """The file that an item is made from."""
        return self.path if self.path.is_file() else self.path / item.source

    def result(self, target: Path, item: Item) -> Path:
        """The file that an item becomes."""
        return target if self.path.is_file() else target / _result_name(item)

    def copied(self) -> list[Path]:
        """The files that are carried over as they are, below the folder."""
        return self._files[1]

    def stem_frames(
        self, item: Item, stems: Stems, advance: Callable[[int], None] | None = None
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield the stem frames of a file; the images of one folder count as one episode."""
        file, first = Path(item.source), 0
        episode = str(file if is_video(file) else file.parent)
        frames = read_frames(self.original(item))
        while batch := list(islice(frames, stems.batch_size)):
            rows = [f"{item.source} {first + row}" for row in range(len(batch))]
            if advance is not None:
                advance(len(batch))
            yield from stems(np.stack(batch), item.draw, episode=episode, rows=rows)
            first += len(batch)

    @cached_property
    def _files(self) -> tuple[list[Path], list[Path]]:
        """Files to convert and files to copy, below the folder; looked at once."""
        if self.path.is_file():
            return [Path(self.path.name)] if is_video(self.path) else [], []
        converted, copied = [], []
        for path in sorted(path for path in self.path.rglob("*") if path.is_file()):
            file = path.relative_to(self.path)
            is_frames = not named_as_no_colour(str(file)) and (
                is_video(file) or _is_colour_image(path)
            )
            (converted if is_frames else copied).append(file)
        return converted, copied


def read_frames(file: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a video, or the one of an image."""
    return read_video(file) if is_video(file) else iter([read_image(file)])


def is_video(file: Path) -> bool:
    """Whether a path names a video, by its suffix."""
    return file.suffix.lower() in VIDEO_SUFFIXES


def _is_colour_image(file: Path) -> bool:
    """Whether a file is an image of three channels of 8 bits, or one that cannot be read."""
    if file.suffix.lower() not in IMAGE_SUFFIXES:
        return False
    image = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    return image is None or (image.dtype == np.uint8 and image.shape[2:] == (3,))


def _result_name(item: Item) -> str:
    file = Path(item.source)
    suffix = file.suffix if is_video(file) else ".png"
    draw = f".draw{item.draw}" if item.draw else ""
    return str(file.with_name(f"{file.stem}{draw}{suffix}"))
