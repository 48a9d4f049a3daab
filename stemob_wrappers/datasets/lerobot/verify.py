"""Compare a converted LeRobot data set with its source."""

from __future__ import annotations

import filecmp
import io
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.extras import needs

with needs("lerobot"):
    import av

from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets.lerobot.encode import Part
from stemob_wrappers.datasets.lerobot.layout import INFO, given_feature, read_table
from stemob_wrappers.datasets.lerobot.source import LeRobotSource
from stemob_wrappers.datasets.stems import Item, Stems
from stemob_wrappers.made_by import SIDECAR

SAMPLED_ITEMS = 20  # cameras and episodes whose frames are computed again
TOLERANCE = 1  # grey levels of pictures: batches of other sizes round differently
VIDEO_TOLERANCE = 2.0  # grey levels on average: what an encoder makes of such a difference


def compare_lerobot(reader: Any, target: Path, made_by: dict[str, Any], stems: Stems) -> list[str]:
    """Return what is wrong with a converted data set."""
    after = LeRobotSource(target, tuple(made_by["converted"]))
    problems: list[str] = []
    try:
        items = reader.items()
        if isinstance(reader, LeRobotSource):
            problems += _compare_tables(reader, after, stems.config)
            problems += _compare_copied(reader, after)
        else:
            problems += reader.compare_rows(target)
        if [item.source for item in items] != [item.source for item in after.items()]:
            return [*problems, f"{target} has other episodes or cameras than the source"]
        for rank, item in enumerate(items):
            sampled = rank % -(-len(items) // SAMPLED_ITEMS) == 0
            problems += _compare_frames(reader, after, item, stems, sampled)
    except (OSError, ValueError) as error:
        problems.append(f"{target} cannot be compared ({error})")
    return problems


def _compare_copied(before: LeRobotSource, after: LeRobotSource) -> Iterator[str]:
    for file in before.copied():
        if not (after.path / file).is_file():
            yield f"{after.path / file} is missing"
        elif not filecmp.cmp(before.path / file, after.path / file, shallow=False):
            yield f"{after.path / file} differs from the source"
    for file in sorted(set(after.copied()) - set(before.copied()) - {Path(SIDECAR)}):
        yield f"{after.path / file} is not made from the source"


def _compare_tables(
    before: LeRobotSource, after: LeRobotSource, config: StemConfig
) -> Iterator[str]:
    """The info, the episodes and the rows, save what is said of the converted cameras."""
    infos = [json.loads(json.dumps(reader.layout.info)) for reader in (before, after)]
    for key in before.cameras:
        given = given_feature(infos[0]["features"][key], config)
        infos[0]["features"][key]["shape"] = given["shape"]
        for info in infos:
            info["features"][key].pop("info", None)
    if infos[0] != infos[1]:
        yield f"{after.path / INFO} differs from the source"
    stats = tuple(f"stats/{key}/" for key in before.cameras)
    pictures = {key for key in before.cameras if not before.layout.is_video(key)}
    for file in before.layout.episode_files:
        yield from _compare_columns(before.path / file, after.path / file, stats, set())
    for file in sorted({before.place(item).file for item in before.items()}):
        if file.suffix == ".parquet":
            yield from _compare_columns(before.path / file, after.path / file, (), pictures)


def _compare_columns(
    before: Path, after: Path, prefixes: tuple[str, ...], left_out: set[str]
) -> Iterator[str]:
    one, other = read_table(before), read_table(after)
    if one.schema != other.schema or one.num_rows != other.num_rows:
        yield f"{after} has other columns or another number of rows than the source"
        return
    for name in one.column_names:
        if name in left_out or (prefixes and name.startswith(prefixes)):
            continue
        if not one.column(name).equals(other.column(name)):
            yield f"{after}, column {name!r} differs from the source"


def _compare_frames(
    reader: Any, after: LeRobotSource, item: Item, stems: Stems, sampled: bool
) -> Iterator[str]:
    found = list(islice(after.frames(item), stems.batch_size)) if sampled else None
    if found is None:
        count = sum(1 for _ in after.frames(item))
        if count != reader.count(item):
            yield f"{item.source} has {count} frames, but the source {reader.count(item)}"
        return
    block = next(iter(reader.stem_frames(item, stems)))
    part = reader.make(item, iter([block]))
    expected, tolerance = (block, TOLERANCE) if part.ends else (_decoded(part), VIDEO_TOLERANCE)
    for row, (one, other) in enumerate(zip(expected, found, strict=False)):
        if one.shape != other.shape:
            yield f"{item.source}, frame {row} is {other.shape}, but should be {one.shape}"
            return
        error = np.abs(one.astype(int) - other)
        off = error.max() if part.ends else error.mean()
        if off > tolerance:
            yield f"{item.source}, frame {row}: {off:.1f} grey levels off its recomputation"
            return


def _decoded(part: Part) -> list[NDArray[np.uint8]]:
    container: Any = av.open(io.BytesIO(part.data), format="mov")
    with container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
