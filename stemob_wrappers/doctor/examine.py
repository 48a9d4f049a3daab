"""Examine demonstrations: render their states again and say how the stored frames differ."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.extras import needs

with needs("datasets", "stemob doctor"):
    import cv2

from stemob_wrappers.config import StemConfig
from stemob_wrappers.doctor.explain import ALIKE, SAME, Draw, View, find_view
from stemob_wrappers.doctor.findings import Finding, judge_versions, judge_view
from stemob_wrappers.doctor.replay import Replay
from stemob_wrappers.doctor.restem import Explanation, find_stem_view
from stemob_wrappers.doctor.sample import Sample, take_sample
from stemob_wrappers.stem.frames import named_as_no_colour
from stemob_wrappers.stem.identity import installed_versions
from stemob_wrappers.stem.resize import average_areas, given_size

Frames = NDArray[np.uint8]


@dataclass
class Comparison:
    """An image of the file beside what its states look like here.

    Attributes:
        key: its name.
        apart: mean grey levels between stored frames and those that the policy will see.
        rows: of each moment a label, the frame stored, the frame that the policy will see, and the
            same after the faults that were found.
        view: what explains the stored frames; None where nothing does.
        size: height and width that the policy will see.
        config: what made them, if they are stem frames.
    """

    key: str
    apart: float
    rows: list[tuple[str, Frames, Frames, Frames]]
    view: View | None = None
    size: tuple[int, int] | None = None
    config: StemConfig | None = None

    @property
    def stored_size(self) -> tuple[int, int]:
        """Height and width of the stored frames."""
        height, width = self.rows[0][1].shape[:2]
        return height, width


@dataclass
class Examination:
    """What was found in a file.

    Attributes:
        path: the file.
        findings: what is wrong with it; empty if nothing is.
        comparisons: of each image.
        facts: what was compared with what, by name.
    """

    path: Path
    findings: list[Finding] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)


def examine(
    path: str | os.PathLike[str],
    *,
    states: int = 6,
    keys: Sequence[str] | None = None,
    device: str | None = None,
) -> Examination:
    """Render stored states of a robomimic file again, and find out why its frames look otherwise.

    The env is built from the file's ``env_args`` with the robosuite and MuJoCo installed here. The
    frames of a converted file are compared with stem frames of the new renders, made by the
    config that the file names.

    Args:
        path: the robomimic file, raw or converted; it is only read.
        states: how many states to render, of the first three demos.
        keys: names of images below ``obs``; None takes all.
        device: where the backbone runs.

    Raises:
        OSError: no HDF5 file, or one that cannot be read.
        ValueError: no robomimic file; no env_args, states or images; an unknown key.
        ImportError: robosuite is not installed.

    Example:
        >>> from stemob_wrappers.doctor.examine import examine
        >>> examine("none.hdf5")
        Traceback (most recent call last):
        FileNotFoundError: no data set at none.hdf5
    """
    path = Path(path)
    sample = take_sample(path, states)
    chosen = _choose(sample, keys)
    here = installed_versions()
    found = Examination(path, facts=_facts(sample, here))
    if any(model_file is None for model_file, _ in sample.states):
        lacking = sorted(
            {m.demo for m, s in zip(sample.moments, sample.states, strict=True) if s[0] is None}
        )
        found.findings.append(
            Finding(
                "missing model file",
                "file",
                f"{', '.join(lacking)}: rendered in a scene built anew",
            )
        )
    try:
        replay = Replay(sample.env_args, sample.states)
    except ValueError as error:
        found.findings.append(Finding("states do not fit", "file", str(error)))
        found.findings += judge_versions(sample.versions, here, None)
        return found
    try:
        left = [_compare(key, sample, replay, found, device) for key in chosen]
    finally:
        replay.close()
    found.findings += judge_versions(sample.versions, here, max(left))
    return found


def _compare(
    key: str, sample: Sample, replay: Replay, found: Examination, device: str | None
) -> float:
    """Compare one image; return how far apart the frames are once its faults are allowed for."""
    stored = sample.frames[key]
    height, width = stored.shape[1:3]
    expected = key.rpartition("/")[2].removesuffix("_image")
    known = expected in replay.cameras
    cameras = sorted(replay.cameras, key=lambda name: name != expected)
    env_size = _env_size(sample.env_args, expected) or (height, width)
    seen_size = env_size
    if sample.converted(key) and sample.made_by is not None:
        seen_size = given_size(StemConfig.from_dict(sample.made_by["config"]), *env_size)
    drawn_size = env_size if seen_size == (height, width) else (height, width)

    def draw(camera: str, quality: str) -> Frames:
        if key not in sample.shrunk:
            return replay.draw(camera, drawn_size, quality)
        larger = replay.draw(camera, sample.shrunk[key], quality)
        return np.stack([average_areas(frame, drawn_size) for frame in larger])

    def draw_resized(camera: str, quality: str) -> Frames:
        frames = replay.draw(camera, env_size, quality)
        return np.stack(
            [cv2.resize(f, (width, height), interpolation=cv2.INTER_AREA) for f in frames]
        )

    ways: list[tuple[str, Draw]] = [("rendered at that size", draw)]
    if seen_size != (height, width):
        ways.append((f"resized from {_by(env_size)}", draw_resized))
    results = [(_find(key, sample, way, cameras, device), how, way) for how, way in ways]
    explanation, how, way = min(results, key=lambda result: result[0].view.apart)
    view, findings, remake, config = explanation

    explained = view.apart <= ALIKE
    if seen_size != (height, width):
        seen = f"stored at {_by((height, width))}, the env renders {_by(seen_size)}"
        found.findings.append(
            Finding("other size", key, f"{seen}{f'; they were {how}' if explained else ''}")
        )
    if explained:
        found.findings += judge_view(key, view, expected if known else None, replay.cameras)
    found.findings += findings
    usual = View(expected if known else view.camera)
    seen = remake(usual.apply(replay.draw(usual.camera, drawn_size)))
    mended = remake(view.apply(way(view.camera, view.quality))) if explained else seen
    apart = float(np.abs(stored.astype(int) - seen).mean())
    if not explained and not findings:
        found.findings.append(
            Finding("unexplained", key, f"{apart:.1f} grey levels apart, whatever view")
        )
    labels = [f"{moment.demo} [{moment.row}]" for moment in sample.moments]
    rows = list(zip(labels, stored, seen, mended, strict=True))
    known_view = view if explained else None
    found.comparisons.append(Comparison(key, apart, rows, known_view, seen_size, config))
    return view.apart


def _find(
    key: str, sample: Sample, draw: Draw, cameras: list[str], device: str | None
) -> Explanation:
    if sample.converted(key):
        return find_stem_view(key, sample, draw, cameras, device)
    return Explanation(find_view(sample.frames[key], draw, cameras), [], lambda frames: frames)


def _choose(sample: Sample, keys: Sequence[str] | None) -> list[str]:
    images = [key for key in sample.frames if not named_as_no_colour(key)]
    for key in keys or ():
        if key not in sample.frames:
            raise ValueError(
                f"there is no image {key!r} in obs; there is {', '.join(sample.frames)}"
            )
    return list(keys) if keys else images


def _env_size(env_args: dict[str, Any], camera: str) -> tuple[int, int] | None:
    """Height and width that the env renders a camera at; None where env_args does not say."""
    settings = env_args.get("env_kwargs", {})
    sides = settings.get("camera_heights"), settings.get("camera_widths")
    if None in sides:
        return None
    names = settings.get("camera_names", [])
    index = names.index(camera) if isinstance(names, list) and camera in names else 0
    height, width = (side[index] if isinstance(side, list) else side for side in sides)
    return int(height), int(width)


def _facts(sample: Sample, here: dict[str, str]) -> dict[str, str]:
    demos = dict.fromkeys(moment.demo for moment in sample.moments)
    facts = {
        "env": str(sample.env_args["env_name"]),
        "states": f"{len(sample.states)} of {', '.join(demos)}",
        "recorded with": ", ".join(f"{p} {v}" for p, v in sample.versions.items()) or "not said",
        "rendered with": ", ".join(f"{p} {here[p]}" for p in ("robosuite", "mujoco") if p in here),
        "frames that count as the same": f"up to {SAME:.0f} grey levels apart on average",
    }
    for key, size in sample.shrunk.items():
        facts[f"mended: {key}"] = f"shrunk from {_by(size)}"
    if sample.made_by is not None:
        facts["converted by"] = f"{sample.made_by['config']}, {sample.made_by['fingerprint']}"
    return facts


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
