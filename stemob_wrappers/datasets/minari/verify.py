"""Compare a converted Minari data set with its source."""

from __future__ import annotations

import filecmp
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stemob_wrappers.config import StemConfig
from stemob_wrappers.extras import needs

with needs("minari"):
    import h5py
import numpy as np

from stemob_wrappers.datasets.hdf5.compare import compare_trees
from stemob_wrappers.datasets.minari.metadata import MAIN_FILE, METADATA, given_leaf, given_space
from stemob_wrappers.datasets.minari.source import UNREADABLE, MinariSource
from stemob_wrappers.datasets.stems import Item, Stems
from stemob_wrappers.made_by import SIDECAR

TOLERANCE = 1  # grey levels: batches of other sizes round differently
CHANGED = ("jpeg_encoding", "stemob", "env_spec", "eval_env_spec", "dataset_id", "dataset_size")


def compare_minari(
    reader: MinariSource, target: Path, made_by: dict[str, Any], stems: Stems
) -> list[str]:
    """Return what is wrong with a converted data set."""
    del made_by  # a Minari data set has no shards
    problems = list(_compare_files(reader, target, stems.config))
    try:
        with (
            h5py.File(reader.path / MAIN_FILE, "r") as before,
            h5py.File(target / MAIN_FILE, "r") as after,
        ):
            items = reader.items()
            names = [item.source for item in items]
            problems += compare_trees(before, after, left_out=names)
            for item in items:
                if item.source in after:
                    problems += _compare_episode(reader, before, after, item, stems)
                else:
                    problems.append(f"{item.source} is missing")
    except UNREADABLE as error:
        problems.append(f"{target} cannot be compared ({error})")
    return problems


def _compare_files(reader: MinariSource, target: Path, config: StemConfig) -> Iterator[str]:
    try:
        metadata = json.loads((target / METADATA).read_text())
    except (OSError, ValueError) as error:
        yield f"{target / METADATA} cannot be read ({error})"
        return
    images = [given_leaf(leaf, config) for leaf in reader.images]
    space = given_space(reader.metadata["observation_space"], images)
    expected = reader.metadata | {"observation_space": space}
    for name in sorted({*metadata, *expected} - {*CHANGED}):
        if metadata.get(name) != expected.get(name):
            yield f"{target / METADATA}: {name} differs from the source"
    if metadata.get("jpeg_encoding") is not False:
        yield f"{target / METADATA}: jpeg_encoding is not false, so Minari takes frames for JPEG"
    for name in reader.copied():
        copy = target / name
        if not copy.is_file() or not filecmp.cmp(reader.path / name, copy, shallow=False):
            yield f"{copy} is missing or differs from the source"
    known = {target / name for name in (*reader.copied(), MAIN_FILE, METADATA, SIDECAR)}
    for path in sorted({path for path in target.rglob("*") if path.is_file()} - known):
        yield f"{path} is not made from the source"


def _compare_episode(
    reader: MinariSource, before: Any, after: Any, item: Item, stems: Stems
) -> Iterator[str]:
    replaced = reader.replaced(before, item)
    left_out = {leaf.path for leaf in replaced}
    yield from compare_trees(before[item.source], after[item.source], left_out=left_out)
    for leaf, dataset in replaced.items():
        made = after[item.source].get(leaf.path)
        shape = (len(dataset), *reader.given(leaf, stems.config).shape)
        if made is None or made.shape != shape or made.dtype != leaf.dtype:
            yield f"{dataset.name} is missing, or not {leaf.dtype} {shape}"
            continue
        first = next(iter(reader.new_rows(leaf, dataset, item, stems)), None)
        if first is None:
            continue
        scale = 255 if leaf.layout is not None and leaf.layout.floating else 1
        error = np.abs(first.astype(float) - made[: len(first)]).max() * scale
        if error > (TOLERANCE if leaf in reader.images else 0):
            yield f"{dataset.name}: {error:.1f} grey levels off its recomputation"
