"""A sample of a robomimic file: states, their stored frames, and what the file says of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.datasets.robomimic.images import UNREADABLE, find_demo_images, row_names
from stemob_wrappers.datasets.robomimic.source import (
    DRAW_ATTRIBUTE,
    SOURCE_ATTRIBUTE,
    demo_names,
    demo_number,
)
from stemob_wrappers.made_by import is_converted, open_hdf5, read_provenance

DEMOS = 3
SHRUNK_ATTRIBUTE = "stemob_shrunk_from"  # of a mended copy: [height, width] by image, as JSON


@dataclass(frozen=True)
class Moment:
    """One step of a demo.

    Attributes:
        demo: its name.
        row: which step.
        source: the demo that it was converted from; its own name in a raw file.
        draw: which noise draw of it.
    """

    demo: str
    row: int
    source: str
    draw: int

    def name(self, key: str) -> str:
        """What a conversion calls the frame."""
        return row_names(f"obs/{key}", self.row, 1)[0]


@dataclass
class Sample:
    """What is looked at.

    Attributes:
        env_args: what robomimic rebuilds the env from.
        made_by: provenance of a converted file; None of a raw one.
        moments: the steps.
        states: simulator state of each, and its demo's model file, None if it has none.
        frames: uint8 [N, H, W, 3] by name below ``obs``.
        versions: the versions that the file names, by package.
        shrunk: height and width, by name below ``obs``, of frames that a mended copy has smaller.
    """

    env_args: dict[str, Any]
    made_by: dict[str, Any] | None
    moments: list[Moment] = field(default_factory=list)
    states: list[tuple[str | None, NDArray[np.float64]]] = field(default_factory=list)
    frames: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    shrunk: dict[str, tuple[int, int]] = field(default_factory=dict)

    def converted(self, key: str) -> bool:
        """Whether the file says that these are stem frames."""
        return self.made_by is not None and key in (self.made_by.get("converted") or ())


def take_sample(path: Path, count: int) -> Sample:
    """Read about ``count`` steps, evenly spaced, of the first demos of a file.

    Raises:
        OSError: no HDF5 file, or one that cannot be read.
        ValueError: no robomimic file, or one without env_args, states or images.
    """
    made_by = read_provenance(path) if is_converted(path) else None
    with open_hdf5(path) as file:
        names = sorted(demo_names(file), key=demo_number)[: min(DEMOS, count)]
        if not names:
            raise ValueError(f"{path} has no demo to look at (groups data/demo_0, …)")
        sample = Sample(_env_args(path, file), made_by)
        sample.versions = _versions(sample.env_args, dict(file["data"].attrs))
        sizes = json.loads(str(file["data"].attrs.get(SHRUNK_ATTRIBUTE, "{}")))
        sample.shrunk = {key: (size[0], size[1]) for key, size in sizes.items()}
        for rank, name in enumerate(names):
            share = count // len(names) + (rank < count % len(names))
            try:
                _read_demo(file["data"][name], name, share, sample)
            except UNREADABLE as error:
                raise OSError(f"{path}: {name} cannot be read ({error})") from error
    if not sample.frames:
        raise ValueError(f"{path} has no image below obs: there is nothing to compare")
    return sample


def _read_demo(demo: Any, name: str, count: int, sample: Sample) -> None:
    if "states" not in demo:
        raise ValueError(
            f"{demo.file.filename}: {name} has no states, so nothing can be rendered again; "
            "robomimic's raw files have them"
        )
    states = demo["states"]
    source, draw = (
        str(demo.attrs.get(SOURCE_ATTRIBUTE, name)),
        int(demo.attrs.get(DRAW_ATTRIBUTE, 0)),
    )
    model_file = demo.attrs.get("model_file")
    images = {
        path.partition("/")[2]: image
        for path, image in find_demo_images(demo).images.items()
        if path.startswith("obs/")
    }
    rows = np.unique(np.linspace(0, len(states) - 1, count).astype(int))
    for row in map(int, rows):
        sample.moments.append(Moment(name, row, source, draw))
        text = None if model_file is None else str(model_file)
        sample.states.append((text, np.asarray(states[row], np.float64)))
    for key, (dataset, layout) in images.items():
        # Of frames stacked over time the last is that of the state.
        frames = np.stack(
            [layout.to_frames(np.asarray(dataset[row]))[-1] for row in map(int, rows)]
        )
        before = sample.frames.get(key)
        sample.frames[key] = frames if before is None else np.concatenate([before, frames])


def _env_args(path: Path, file: Any) -> dict[str, Any]:
    try:
        env_args = json.loads(str(file["data"].attrs["env_args"]))
        env_args["env_name"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} does not say which env its states belong to: data.attrs['env_args'] must be "
            "JSON with env_name and env_kwargs, as robomimic writes it"
        ) from error
    return env_args


def _versions(env_args: dict[str, Any], attributes: dict[str, Any]) -> dict[str, str]:
    """robomimic notes robosuite's in env_args, robosuite's own collectors on the group."""
    named = {
        "robosuite": env_args.get("env_version") or attributes.get("repository_version"),
        "mujoco": env_args.get("mujoco_version") or attributes.get("mujoco_version"),
    }
    return {package: str(version) for package, version in named.items() if version}
