"""Compare a converted robomimic file with its source."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stemob_wrappers.extras import needs

with needs("datasets"):
    import h5py

from stemob_wrappers.datasets.hdf5.compare import compare_trees
from stemob_wrappers.datasets.robomimic.images import UNREADABLE, row_names
from stemob_wrappers.datasets.robomimic.source import (
    DRAW_ATTRIBUTE,
    SOURCE_ATTRIBUTE,
    RobomimicSource,
    demo_names,
    is_linked,
)
from stemob_wrappers.datasets.stems import Item, Stems
from stemob_wrappers.made_by import PREFIX

SAMPLED_FRAMES = 4  # a trajectory and image
TOLERANCE = 1  # grey levels: batches of other sizes round differently


def compare_files(
    reader: RobomimicSource, target: Path, made_by: dict[str, Any], stems: Stems
) -> list[str]:
    """Return what is wrong with a converted file."""
    items = reader.items()
    is_shard = "shard" in made_by
    if is_shard:
        items = items[made_by["shard"]["index"] :: made_by["shard"]["count"]]
    problems: list[str] = []
    with h5py.File(reader.path, "r") as before, h5py.File(target, "r") as after:
        demos = demo_names(after)
        as_it_was = is_shard or (reader.is_whole() and len(demos) == len(items))
        try:
            problems += _compare_metadata(before, after, as_it_was)
        except UNREADABLE as error:
            problems.append(f"what is beside the demos cannot be compared ({error})")
        for item in items:
            if item.name not in demos:
                problems.append(f"{item.name} is missing")
                continue
            try:
                problems += _compare_demo(before, after, reader, item, stems)
            except UNREADABLE as error:
                problems.append(f"{item.name} cannot be compared ({error})")
        extra = set(demos) - {item.name for item in items}
        problems += [f"{name} is not in the source" for name in sorted(extra)]
    return problems


def _compare_metadata(before: Any, after: Any, as_it_was: bool) -> Iterator[str]:
    """What lies beside the demos: as it was, or masks and ``total`` in line with the demos."""
    demos = set(demo_names(before)) | set(demo_names(after))
    ours = [name for name in after["data"].attrs if name.startswith(PREFIX)]
    changed = {"env_args"} if as_it_was else {"env_args", "total"}
    yield from compare_trees(
        before["data"], after["data"], added=ours, changed=changed, left_out=demos
    )
    if _env_args(before) != _env_args(after):
        yield "attribute 'env_args' of /data differs from the source"
    yield from compare_trees(before, after, left_out={"data"} if as_it_was else {"data", "mask"})
    if as_it_was:
        return
    there = demo_names(after)
    for key, mask in after.get("mask", {}).items():
        listed = {entry.decode() if isinstance(entry, bytes) else entry for entry in mask[:]}
        if listed - set(there):
            yield f"mask/{key} names demos that are not there: {sorted(listed - set(there))}"
    total = sum(int(after["data"][name].attrs.get("num_samples", 0)) for name in there)
    if int(after["data"].attrs.get("total", total)) != total:
        yield f"total is {after['data'].attrs['total']}, the demos have {total} samples"


def _env_args(file: Any) -> Any:
    """The arguments of the env without what a conversion adds; text that is no JSON as it is."""
    text = str(file["data"].attrs.get("env_args", ""))
    try:
        env_args = json.loads(text)
    except ValueError:
        return text
    if isinstance(env_args, dict):
        env_args.pop("stemob", None)
    return env_args


def _compare_demo(
    before: Any, after: Any, reader: RobomimicSource, item: Item, stems: Stems
) -> Iterator[str]:
    demo = after["data"][item.name]
    found = reader.demo(before, item.source)
    images = found.images
    added = (SOURCE_ATTRIBUTE, DRAW_ATTRIBUTE) if item.draw else ()
    shapes = {
        path: (len(image), *stems.given(layout).shape) for path, (image, layout) in images.items()
    }
    converted = [(image, shapes[path]) for path, (image, _) in images.items()]
    yield from compare_trees(
        before["data"][item.source],
        demo,
        images=converted,
        added=added,
        followed=found.links,
        follow_all=is_linked(before, item.source),
    )
    for path, (image, layout) in images.items():
        stem = demo.get(path)
        if stem is None or stem.shape != shapes[path] or not len(image):
            continue  # said above, or nothing to compute
        for row in np.unique(np.linspace(0, len(image) - 1, SAMPLED_FRAMES).astype(int)):
            raw = image[row]
            frames = layout.to_frames(raw)
            rows = row_names(path, row * layout.count, len(frames))
            made = layout.from_frames(stems(frames, item.draw, episode=item.source, rows=rows), raw)
            error = np.abs(made.astype(int) - stem[row]).max()
            if error > TOLERANCE:
                yield f"{stem.name}[{row}]: {error} grey levels off its recomputation"
