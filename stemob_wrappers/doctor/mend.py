"""A mended copy of a file of demonstrations, of what can be put right without rendering again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.extras import needs

with needs("datasets", "stemob doctor"):
    import h5py

from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets.hdf5.copy import address, copy_tree, create_group_like, create_like
from stemob_wrappers.datasets.hdf5.write import new_file
from stemob_wrappers.datasets.robomimic.images import find_demo_images, key_of
from stemob_wrappers.datasets.robomimic.source import demo_names, is_linked
from stemob_wrappers.datasets.stems import Stems
from stemob_wrappers.doctor.examine import Comparison, Examination
from stemob_wrappers.doctor.sample import SHRUNK_ATTRIBUTE
from stemob_wrappers.made_by import open_hdf5, read_provenance
from stemob_wrappers.stem.frames import FrameLayout
from stemob_wrappers.stem.provenance import provenance, write_attributes
from stemob_wrappers.stem.resize import average_areas
from stemob_wrappers.work import whole_file

Frames = NDArray[np.uint8]
Mending = Callable[[Frames], Frames]

BLOCK_ROWS = 256


def mend(found: Examination, target: Path, *, overwrite: bool = False) -> list[str]:
    """Write a copy of an examined file with its frames put right; return what was, in words.

    Raw frames are turned upright, put into RGB, and shrunk to the size that the env renders, in
    every demo as they were found in the first. Of stem frames, what the file says of their level
    is put right; turned ones cannot be, as their noise was drawn for what they were made of.

    Args:
        found: what was found; its file is only read.
        target: where the copy goes.
        overwrite: replace a file that is there.

    Raises:
        FileExistsError: the target is there.
        ValueError: nothing that was found can be mended, or the target is the file itself.
        OSError: the file cannot be read, or the copy not be written.

    Example:
        >>> mend(Examination(Path("demo.hdf5")), Path("mended.hdf5"))
        Traceback (most recent call last):
        ValueError: nothing that was found in demo.hdf5 can be mended in a copy (nothing is wrong)
    """
    ways = {each.key: _way_to_mend(each) for each in found.comparisons}
    mendings = {key: put_right for key, (faults, put_right) in ways.items() if faults}
    config = _level(found)
    if not mendings and config is None:
        faults = ", ".join(dict.fromkeys(finding.fault for finding in found.findings))
        raise ValueError(
            f"nothing that was found in {found.path} can be mended in a copy "
            f"({faults or 'nothing is wrong'})"
        )
    if target.exists() and target.samefile(found.path):
        raise ValueError(f"{target} is the file itself, which is only read; name another copy")
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} is there already; name another one, or --overwrite")
    made_by = None if config is None else _made_by(found, config)
    larger = {c.key: c.stored_size for c in found.comparisons if "other size" in ways[c.key][0]}
    with open_hdf5(found.path) as source, whole_file(target) as temporary:
        _write(source, temporary, mendings, larger, made_by)
    of_file = () if config is None else ("wrong stem level", "wrong fingerprint")
    return [
        f"{finding.fault} ({finding.where})"
        for finding in found.findings
        if finding.fault in of_file or finding.fault in ways.get(finding.where, ((), None))[0]
    ]


def _way_to_mend(comparison: Comparison) -> tuple[set[str], Mending]:
    """The faults of an image that a copy need not have, and what puts its frames right."""
    view, size = comparison.view, comparison.size
    if view is None or size is None or comparison.config is not None:
        return set(), lambda frames: frames
    height, width = comparison.stored_size
    shrinks = (height, width) != size and height >= size[0] and width >= size[1]
    faults = {fault for fault in ("flipped", "mirrored") if fault in view.turn}
    faults |= {"channel order"} if view.channels != "RGB" else set()
    faults |= {"other size"} if shrinks else set()

    def put_right(frames: Frames) -> Frames:
        upright = np.ascontiguousarray(view.undo(frames))
        return np.stack([average_areas(each, size) for each in upright]) if shrinks else upright

    return faults, put_right


def _level(found: Examination) -> StemConfig | None:
    """The config that made the stem frames of a file, where the file says another one."""
    wrong = {finding.where for finding in found.findings if finding.fault == "wrong stem level"}
    configs = {each.config for each in found.comparisons if each.config is not None}
    return configs.pop() if wrong and len(configs) == 1 else None


def _made_by(found: Examination, config: StemConfig) -> dict[str, Any]:
    """What a file should say of its stem frames."""
    said = read_provenance(found.path)
    stems = Stems(config, draws=said["draws"], cache=False, dtype=said["dtype"])
    kept = [said[name] for name in ("draws", "selection", "converted", "left_out")]
    return said | provenance(stems.pipelines[0], *kept)


def _write(
    source: Any,
    path: Path,
    mendings: dict[str, Mending],
    larger: dict[str, tuple[int, int]],
    made_by: dict[str, Any] | None,
) -> None:
    """Write the copy; the new frames lie in a file of their own until they are copied in."""
    frames = path.with_name(f"{path.name}.frames")
    try:
        with new_file(path) as (file, check), new_file(frames) as (part, check_part):
            data = create_group_like(source["data"], file, "data")
            for name in demo_names(source):
                demo = source["data"][name]
                images = find_demo_images(demo)
                replaced = {
                    address(image): _mended(image, layout, part, f"{name}/{at}", mendings[key])
                    for at, (image, layout) in images.images.items()
                    if (key := key_of(at)) in mendings
                }
                check_part()
                copy_tree(
                    demo,
                    create_group_like(demo, data, name),
                    replaced=replaced,
                    followed=images.links,
                    follow_all=is_linked(source, name),
                )
                check()
            copy_tree(source["data"], data, left_out=demo_names(source))
            copy_tree(source, file, left_out=("data",))
            if larger:
                data.attrs[SHRUNK_ATTRIBUTE] = json.dumps(larger)
            if made_by is not None:
                write_attributes(data, made_by)
    finally:
        frames.unlink(missing_ok=True)


def _mended(
    image: h5py.Dataset, layout: FrameLayout, part: h5py.File, name: str, put_right: Mending
) -> h5py.Dataset:
    """Write the mended frames of one image."""
    made: h5py.Dataset | None = None
    for start in range(0, len(image), BLOCK_ROWS):
        rows = image[start : start + BLOCK_ROWS]
        mended = layout.from_frames(put_right(layout.to_frames(rows)), rows)
        if made is None:
            made = create_like(image, part, name, (len(image), *mended.shape[1:]))
        made[start : start + len(mended)] = mended
    return create_like(image, part, name) if made is None else made
