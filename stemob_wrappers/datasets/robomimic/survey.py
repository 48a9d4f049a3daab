"""Look through the demos of a file, once: which images are converted, and what is left as it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemob_wrappers.extras import needs

with needs("datasets"):
    import h5py

from stemob_wrappers.datasets.hdf5.outside import outside_files
from stemob_wrappers.datasets.robomimic.images import (
    UNREADABLE,
    DemoImages,
    find_demo_images,
    key_of,
    read_rows,
)

BLOCK_ROWS = 256


@dataclass
class Survey:
    """What is found in the demos of a file.

    Attributes:
        converted: names below ``obs`` of the images that become stem frames.
        names: of all images, also of those that ``keys`` leaves out.
        left_out: names of what looks like pictures and is none that is converted, with the reason.
        other_files: files beside the source that images lie in.
        unreadable: demos that could not be looked at, with the reason.
    """

    converted: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    left_out: dict[str, str] = field(default_factory=dict)
    other_files: set[Path] = field(default_factory=set)
    unreadable: list[str] = field(default_factory=list)


def survey_demos(
    demos: Mapping[str, Any], path: Path, keys: Collection[str] | None = None
) -> Survey:
    """Look at demos.

    A name stands for the same thing in all of them: floats are an image if those of the first demo
    that has them lie in [0, 1].

    Args:
        demos: the group ``data`` that each lies in, by name.
        path: the source file.
        keys: names of the images to convert, or None for all.
    """
    survey = Survey()
    judged: dict[str, str] = {}  # floats: "" for an image, else what they are
    for name, data in demos.items():
        try:
            found = find_demo_images(data[name], keys or ())
            for image_path in list(found.images):
                _judge_floats(found, image_path, judged)
                _add_files(survey, found, image_path, path)
        except UNREADABLE as error:
            survey.unreadable.append(f"{name}: {error}")
            continue
        survey.names |= found.names
        for image_path, reason in found.left_out.items():
            survey.left_out.setdefault(key_of(image_path), reason)
    survey.names -= {name for name, reason in judged.items() if reason}
    survey.converted = survey.names if keys is None else survey.names & {*keys}
    survey.left_out = {
        name: reason for name, reason in sorted(survey.left_out.items()) if name not in survey.names
    }
    return survey


def _judge_floats(found: DemoImages, path: str, judged: dict[str, str]) -> None:
    image, layout = found.images[path]
    name = key_of(path)
    if not layout.floating:
        return
    if name not in judged:
        judged[name] = _outside_range(image)
    if judged[name]:
        del found.images[path]
        found.left_out[path] = judged[name]


def _outside_range(image: h5py.Dataset) -> str:
    for start in range(0, len(image), BLOCK_ROWS):
        block = read_rows(image, start, start + BLOCK_ROWS)
        low, high = float(block.min()), float(block.max())
        if not (low >= 0.0 and high <= 1.0):
            return f"its floats go from {low:g} to {high:g}, but those of an image lie in [0, 1]"
    return ""


def _add_files(survey: Survey, found: DemoImages, path: str, source: Path) -> None:
    if path not in found.images:
        return
    image, _ = found.images[path]
    files = {Path(image.file.filename), *outside_files(image)}
    survey.other_files |= {file for file in files if not file.samefile(source)}
