"""Where the episodes of a LeRobot folder lie: its info, its cameras, its table of episodes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from stemob_wrappers.extras import needs
from stemob_wrappers.stem.frames import MIN_SIDE, named_as_no_colour

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
