"""Where the episodes of a LeRobot folder lie: its info, its cameras, its table of episodes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from stemob_wrappers.config import StemConfig
from stemob_wrappers.extras import needs
from stemob_wrappers.stem.frames import MIN_SIDE, named_as_no_colour
from stemob_wrappers.stem.resize import given_size

INFO, STATS, EPISODES = "meta/info.json", "meta/stats.json", "meta/episodes"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
CONVERTER = "python -m lerobot.datasets.v30.convert_dataset_v21_to_v30"


@dataclass(frozen=True)
class Place:
    """Where the frames of one camera and episode lie.

    Attributes:
        file: below the folder: the video, or the parquet file that holds the pictures.
        start: in seconds of a video; number of the first row of a parquet file.
        count: how many frames there are.
    """

    file: Path
    start: float
    count: int


def is_lerobot(path: Path) -> bool:
    """Whether a folder is a LeRobot data set, of whatever version.

    Example:
        >>> is_lerobot(Path("nowhere"))
        False
    """
    info = path / INFO
    return info.is_file() and '"codebase_version"' in info.read_text(errors="replace")


@dataclass(frozen=True)
class Layout:
    """The tables of a LeRobot folder.

    Args:
        path: the folder; it is only ever read.

    Raises:
        ValueError: another version than 3, or tables that are missing or cannot be read.
    """

    path: Path

    @cached_property
    def info(self) -> dict[str, Any]:
        """``meta/info.json``."""
        try:
            info = json.loads((self.path / INFO).read_text(encoding="utf-8"))
            version = str(info["codebase_version"])
            _ = info["features"], info["fps"], info["total_episodes"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.path / INFO} cannot be read ({error!r})") from error
        if version.removeprefix("v").split(".")[0] != "3":
            raise ValueError(
                f"{self.path} is a LeRobot data set of version {version}, and version 3 is needed; "
                f"for v2.1 run first: {CONVERTER} --repo-id=NAME --root={self.path} "
                "--push-to-hub=false"
            )
        return info

    @property
    def fps(self) -> float:
        """Frames a second."""
        return float(self.info["fps"])

    def feature(self, key: str) -> dict[str, Any]:
        """What ``meta/info.json`` says of a key."""
        return self.info["features"][key]

    def is_video(self, key: str) -> bool:
        """Whether a camera's frames lie in videos."""
        return self.feature(key)["dtype"] == "video"

    def cameras(self, named: tuple[str, ...] = ()) -> tuple[list[str], dict[str, str]]:
        """Return the keys of RGB cameras, and why other pictures are none.

        Args:
            named: keys that are taken though a word of them says depth, segmentation, …
        """
        taken, left_out = [], {}
        for key, feature in self.info["features"].items():
            if feature["dtype"] not in ("image", "video"):
                continue
            shape = tuple(feature["shape"])
            if (feature.get("info") or {}).get("video.is_depth_map"):
                left_out[key] = "meta/info.json says that it is a depth map"
            elif 3 not in (shape[0], shape[-1]) or sorted(shape)[-2] < MIN_SIDE:
                left_out[key] = f"its frames are {shape}, not RGB"
            elif named_as_no_colour(key) and key not in named:
                left_out[key] = "its name speaks of depth, segmentation, mask, normal or flow"
            else:
                taken.append(key)
        return taken, left_out

    @cached_property
    def episode_files(self) -> list[Path]:
        """The parquet files of the table of episodes, below the folder."""
        found = sorted((self.path / EPISODES).glob("*/*.parquet"))
        return [file.relative_to(self.path) for file in found]

    @cached_property
    def episodes(self) -> list[dict[str, Any]]:
        """The table of episodes in order, without their statistics."""
        rows: list[dict[str, Any]] = []
        for file in self.episode_files:
            table = read_table(self.path / file)
            names = [name for name in table.column_names if not name.startswith("stats/")]
            rows += table.select(names).to_pylist()
        rows.sort(key=lambda row: row["episode_index"])
        if [row["episode_index"] for row in rows] != list(range(self.info["total_episodes"])):
            raise ValueError(
                f"{self.path / EPISODES} lists {len(rows)} episodes, but {INFO} says "
                f"{self.info['total_episodes']}; the data set is not whole: copy it again"
            )
        return rows

    def place(self, episode: int, key: str) -> Place:
        """Where the frames of a camera lie in one episode.

        Raises:
            ValueError: the table of episodes does not say.
        """
        row = self.episodes[episode]
        try:
            if not self.is_video(key):
                where = (row["data/chunk_index"], row["data/file_index"])
                file = self.info["data_path"].format(chunk_index=where[0], file_index=where[1])
                start = row["dataset_from_index"] - self._first_rows[where]
                return Place(Path(file), start, row["length"])
            file = self.info["video_path"].format(
                video_key=key,
                chunk_index=row[f"videos/{key}/chunk_index"],
                file_index=row[f"videos/{key}/file_index"],
            )
            return Place(Path(file), row[f"videos/{key}/from_timestamp"], row["length"])
        except KeyError as error:
            raise ValueError(f"{self.path / EPISODES} has no column {error}") from error

    @cached_property
    def _first_rows(self) -> dict[tuple[int, int], int]:
        """Which row of the whole data set each parquet file begins with."""
        first: dict[tuple[int, int], int] = {}
        for row in self.episodes:
            where = (row["data/chunk_index"], row["data/file_index"])
            first[where] = min(
                row["dataset_from_index"], first.get(where, row["dataset_from_index"])
            )
        return first


def given_feature(feature: dict[str, Any], config: StemConfig) -> dict[str, Any]:
    """Return what the info says of a camera whose stem frames a config gives back.

    Raises:
        ValueError: a video of odd sides, which its encoders do not take, or frames that are
            smaller than the config makes them.

    Example:
        >>> config = StemConfig(resize=(64, 64), output="small")
        >>> given_feature({"dtype": "video", "shape": [480, 640, 3]}, config)["shape"]
        [48, 64, 3]
    """
    shape = list(feature["shape"])
    axes = [0, 1] if shape[-1] == 3 else [1, 2]
    size = given_size(config, *(int(shape[axis]) for axis in axes))
    if size == tuple(shape[axis] for axis in axes):
        return feature
    if feature["dtype"] == "video" and (size[0] % 2 or size[1] % 2):
        raise ValueError(
            f"frames of {shape} become {size[0]} x {size[1]}, and videos have even sides: choose "
            "a resize that gives such, or aspect='stretch'"
        )
    for axis, side in zip(axes, size, strict=True):
        shape[axis] = side
    said = {"video.height": size[0], "video.width": size[1]}
    info = feature.get("info") or {}
    info = info | {name: side for name, side in said.items() if name in info}
    return feature | {"shape": shape} | ({"info": info} if info else {})


def read_table(path: Path, columns: list[str] | None = None) -> Any:
    """Read a parquet file as it is stored.

    Raises:
        ImportError: pyarrow is missing.
        ValueError: the file is missing or damaged.
    """
    with needs("lerobot", "a LeRobot data set"):
        import pyarrow as pa
        import pyarrow.parquet as pq

    try:
        with open(path, "rb") as file:  # not the folders' names: they are no columns
            return pq.read_table(file, columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path} cannot be read as parquet ({error})") from error
