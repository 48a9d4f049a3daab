"""Compare a converted folder of pictures, or a single video, with its source."""

from __future__ import annotations

import filecmp
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.datasets.pictures.listing import is_video
from stemob_wrappers.datasets.pictures.source import PicturesSource, read_frames
from stemob_wrappers.datasets.stems import Item, Stems
from stemob_wrappers.made_by import SIDECAR
from stemob_wrappers.stem.frames import FrameLayout
from stemob_wrappers.videos import video_properties, write_video

SAMPLED_IMAGES = 100  # a folder; of every video the first block of frames
TOLERANCE = 1  # grey levels: batches of other sizes round differently
VIDEO_TOLERANCE = 2.0  # grey levels on average: what an encoder makes of such a difference


def compare_pictures(
    reader: PicturesSource, target: Path, made_by: dict[str, Any], stems: Stems
) -> list[str]:
    """Return what is wrong with a converted folder or video."""
    items = reader.items()
    if "shard" in made_by:
        items = items[made_by["shard"]["index"] :: made_by["shard"]["count"]]
    problems = _compare_copied(reader, target, items) if target.is_dir() else []
    problems += reader.failed()
    images = [item for item in items if not is_video(Path(item.source))]
    sampled = set(images[:: -(-len(images) // SAMPLED_IMAGES) or 1])
    for item in items:
        result = reader.result(target, item)
        if not result.is_file():
            problems.append(f"{result} is missing")
            continue
        try:
            if is_video(result):
                problems += _compare_video(reader, item, result, stems)
            else:
                problems += _compare_image(reader, item, result, stems, item in sampled)
        except (OSError, ValueError) as error:
            problems.append(f"{result} cannot be compared ({error})")
    return problems


def _compare_copied(reader: PicturesSource, target: Path, items: list[Item]) -> list[str]:
    """Files that are no pictures, and those that nothing accounts for."""
    problems = []
    for file in reader.copied():
        if not (target / file).is_file():
            problems.append(f"{target / file} is missing")
        elif not filecmp.cmp(reader.path / file, target / file, shallow=False):
            problems.append(f"{target / file} differs from the source")
    known = {target / file for file in [*reader.copied(), Path(SIDECAR)]}
    known |= {reader.result(target, item) for item in items}
    extra = {path for path in target.rglob("*") if path.is_file()} - known
    return problems + [f"{path} is not made from the source" for path in sorted(extra)]


def _compare_image(
    reader: PicturesSource, item: Item, result: Path, stems: Stems, recompute: bool
) -> Iterator[str]:
    raw, stem = next(reader.frames(item)), next(read_frames(result))
    shape = stems.given(FrameLayout(raw.shape[0], raw.shape[1])).shape
    if stem.shape != shape:
        yield f"{result} is {stem.shape}, but should be {shape}"
    elif recompute:
        error = np.abs(next(reader.stem_frames(item, stems)).astype(int) - stem).max()
        if error > TOLERANCE:
            yield f"{result}: {error} grey levels off its recomputation"


def _compare_video(reader: PicturesSource, item: Item, result: Path, stems: Stems) -> Iterator[str]:
    """Frames are lossy in a video: the recomputed ones are encoded as they were."""
    original = reader.original(item)
    counts = [sum(1 for _ in frames) for frames in (reader.frames(item), read_frames(result))]
    if counts[0] != counts[1]:
        yield f"{result} has {counts[1]} frames, but the source {counts[0]}"
    found = _first_frames(read_frames(result), stems)
    made = _first_frames(reader.stem_frames(item, stems), stems)
    with tempfile.TemporaryDirectory() as folder:
        encoded = Path(folder) / f"stem{result.suffix}"
        write_video(encoded, made, video_properties(original, max_pixels=reader.max_pixels).fps)
        expected = _first_frames(read_frames(encoded), stems)
    if expected.shape[1:] != found.shape[1:]:
        yield f"{result} has frames of {found.shape[1:]}, but should of {expected.shape[1:]}"
        return
    for row, (one, other) in enumerate(zip(expected, found, strict=False)):
        error = np.abs(one.astype(int) - other).mean()
        if error > VIDEO_TOLERANCE:
            yield f"{result}, frame {row}: {error:.1f} grey levels off its recomputation"
            return


def _first_frames(frames: Iterator[NDArray[np.uint8]], stems: Stems) -> NDArray[np.uint8]:
    return np.stack(list(islice(frames, stems.batch_size)))
