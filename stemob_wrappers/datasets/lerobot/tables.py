"""Put the parts of a LeRobot data set into its videos, its parquet tables and its statistics."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stemob_wrappers.datasets.lerobot.encode import Part, join_videos
from stemob_wrappers.datasets.lerobot.layout import Place, read_table
from stemob_wrappers.datasets.lerobot.stats import NAMES, Levels, add_levels, image_stats
from stemob_wrappers.extras import needs

PartsOf = Mapping[str, list[tuple[Place, Path]]]  # of each camera, in the order of episodes


def join_episodes(target: Path, made: Iterable[tuple[Place, Path]]) -> None:
    """Write the videos of a camera, each of the episodes that it is to hold."""
    files: dict[Path, list[tuple[float, Path]]] = {}
    for place, part in made:
        files.setdefault(place.file, []).append((place.start, part))
    for file, episodes in files.items():
        ordered = sorted(episodes)
        join_videos(target / file, ((start, Part.load(part).data) for start, part in ordered))


def replace_pictures(source: Path, target: Path, made: PartsOf) -> None:
    """Write the parquet files that pictures lie in, with new pictures and all else as it was."""
    with needs("lerobot"):
        import pyarrow as pa

    for file in sorted({place.file for parts in made.values() for place, _ in parts}):
        table = read_table(source / file)
        for key, parts in made.items():
            cells = table.column(key).to_pylist()
            for place, path in parts:
                if place.file != file:
                    continue
                for row, picture in enumerate(Part.load(path).pictures(), int(place.start)):
                    cells[row] = {**cells[row], "bytes": picture}
            column = pa.array(cells, table.schema.field(key).type)
            table = table.set_column(table.column_names.index(key), table.schema.field(key), column)
        write_table(table, target / file)


def replace_stats(source: Path, target: Path, levels: Mapping[str, list[Levels]]) -> None:
    """Write a file of the table of episodes with new statistics of the cameras."""
    with needs("lerobot"):
        import pyarrow as pa

    table = read_table(source)
    episodes = table.column("episode_index").to_pylist()
    for name in table.column_names:
        key, _, statistic = name.removeprefix("stats/").rpartition("/")
        if not name.startswith("stats/") or key not in levels:
            continue
        values = [image_stats(levels[key][row], [statistic])[statistic] for row in episodes]
        field = table.schema.field(name)
        column = pa.array(values, field.type)
        table = table.set_column(table.column_names.index(name), field, column)
    write_table(table, target)


def new_stats(stats: dict[str, Any], levels: Mapping[str, list[Levels]]) -> dict[str, Any]:
    """Return the statistics of a whole data set with those of the cameras made again."""
    made = {
        key: image_stats(add_levels(of_key), stats.get(key, NAMES))
        for key, of_key in levels.items()
    }
    return stats | made


def write_table(table: Any, path: Path) -> None:
    """Write a parquet file as LeRobot's own writer does."""
    with needs("lerobot"):
        import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="snappy", use_dictionary=True)


def write_json(path: Path, content: Any) -> None:
    """Write JSON as LeRobot's own writer does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=4, ensure_ascii=False), encoding="utf-8")
