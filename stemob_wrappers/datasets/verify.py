"""Check a converted data set against its source."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets.provenance import read_provenance
from stemob_wrappers.datasets.robomimic import RobomimicSource, row_names
from stemob_wrappers.datasets.stems import Item, Stems

SAMPLED_FRAMES = 4  # a trajectory and image
TOLERANCE = 1  # grey levels: batches of other sizes round differently
BLOCK_ROWS = 1024


def verify_dataset(
    source: str | os.PathLike[str], target: str | os.PathLike[str], *, device: str | None = None
) -> list[str]:
    """Return what is wrong with a converted HDF5 file; an empty list if nothing is.

    Counts, names, types and shapes are compared, all that is no image bit for bit, and a sample of
    frames is computed again from the source.

    Args:
        source: the file that was converted.
        target: the result of ``invert_dataset``.
        device: where the backbone runs.

    Raises:
        ValueError: the target was not written by ``invert_dataset``, or is no HDF5 file.

    Example:
        >>> verify_dataset("demo.hdf5", "stem.hdf5") # doctest: +SKIP
        []
    """
    for path in map(Path, (source, target)):
        if path.is_dir():
            raise ValueError(f"{path} is a folder; only HDF5 data sets are verified")
    made_by = read_provenance(target)
    stems = Stems(
        StemConfig.from_dict(made_by["config"]),
        draws=made_by["draws"],
        cache=False,
        device=device,
        dtype=made_by["dtype"],
    )
    problems = []
    if stems.pipelines[0].fingerprint != made_by["fingerprint"]:
        problems.append(
            f"fingerprint {made_by['fingerprint']} in the file, but its config gives "
            f"{stems.pipelines[0].fingerprint} here: the weights are others"
        )
    selection = made_by["selection"]
    keys = selection["keys"]
    reader = RobomimicSource(
        Path(source),
        keys=None if keys is None else tuple(keys),
        filter_key=selection["filter_key"],
        num_trajs=selection["num_trajs"],
        draws=made_by["draws"],
    )
    items = reader.items()
    if "shard" in made_by:
        items = items[made_by["shard"]["index"] :: made_by["shard"]["count"]]
    with h5py.File(source, "r") as before, h5py.File(target, "r") as after:
        demos: Any = after["data"]
        if "shard" not in made_by:
            problems += _compare_metadata(before, after, reader.is_whole())
        for item in items:
            if item.name not in demos:
                problems.append(f"{item.name} is missing")
                continue
            try:
                problems += _compare_demo(before, after, reader, item, stems)
            except (OSError, KeyError, RuntimeError) as error:
                problems.append(f"{item.name} cannot be compared ({error})")
    return problems


def _compare_metadata(before: Any, after: Any, whole: bool) -> Iterator[str]:
    """Masks and ``total``: as they were, or in line with the demos that are there."""
    demos = [name for name in after["data"] if name.startswith("demo_")]
    if whole and len(demos) == len(before["data"]):
        for name in before:
            if name != "data" and name not in after:
                yield f"/{name} is missing"
        if "mask" in before and "mask" in after:
            yield from _compare_untouched(before["mask"], after["mask"], set())
        return
    for key, mask in after.get("mask", {}).items():
        listed = {entry.decode() if isinstance(entry, bytes) else entry for entry in mask[:]}
        if listed - set(demos):
            yield f"mask/{key} names demos that are not there: {sorted(listed - set(demos))}"
    total = sum(int(after["data"][name].attrs.get("num_samples", 0)) for name in demos)
    if int(after["data"].attrs.get("total", total)) != total:
        yield f"total is {after['data'].attrs['total']}, the demos have {total} samples"


def _compare_demo(
    before: Any, after: Any, reader: RobomimicSource, item: Item, stems: Stems
) -> Iterator[str]:
    demo = after["data"][item.name]
    images = reader.images(before, item.source)
    yield from _compare_untouched(before["data"][item.source], demo, set(images))
    for path, (image, layout) in images.items():
        stem = demo.get(path)
        if stem is None or stem.shape != image.shape or stem.dtype != image.dtype:
            yield f"{demo.name}/{path}: {stem}, but the source has {image}"
            continue
        if not len(image):
            continue
        for row in np.unique(np.linspace(0, len(image) - 1, SAMPLED_FRAMES).astype(int)):
            raw = image[row]
            frames = layout.to_frames(raw)
            rows = row_names(path, row * layout.count, len(frames))
            made = layout.from_frames(stems(frames, item.draw, episode=item.source, rows=rows), raw)
            error = np.abs(made.astype(int) - stem[row]).max()
            if error > TOLERANCE:
                yield f"{stem.name}[{row}]: {error} grey levels off its recomputation"


def _compare_untouched(before: Any, after: Any, images: set[str], path: str = "") -> Iterator[str]:
    for name in before:
        below = f"{path}{name}"
        if below in images or not isinstance(before.get(name, getlink=True), h5py.HardLink):
            continue
        if name not in after:
            yield f"{after.name}/{name} is missing"
        elif isinstance(before[name], h5py.Group):
            yield from _compare_untouched(before[name], after[name], images, f"{below}/")
        elif not _equal(before[name], after[name]):
            yield f"{after.name}/{name} differs from the source"
    for name, value in before.attrs.items():
        if name not in after.attrs or not np.array_equal(after.attrs[name], value):
            yield f"attribute {name!r} of {after.name} differs from the source"


def _equal(before: Any, after: Any) -> bool:
    if before.shape != after.shape or before.dtype != after.dtype:
        return False
    if not before.shape:
        return np.asarray(before[()]).tobytes() == np.asarray(after[()]).tobytes()
    return all(
        before[start : start + BLOCK_ROWS].tobytes() == after[start : start + BLOCK_ROWS].tobytes()
        for start in range(0, len(before), BLOCK_ROWS)
    )
