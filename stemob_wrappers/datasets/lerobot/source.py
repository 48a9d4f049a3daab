"""A LeRobot folder: every camera of every episode becomes a part, and the rest stays as it is."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets.lerobot.encode import (
    CODEC,
    ENCODERS,
    PIXEL_FORMAT,
    Part,
    encode_pictures,
    encode_video,
    read_levels,
)
from stemob_wrappers.datasets.lerobot.layout import (
    INFO,
    STATS,
    Layout,
    Place,
    given_feature,
    read_table,
)
from stemob_wrappers.datasets.lerobot.stats import Levels
from stemob_wrappers.datasets.lerobot.tables import (
    join_episodes,
    new_stats,
    replace_pictures,
    replace_stats,
    write_json,
)
from stemob_wrappers.datasets.stems import CorruptSourceError, Item, Stems, file_stamp
from stemob_wrappers.extras import needs
from stemob_wrappers.stem.provenance import write_sidecar
from stemob_wrappers.videos import read_span

HUB_NOTES = ".cache"  # the hub's notes on what it downloaded


@dataclass(frozen=True)
class LeRobotSource:
    """A LeRobot data set of version 3 and what of it is converted.

    Args:
        path: the folder; it is only ever read.
        keys: names of cameras such as ``observation.images.front``, or None for all.

    Raises:
        ValueError: another version, an unknown key, or files that are missing.
    """

    path: Path
    keys: tuple[str, ...] | None = None

    part_suffix = ".npz"
    has_shards = False
    has_lanes = True

    @cached_property
    def layout(self) -> Layout:
        """The tables of the folder."""
        return Layout(self.path)

    @cached_property
    def cameras(self) -> list[str]:
        """The keys that become stem frames."""
        found, left_out = self.layout.cameras(self.keys or ())
        if not found:
            raise ValueError(f"{self.path} has no RGB camera to convert{_reasons(left_out)}")
        for key in self.keys or ():
            if key not in found:
                raise ValueError(
                    f"{self.path} has no camera {key!r}; its cameras are "
                    f"{', '.join(map(repr, found))}{_reasons(left_out)}"
                )
        return [key for key in found if self.keys is None or key in self.keys]

    def items(self) -> list[Item]:
        """A part per camera and episode.

        Raises:
            ValueError: there is none, or files of the data set are missing.
        """
        episodes = range(len(self.layout.episodes))
        if not episodes:
            raise ValueError(f"{self.path} has no episode to convert")
        missing = sorted(
            {
                str(place.file)
                for key in self.cameras
                for episode in episodes
                if not (self.path / (place := self.layout.place(episode, key)).file).is_file()
            }
        )
        if missing:
            raise ValueError(
                f"{self.path} is not whole, {len(missing)} of its files are missing, the first is "
                f"{missing[0]}; copy it again"
            )
        return [
            Item(f"item_{episode}_{rank}", f"{episode} {key}")
            for episode in episodes
            for rank, key in enumerate(self.cameras)
        ]

    def selection(self) -> dict[str, Any]:
        """What of the source is converted, as JSON values."""
        return {"keys": None if self.keys is None else list(self.keys)}

    def converted(self) -> list[str]:
        """Keys of what becomes stem frames."""
        return self.cameras

    def left_out(self) -> dict[str, str]:
        """Pictures that stay as they are, with the reason."""
        return self.layout.cameras(self.keys or ())[1]

    def check_sizes(self, config: StemConfig) -> None:
        """Refuse sizes that cannot be written.

        Raises:
            ValueError: videos of odd sides, or frames smaller than the config makes them.
        """
        for key in self.cameras:
            given_feature(self.layout.feature(key), config)

    def failed(self) -> list[str]:
        """What could not even be looked at: nothing here."""
        return []

    def stamps(self) -> dict[str, str]:
        """Which state of the tables all items depend on."""
        files = [Path(INFO), *self.layout.episode_files]
        return {str(file): file_stamp(self.path / file) for file in files}

    def stamp(self, item: Item, *, content: bool = True) -> str:
        """Which state of its video or parquet file an item is made of."""
        try:
            return file_stamp(self.path / self.place(item).file, content=content)
        except OSError as error:
            raise CorruptSourceError(f"{item.source}: {error}") from error

    def is_whole(self) -> bool:
        """Whether the result has just the episodes of the source: always."""
        return True

    def count(self, item: Item) -> int:
        """Number of frames of an item."""
        return self.place(item).count

    def place(self, item: Item) -> Place:
        """Where the frames of an item lie."""
        return self.layout.place(*_parse(item))

    def convert(
        self, item: Item, stems: Stems, part: Path, advance: Callable[[int], None]
    ) -> list[str]:
        """Write the stem frames of a camera in one episode.

        Raises:
            CorruptSourceError: its frames cannot be read.
            OSError: the part cannot be written.
        """
        stems.begin()
        self.make(item, self.stem_frames(item, stems, advance)).save(part)
        return []

    def make(self, item: Item, blocks: Iterator[NDArray[np.uint8]]) -> Part:
        """Encode frames as the camera of an item is stored."""
        _, key = _parse(item)
        if not self.layout.is_video(key):
            return encode_pictures(blocks)
        try:
            return encode_video(blocks, self.layout.fps, *self.encoding(key))
        except ValueError as error:
            raise CorruptSourceError(f"{item.source}: {error}") from error

    def encoding(self, key: str) -> tuple[str, str]:
        """Codec and pixel format of a camera's videos: as they were, if LeRobot writes such."""
        said = self.layout.feature(key).get("info") or {}
        if said.get("video.codec") in ENCODERS:
            return said["video.codec"], said.get("video.pix_fmt") or PIXEL_FORMAT
        return CODEC, PIXEL_FORMAT

    def frames(self, item: Item) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames of an item, uint8 [H, W, 3].

        Raises:
            CorruptSourceError: they cannot be read.
        """
        episode, key = _parse(item)
        place = self.layout.place(episode, key)
        try:
            if self.layout.is_video(key):
                yield from read_span(
                    self.path / place.file, place.start, self.layout.fps, place.count
                )
            else:
                yield from _pictures(self.path / place.file, key, int(place.start), place.count)
        except (OSError, ValueError) as error:
            raise CorruptSourceError(f"{item.source}: {error}") from error

    def stem_frames(
        self, item: Item, stems: Stems, advance: Callable[[int], None] | None = None
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield blocks of stem frames."""
        (episode, key), first = _parse(item), 0
        frames = self.frames(item)
        while batch := list(islice(frames, stems.batch_size)):
            rows = [f"{key} {first + row}" for row in range(len(batch))]
            yield stems(np.stack(batch), item.draw, episode=str(episode), rows=rows)
            first += len(batch)
            if advance is not None:
                advance(len(batch))

    def assemble(
        self, target: Path, items: list[Item], parts: Mapping[Item, Path], made_by: dict[str, Any]
    ) -> list[str]:
        """Write the target of the parts and of all that is no camera's frames.

        Raises:
            OSError: an episode could not be converted: half a LeRobot data set is none.
        """
        lacking = [item.source for item in items if item not in parts]
        if lacking:
            raise OSError(
                f"{len(lacking)} of {len(items)} cameras and episodes cannot be read, and a "
                f"LeRobot data set without them is none; the first is: {lacking[0]}"
            )
        by_key: dict[str, list[tuple[Place, Path]]] = {}
        for item in items:
            by_key.setdefault(_parse(item)[1], []).append((self.place(item), parts[item]))
        levels = {key: [read_levels(path) for _, path in made] for key, made in by_key.items()}
        for key, made in by_key.items():
            if self.layout.is_video(key):
                join_episodes(target, made)
        pictures = {key: made for key, made in by_key.items() if not self.layout.is_video(key)}
        replace_pictures(self.path, target, pictures)
        self._write_meta(target, levels, made_by)
        for file in self.copied():
            if not (target / file).exists():
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self.path / file, target / file)
        write_sidecar(target, made_by)
        return []

    def copied(self) -> list[Path]:
        """The files that are carried over bit for bit, below the folder."""
        ours = {Path(INFO), Path(STATS)}
        ours |= {
            self.layout.place(episode, key).file
            for key in self.cameras
            for episode in range(len(self.layout.episodes))
        }
        ours |= set(self.layout.episode_files)
        files = (path.relative_to(self.path) for path in self.path.rglob("*") if path.is_file())
        return sorted(file for file in files if file not in ours and file.parts[0] != HUB_NOTES)

    def sample_pairs(
        self, target: Path, most: int = 12
    ) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.uint8]]]:
        """Yield label, frame before and frame after for some of the episodes."""
        items = self.items()
        after = LeRobotSource(target, self.keys)
        for item in items[:: max(1, len(items) // most)]:
            yield item.source, next(self.frames(item)), next(after.frames(item))

    def _write_meta(
        self, target: Path, levels: dict[str, list[Levels]], made_by: dict[str, Any]
    ) -> None:
        info = json.loads(json.dumps(self.layout.info))
        config = StemConfig.from_dict(made_by["config"])
        for key in levels:
            feature = info["features"][key] = given_feature(info["features"][key], config)
            feature["info"] = (feature.get("info") or {}) | {
                "stemob.fingerprint": made_by["fingerprint"]
            }
            if self.layout.is_video(key):
                codec, pixel_format = self.encoding(key)
                feature["info"] |= {"video.codec": codec, "video.pix_fmt": pixel_format}
        write_json(target / INFO, info)
        if (self.path / STATS).is_file():
            stats = json.loads((self.path / STATS).read_text(encoding="utf-8"))
            write_json(target / STATS, new_stats(stats, levels))
        for file in self.layout.episode_files:
            replace_stats(self.path / file, target / file, levels)


def _parse(item: Item) -> tuple[int, str]:
    episode, key = item.source.split(" ", 1)
    return int(episode), key


def _pictures(path: Path, key: str, start: int, count: int) -> Iterator[NDArray[np.uint8]]:
    with needs("lerobot"):
        from PIL import Image

    cells = read_table(path, [key]).column(key).slice(start, count).to_pylist()
    if len(cells) < count:
        raise ValueError(f"{path} has {len(cells)} of {count} pictures from row {start} on")
    for row, cell in enumerate(cells):
        if cell is None or cell["bytes"] is None:
            raise ValueError(f"{path}, row {start + row}: {key} holds no picture")
        with Image.open(io.BytesIO(cell["bytes"])) as picture:
            if picture.mode != "RGB":
                raise ValueError(f"{path}, row {start + row}: {key} is {picture.mode}, not RGB")
            yield np.array(picture)


def _reasons(left_out: dict[str, str]) -> str:
    return "".join(f"; {key}: {reason}" for key, reason in left_out.items())
