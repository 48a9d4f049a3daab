"""A LeRobot data set of a robomimic file: ``stemob invert-dataset demo.hdf5 OUT --to lerobot``.

``obs/agentview_image`` becomes the video ``observation.images.agentview``; the vectors of ``obs``,
one after the other by name, become ``observation.state``; the task is the name of the env. What
LeRobot has no place for is named in the summary.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from stemob_wrappers.config import StemConfig
from stemob_wrappers.extras import needs

with needs("datasets"):
    import h5py
import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.datasets.lerobot.create import Episode, data_tables, place_episodes, write_meta
from stemob_wrappers.datasets.lerobot.encode import Part, encode_video
from stemob_wrappers.datasets.lerobot.layout import given_feature
from stemob_wrappers.datasets.lerobot.source import LeRobotSource
from stemob_wrappers.datasets.lerobot.tables import join_episodes
from stemob_wrappers.datasets.robomimic.images import read_rows, row_names
from stemob_wrappers.datasets.robomimic.source import RobomimicSource
from stemob_wrappers.datasets.stems import CorruptSourceError, Item, Stems
from stemob_wrappers.stem.provenance import write_sidecar

ROBOSUITE_RATE = 20  # its control_freq where nothing else is said
CARRIED = ("obs", "next_obs", "actions", "rewards", "dones")


@dataclass(frozen=True)
class LeRobotOfRobomimic:
    """The demos of a robomimic file as episodes of a LeRobot data set.

    Args:
        file: the demos and images that are taken.

    Raises:
        ValueError: several draws, which LeRobot's episodes have no mark for.
    """

    file: RobomimicSource

    part_suffix = ".npz"
    has_shards = False
    has_lanes = True

    @property
    def path(self) -> Path:
        """The file; it is only ever read."""
        return self.file.path

    @cached_property
    def demos(self) -> list[str]:
        """The demos in order; the n-th one is episode n."""
        if self.file.draws > 1:
            raise ValueError(
                f"a LeRobot data set takes one draw a frame, received draws={self.file.draws}; "
                "draw anew in the loader with StemTransform instead"
            )
        return [item.source for item in self.file.items()]

    @cached_property
    def cameras(self) -> dict[str, str]:
        """Path of the images below a demo, by the key of their camera."""
        return {
            f"observation.images.{name.removesuffix('_image').replace('/', '.')}": f"obs/{name}"
            for name in self.file.converted()
        }

    def items(self) -> list[Item]:
        """A part per camera and demo."""
        return [
            Item(f"item_{episode}_{rank}", f"{episode} {key}")
            for episode in range(len(self.demos))
            for rank, key in enumerate(self.cameras)
        ]

    def selection(self) -> dict[str, Any]:
        """What of the source is converted, as JSON values."""
        return {**self.file.selection(), "to": "lerobot"}

    def converted(self) -> list[str]:
        """Keys of what becomes stem frames."""
        return list(self.cameras)

    def left_out(self) -> dict[str, str]:
        """What of the demos is not in the result, with the reason."""
        with self._opened() as file:
            demo: Any = file[f"data/{self.demos[0]}"]
            images = set(self.cameras.values())
            names = [name for name in demo if name not in CARRIED]
            names += [f"obs/{name}" for name in demo["obs"] if f"obs/{name}" not in images]
            states = {f"obs/{name}" for name in _state_names(demo)}
        reason = "it is not in the result, LeRobot has no place for it"
        return dict.fromkeys(sorted({*names} - states), reason)

    def check_sizes(self, config: StemConfig) -> None:
        """Refuse sizes that cannot be written.

        Raises:
            ValueError: videos of odd sides, or frames smaller than the config makes them.
        """
        with self._opened() as file:
            images = self.file.images(file, self.demos[0])
        for _, layout in images.values():
            shape = (layout.height, layout.width, 3)
            given_feature({"dtype": "video", "shape": shape}, config)

    def failed(self) -> list[str]:
        """What could not even be looked at: nothing here."""
        return []

    def stamps(self) -> dict[str, str]:
        """Which state of the file this is."""
        return self.file.stamps()

    def stamp(self, item: Item, *, content: bool = True) -> str:
        """Of which state of its source an item is; here :meth:`stamps` says it for all."""
        return ""

    def is_whole(self) -> bool:
        """Whether the result has just the demos of the source."""
        return self.file.is_whole()

    def count(self, item: Item) -> int:
        """Number of frames of an item; 0 where it cannot be read."""
        try:
            with self._opened() as file:
                return len(self._images(file, item)[0])
        except OSError:
            return 0

    def convert(
        self, item: Item, stems: Stems, part: Path, advance: Callable[[int], None]
    ) -> list[str]:
        """Write the stem frames of a camera in one demo.

        Raises:
            CorruptSourceError: the demo cannot be read.
            OSError: the part cannot be written.
        """
        stems.begin()
        self.make(item, self.stem_frames(item, stems, advance)).save(part)
        return []

    def make(self, item: Item, blocks: Iterator[NDArray[np.uint8]]) -> Part:
        """Encode frames as a video."""
        try:
            return encode_video(blocks, self.fps)
        except ValueError as error:
            raise CorruptSourceError(f"{item.source}: {error}") from error

    def stem_frames(
        self, item: Item, stems: Stems, advance: Callable[[int], None] | None = None
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield blocks of stem frames, the same as in a converted HDF5 file."""
        episode, path = self._parse(item)
        with self._opened() as file:
            images, layout = self._images(file, item)
            for start in range(0, len(images), stems.batch_size):
                frames = layout.to_frames(read_rows(images, start, start + stems.batch_size))
                rows = row_names(path, start, len(frames))
                yield stems(frames, item.draw, episode=self.demos[episode], rows=rows)
                if advance is not None:
                    advance(len(frames))

    def assemble(
        self, target: Path, items: list[Item], parts: Mapping[Item, Path], made_by: dict[str, Any]
    ) -> list[str]:
        """Write the data set.

        Raises:
            OSError: a demo could not be converted: half a LeRobot data set is none.
        """
        lacking = [item for item in items if item not in parts]
        if lacking:
            first = self.demos[self._parse(lacking[0])[0]]
            raise OSError(
                f"{len(lacking)} of {len(items)} cameras and demos cannot be read, the first of "
                f"{first}; leave such demos out with a filter key"
            )
        by_key: dict[str, list[Path]] = {key: [] for key in self.cameras}
        for item in items:
            by_key[item.source.split(" ", 1)[1]].append(parts[item])
        episodes = self._episodes()
        spots = place_episodes(episodes, by_key, self.fps)
        for key, paths in by_key.items():
            places = [spot.place(key) for spot in spots[key]]
            join_episodes(target, zip(places, paths, strict=True))
        write_meta(target, episodes, spots, by_key, self.fps, self.task, made_by)
        write_sidecar(target, made_by)
        return []

    def compare_rows(self, target: Path) -> Iterator[str]:
        """Yield what of the numbers of a written data set differs from the file."""
        from stemob_wrappers.datasets.lerobot.layout import read_table

        for path, table in data_tables(self._episodes(), self.fps):
            if not read_table(target / path).equals(table):
                yield f"{target / path} differs from the source"

    def sample_pairs(
        self, target: Path, most: int = 12
    ) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.uint8]]]:
        """Yield label, frame before and frame after for some of the demos."""
        after, items = LeRobotSource(target), self.items()
        with self._opened() as file:
            for item in items[:: max(1, len(items) // most)]:
                images, layout = self._images(file, item)
                yield item.source, layout.to_frames(images[:1])[0], next(after.frames(item))

    @cached_property
    def _env_args(self) -> dict[str, Any]:
        with self._opened() as file:
            data: Any = file["data"]
            return json.loads(str(data.attrs.get("env_args", "{}")))

    @property
    def fps(self) -> float:
        """Frames a second: the env's control frequency."""
        return float(self._env_args.get("env_kwargs", {}).get("control_freq", ROBOSUITE_RATE))

    @property
    def task(self) -> str:
        """What LeRobot calls the task: the name of the env."""
        return str(self._env_args.get("env_name", "unknown task"))

    def _episodes(self) -> list[Episode]:
        with self._opened() as file:
            return [_read(file[f"data/{demo}"]) for demo in self.demos]

    def _opened(self) -> Any:
        return h5py.File(self.file.path, "r")

    def _parse(self, item: Item) -> tuple[int, str]:
        episode, key = item.source.split(" ", 1)
        return int(episode), self.cameras[key]

    def _images(self, file: h5py.File, item: Item) -> Any:
        episode, path = self._parse(item)
        images = self.file.images(file, self.demos[episode])
        if path not in images:
            raise CorruptSourceError(f"{self.demos[episode]} has no {path}")
        if images[path][1].count != 1:
            raise CorruptSourceError(f"{path} holds stacked frames; a LeRobot camera has one each")
        return images[path]


def _state_names(demo: Any) -> list[str]:
    """The vectors and numbers of ``obs``, by name."""
    return sorted(
        name
        for name, item in demo["obs"].items()
        if isinstance(item, h5py.Dataset) and item.ndim in (1, 2) and item.dtype.kind in "fiub"
    )


def _read(demo: Any) -> Episode:
    count = len(demo["actions"])
    states = {
        name: np.asarray(demo["obs"][name]).reshape(count, -1).astype(np.float32)
        for name in _state_names(demo)
    }
    values = {"action": np.asarray(demo["actions"], np.float32).reshape(count, -1)}
    if states:
        values["observation.state"] = np.concatenate(list(states.values()), axis=1)
    for name, theirs in (("next.reward", "rewards"), ("next.done", "dones")):
        if theirs in demo and demo[theirs].shape == (count,):
            kind = np.float32 if theirs == "rewards" else bool
            values[name] = np.asarray(demo[theirs]).astype(kind)
    names = [f"{name}_{n}" for name, state in states.items() for n in range(state.shape[1])]
    return Episode(count, values, names)
