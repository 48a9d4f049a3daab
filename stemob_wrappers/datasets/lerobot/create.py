"""Write the tables of a new LeRobot data set: info, tasks, statistics, episodes and rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.datasets.lerobot.encode import CODEC, PIXEL_FORMAT, read_levels
from stemob_wrappers.datasets.lerobot.layout import (
    DATA_PATH,
    EPISODES,
    INFO,
    STATS,
    VIDEO_PATH,
    Place,
)
from stemob_wrappers.datasets.lerobot.stats import NAMES, add_levels, image_stats
from stemob_wrappers.datasets.lerobot.tables import write_json, write_table
from stemob_wrappers.extras import needs

CHUNK_FILES, DATA_MB, VIDEO_MB = 1000, 100, 200  # lerobot's own limits
VERSION = "v3.0"
TASKS = "meta/tasks.parquet"


class Episode(NamedTuple):
    """The rows of one episode.

    Attributes:
        length: how many there are.
        values: arrays [length] or [length, D] by feature.
        state_names: of the dimensions of ``observation.state``.
    """

    length: int
    values: dict[str, NDArray[Any]]
    state_names: list[str]


class Spot(NamedTuple):
    """Where the frames of a camera lie in one episode of a data set to be written.

    Attributes:
        file: number of the video, counted through all chunks.
        start: second of the first frame in it.
        length: how many frames there are.
    """

    file: int
    start: float
    length: int

    def place(self, key: str) -> Place:
        """The same with the path of the video."""
        chunk, number = divmod(self.file, CHUNK_FILES)
        path = VIDEO_PATH.format(video_key=key, chunk_index=chunk, file_index=number)
        return Place(Path(path), self.start, self.length)


Spots = dict[str, list[Spot]]


def place_episodes(
    episodes: Sequence[Episode], videos: Mapping[str, Sequence[Path]], fps: float
) -> Spots:
    """Decide which video of each camera an episode goes into, and at which second."""
    spots: Spots = {}
    for key, paths in videos.items():
        filled: dict[int, int] = {}
        spots[key] = []
        files = _files([path.stat().st_size for path in paths], VIDEO_MB)
        for file, episode in zip(files, episodes, strict=True):
            start = filled.get(file, 0)
            spots[key].append(Spot(file, start / fps, episode.length))
            filled[file] = start + episode.length
    return spots


def data_tables(episodes: Sequence[Episode], fps: float) -> Iterator[tuple[Path, Any]]:
    """Yield path and parquet table of every file of rows."""
    with needs("lerobot"):
        import pyarrow as pa

    tables: dict[int, list[Any]] = {}
    for file, rows in zip(_data_files(episodes), _rows(episodes, fps), strict=True):
        arrays = {name: _column(pa, values) for name, values in rows.items()}
        tables.setdefault(file, []).append(pa.table(arrays))
    for file, parts in tables.items():
        chunk, number = divmod(file, CHUNK_FILES)
        path = DATA_PATH.format(chunk_index=chunk, file_index=number)
        yield Path(path), pa.concat_tables(parts).combine_chunks()


def write_meta(
    target: Path,
    episodes: Sequence[Episode],
    spots: Spots,
    parts: Mapping[str, Sequence[Path]],
    fps: float,
    task: str,
    made_by: dict[str, Any],
) -> None:
    """Write all tables of a data set whose videos are there already."""
    with needs("lerobot"):
        import pyarrow as pa

    for path, table in data_tables(episodes, fps):
        write_table(table, target / path)
    rows = _rows(episodes, fps)
    levels = {key: [read_levels(path) for path in paths] for key, paths in parts.items()}
    stats = [
        {name: _stats(values) for name, values in row.items()}
        | {key: image_stats(levels[key][number]) for key in levels}
        for number, row in enumerate(rows)
    ]
    listed = [
        _listed(number, episodes, _data_files(episodes), spots, task, fps)
        | {
            f"stats/{key}/{name}": value
            for key, of_key in stats[number].items()
            for name, value in of_key.items()
        }
        | {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
        for number in range(len(episodes))
    ]
    write_table(pa.Table.from_pylist(listed), target / EPISODES / "chunk-000/file-000.parquet")
    write_table(_tasks(pa, task), target / TASKS)
    together = {name: _stats(np.concatenate([row[name] for row in rows])) for name in rows[0]} | {
        key: image_stats(add_levels(of_key)) for key, of_key in levels.items()
    }
    write_json(target / STATS, together)
    write_json(target / INFO, _info(target, episodes, spots, rows[0], fps, made_by))


def _files(sizes: Sequence[int], limit: int) -> list[int]:
    """Number of the file that each of some things goes into, so that none grows over a limit."""
    numbers, filled, number = [], 0, 0
    for size in sizes:
        if filled and filled + size > limit * 2**20:
            number, filled = number + 1, 0
        numbers.append(number)
        filled += size
    return numbers


def _data_files(episodes: Sequence[Episode]) -> list[int]:
    sizes = [sum(values.nbytes for values in episode.values.values()) for episode in episodes]
    return _files(sizes, DATA_MB)


def _rows(episodes: Sequence[Episode], fps: float) -> list[dict[str, NDArray[Any]]]:
    """The columns of every episode, with those that LeRobot adds."""
    first, rows = 0, []
    for number, episode in enumerate(episodes):
        frames = np.arange(episode.length)
        rows.append(
            episode.values
            | {
                "timestamp": (frames / fps).astype(np.float32),
                "frame_index": frames,
                "episode_index": np.full(episode.length, number),
                "index": frames + first,
                "task_index": np.zeros(episode.length, int),
            }
        )
        first += episode.length
    return rows


def _column(pa: Any, values: NDArray[Any]) -> Any:
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def _stats(values: NDArray[Any]) -> dict[str, Any]:
    rows = values.reshape(len(values), -1).astype(np.float64)
    shares = {name: int(name[1:]) / 100 for name in NAMES if name[0] == "q"}
    found = {name: getattr(rows, name)(axis=0) for name in ("min", "max", "mean", "std")}
    found |= {name: np.quantile(rows, share, axis=0) for name, share in shares.items()}
    return {name: value.tolist() for name, value in found.items()} | {"count": [len(rows)]}


def _listed(
    number: int,
    episodes: Sequence[Episode],
    files: list[int],
    spots: Spots,
    task: str,
    fps: float,
) -> dict[str, Any]:
    """A row of the table of episodes, without statistics."""
    count = episodes[number].length
    first = sum(episode.length for episode in episodes[:number])
    chunk, file = divmod(files[number], CHUNK_FILES)
    row: dict[str, Any] = {
        "episode_index": number,
        "tasks": [task],
        "length": count,
        "data/chunk_index": chunk,
        "data/file_index": file,
        "dataset_from_index": first,
        "dataset_to_index": first + count,
    }
    for key, of_key in spots.items():
        spot = of_key[number]
        chunk, file = divmod(spot.file, CHUNK_FILES)
        row[f"videos/{key}/chunk_index"], row[f"videos/{key}/file_index"] = chunk, file
        row[f"videos/{key}/from_timestamp"] = spot.start
        row[f"videos/{key}/to_timestamp"] = spot.start + count / fps
    return row


def _tasks(pa: Any, task: str) -> Any:
    """The table of tasks: pandas takes the column of texts for its index."""
    columns = [
        {"name": "task_index", "field_name": "task_index", "pandas_type": "int64"},
        {"name": None, "field_name": "__index_level_0__", "pandas_type": "unicode"},
    ]
    kinds = ("int64", "object")
    described = {
        "index_columns": ["__index_level_0__"],
        "column_indexes": [],
        "columns": [
            {**column, "numpy_type": kind, "metadata": None}
            for column, kind in zip(columns, kinds, strict=True)
        ],
        "pandas_version": "2.2.0",
    }
    table = pa.table({"task_index": [0], "__index_level_0__": [task]})
    return table.replace_schema_metadata({"pandas": json.dumps(described)})


def _info(
    target: Path,
    episodes: Sequence[Episode],
    spots: Spots,
    row: dict[str, NDArray[Any]],
    fps: float,
    made_by: dict[str, Any],
) -> dict[str, Any]:
    from stemob_wrappers.videos import read_span

    features: dict[str, Any] = {}
    for key, of_key in spots.items():
        frame = next(read_span(target / of_key[0].place(key).file, 0.0, fps, 1))
        features[key] = {
            "dtype": "video",
            "shape": list(frame.shape),
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": frame.shape[0],
                "video.width": frame.shape[1],
                "video.codec": CODEC,
                "video.pix_fmt": PIXEL_FORMAT,
                "video.is_depth_map": False,
                "video.fps": fps,
                "video.channels": 3,
                "has_audio": False,
                "stemob.fingerprint": made_by["fingerprint"],
            },
        }
    for name, values in row.items():
        names = episodes[0].state_names if name == "observation.state" else None
        shape = list(values.shape[1:]) or [1]
        features[name] = {"dtype": str(values.dtype), "shape": shape, "names": names}
    return {
        "codebase_version": VERSION,
        "robot_type": None,
        "total_episodes": len(episodes),
        "total_frames": sum(episode.length for episode in episodes),
        "total_tasks": 1,
        "chunks_size": CHUNK_FILES,
        "data_files_size_in_mb": DATA_MB,
        "video_files_size_in_mb": VIDEO_MB,
        "fps": int(fps) if fps == int(fps) else fps,
        "splits": {"train": f"0:{len(episodes)}"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH,
        "features": features,
    }
