"""Folders of images and videos, and single videos.

An image becomes a PNG of the same name, so that no lossy format changes its frames; a video keeps
its container. Everything else in the folder is copied bit for bit: what is no picture, pictures
whose path speaks of depth, segmentation, mask, normal or flow, and images that RGB of 8 bits cannot
hold.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets.parts import printable
from stemob_wrappers.datasets.pictures.listing import Listing, is_video, list_pictures
from stemob_wrappers.datasets.stems import CorruptSourceError, Item, Stems, file_stamp
from stemob_wrappers.pictures import IMAGE_SUFFIXES, MAX_PIXELS, encode_image, read_image
from stemob_wrappers.stem.provenance import write_sidecar
from stemob_wrappers.videos import VIDEO_SUFFIXES, read_video, video_properties, write_video


@dataclass(frozen=True)
class PicturesSource:
    """A folder of images and videos, or one video.

    Args:
        path: folder or video file; it is only ever read.
        draws: noise draws a frame; those after the first become files ``NAME.drawN``.
        allow_short: keep what can be read of a damaged video.
        max_pixels: what a picture may declare.

    Example:
        >>> from stemob_wrappers.pictures import write_image
        >>> write_image(Path("frames/a/0.png"), np.zeros((84, 84, 3), np.uint8))
        >>> PicturesSource(Path("frames")).items()
        [Item(name='item_0_0', source='a/0.png', draw=0)]
    """

    path: Path
    draws: int = 1
    allow_short: bool = False
    max_pixels: int = MAX_PIXELS

    part_suffix = ""
    has_shards = True
    has_lanes = False  # reading makes warnings errors, those of other threads, too

    def items(self) -> list[Item]:
        """A part per image or video and draw.

        Raises:
            ValueError: there is no image or video, or two files would get one name.
        """
        files, copied = self._files.converted, self._files.copied
        if self.path.is_file() and self.draws > 1:
            raise ValueError("several draws of one video need a folder: put the video into one")
        if not files:
            raise ValueError(
                f"{self.path} holds nothing to convert "
                f"({', '.join(IMAGE_SUFFIXES + VIDEO_SUFFIXES)}, .hdf5)"
                + "".join(f"; {name}: {reason}" for name, reason in self.left_out().items())
            )
        made = [
            Item(f"item_{index}_{draw}", str(file), draw)
            for draw in range(self.draws)
            for index, file in enumerate(files)
        ]
        results = [_result_name(item) for item in made] + list(map(str, copied))
        twice = sorted(name for name, count in Counter(results).items() if count > 1)
        if twice:
            raise ValueError(f"several files would become {twice[0]}; rename one of them")
        return made

    def selection(self) -> dict[str, Any]:
        """How the source is read, as JSON values."""
        return {"allow_short": self.allow_short, "max_pixels": self.max_pixels}

    def converted(self) -> None:
        """Names of the images that become stem frames: here each file is one of its own."""

    def left_out(self) -> dict[str, str]:
        """Pictures that are copied as they are, and what is not copied, with the reason."""
        return {printable(name): reason for name, reason in self._files.left_out.items()}

    def check_sizes(self, config: StemConfig) -> None:
        """Refuse sizes that cannot be written: each file fails by itself."""

    def failed(self) -> list[str]:
        """What could not even be looked at."""
        return self._files.failed

    def stamps(self) -> dict[str, str]:
        """What all items depend on: nothing, each has its own file."""
        return {}

    def stamp(self, item: Item, *, content: bool = True) -> str:
        """Which state of its file an item is made of."""
        try:
            return file_stamp(self.original(item), content=content)
        except OSError as error:
            raise CorruptSourceError(f"{item.source}: {error}") from error

    def is_whole(self) -> bool:
        """Whether there is one result a file."""
        return self.draws == 1

    def count(self, item: Item) -> int:
        """Number of frames of an item, as the file says."""
        file = self.original(item)
        if not is_video(file):
            return 1
        try:
            return video_properties(file, max_pixels=self.max_pixels).frames
        except (OSError, ValueError):
            return 0

    def convert(
        self, item: Item, stems: Stems, part: Path, advance: Callable[[int], None]
    ) -> list[str]:
        """Write the stem frames of a file and return what is to be said of it.

        Raises:
            CorruptSourceError: the file cannot be read, or is a video of a format not written.
            OSError: the part cannot be written.
        """
        stems.begin()
        file = self.original(item)
        frames = self.stem_frames(item, stems, advance)
        if not is_video(file):
            part.write_bytes(encode_image(next(frames)))
            return []
        try:
            said = video_properties(file, max_pixels=self.max_pixels)
            encoded = part.with_name(part.name + file.suffix)
            count = write_video(encoded, frames, said.fps)
        except (FileNotFoundError, ValueError) as error:
            raise CorruptSourceError(f"{item.source}: {error}") from error
        os.replace(encoded, part)
        notes = []
        if count < said.frames:
            notes.append(f"{item.source}: only {count} of {said.frames} frames could be read")
        if said.varying:
            notes.append(
                f"{item.source}: its frames come at varying times; the result shows "
                f"{said.fps:.4g} a second"
            )
        if said.others:
            notes.append(f"{item.source}: its sound or other streams are not in the result")
        return notes

    def assemble(
        self, target: Path, items: list[Item], parts: Mapping[Item, Path], made_by: dict[str, Any]
    ) -> list[str]:
        """Write the target of the parts and what is no picture; return failed items."""
        failed = [
            f"{item.name}: {item.source} was not converted" for item in items if item not in parts
        ]
        if self.path.is_file():
            if failed:
                raise CorruptSourceError(f"{self.path} cannot be read")
            _link(parts[items[0]], target)
            write_sidecar(target, made_by)
            return failed
        for item in items:
            if item in parts:
                result = self.result(target, item)
                result.parent.mkdir(parents=True, exist_ok=True)
                _link(parts[item], result)
        for file in self.copied():
            try:
                open(self.path / file, "rb").close()
            except OSError as error:
                failed.append(f"{file}: cannot be read ({error.strerror})")
                continue
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
                yield printable(item.source), next(self.frames(item)), next(read_frames(result))

    def original(self, item: Item) -> Path:
        """The file that an item is made from."""
        return self.path if self.path.is_file() else self.path / item.source

    def result(self, target: Path, item: Item) -> Path:
        """The file that an item becomes."""
        return target if self.path.is_file() else target / _result_name(item)

    def copied(self) -> list[Path]:
        """The files that are carried over as they are, below the folder."""
        return self._files.copied

    def frames(self, item: Item) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames of a file of the source.

        Raises:
            CorruptSourceError: they cannot be read.
        """
        options: dict[str, Any] = {"max_pixels": self.max_pixels}
        file = self.original(item)
        if is_video(file):
            options["allow_short"] = self.allow_short
        try:
            yield from read_frames(file, **options)
        except (OSError, ValueError) as error:
            raise CorruptSourceError(f"{item.source}: {error}") from error

    def stem_frames(
        self, item: Item, stems: Stems, advance: Callable[[int], None] | None = None
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield the stem frames of a file; the images of one folder count as one episode."""
        file, first = Path(item.source), 0
        episode = str(file if is_video(file) else file.parent)
        frames = self.frames(item)
        while batch := list(islice(frames, stems.batch_size)):
            rows = [f"{item.source} {first + row}" for row in range(len(batch))]
            if advance is not None:
                advance(len(batch))
            yield from stems(np.stack(batch), item.draw, episode=episode, rows=rows)
            first += len(batch)

    @cached_property
    def _files(self) -> Listing:
        """Files to convert and files to copy, below the folder; looked at once."""
        if self.path.is_file():
            return Listing([Path(self.path.name)] if is_video(self.path) else [])
        return list_pictures(self.path, self.max_pixels)


def read_frames(file: Path, **options: Any) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a video, or the one of an image."""
    return read_video(file, **options) if is_video(file) else iter([read_image(file, **options)])


def _link(part: Path, result: Path) -> None:
    """Give a part a second name, which costs neither time nor space; copy where there is none."""
    try:
        os.link(part, result)
    except OSError:
        shutil.copyfile(part, result)


def _result_name(item: Item) -> str:
    file = Path(item.source)
    suffix = file.suffix if is_video(file) else ".png"
    draw = f".draw{item.draw}" if item.draw else ""
    return str(file.with_name(f"{file.stem}{draw}{suffix}"))
