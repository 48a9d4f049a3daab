"""Pictures of what a suite does to an env: factor by severity, each raw and as a stem frame."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.config import StemConfig
from stemob_wrappers.perturb.corruptions import CORRUPTIONS
from stemob_wrappers.perturb.factors import FACTORS, GROUPS
from stemob_wrappers.perturb.names import SEVERITIES
from stemob_wrappers.perturb.pixels import PixelPerturbation
from stemob_wrappers.perturb.scene import ScenePerturbation
from stemob_wrappers.perturb.suites import SUITES, suite
from stemob_wrappers.pictures import grid, write_image
from stemob_wrappers.report.sheet import Picture, write_sheet
from stemob_wrappers.scene.simulation import find_simulation
from stemob_wrappers.splits import Split
from stemob_wrappers.stem.pipeline import StemPipeline
from stemob_wrappers.work import write_text
from stemob_wrappers.wrappers.rendering import make_images
from stemob_wrappers.wrappers.spaces import find_images, get

Frame = NDArray[np.uint8]

VISIBLE = 0.5
"""Mean distance in grey levels from which on a change counts as visible."""


def preview(
    env_id: str,
    suite_name: str,
    out: Path,
    config: StemConfig | None = None,
    *,
    size: int | None = None,
    camera: str | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    seed: int = 0,
    split: Split = "test",
) -> tuple[Path, Path, Path]:
    """Draw every factor of a suite at every severity; write picture, numbers and page.

    Args:
        env_id: a registered env; one that observes no image is rendered.
        suite_name: a suite, as in `stemob_wrappers.perturb.suites`.
        out: folder for ``ENV-SUITE.png``, ``.json`` and ``.html``.
        config: of the stem frames beside the raw ones.
        size: height and width of the frames, as in `make_images`; None is 84.
        camera: whose picture; None is the env's default.
        env_kwargs: further arguments of `gymnasium.make`, which go before size and camera.
        seed: of the resets: every cell shows the same state.
        split: the textures and seeds to draw from.

    Returns:
        the paths of the picture, of the page and of the JSON, which lists for each cell what was
        applied and the mean distance from the clean frame in grey levels, the factors left out and
        why, and those without a visible effect at any severity: they test nothing in this env.

    Raises:
        ValueError: an unknown suite, an env without a MuJoCo model where one is needed, or one
            that has nothing to change.
    """
    suite(suite_name)
    pipeline = StemPipeline(config or StemConfig())
    env = make_images(env_id, **{"size": size, "camera": camera, **(env_kwargs or {})})
    try:
        take = _first_image(env.observation_space)
        clean = take(env.reset(seed=seed)[0])
        rows: list[list[Frame]] = []
        cells: list[dict[str, Any]] = []
        left_out: dict[str, str] = {}
        for factor in _factors(suite_name):
            reason = _missing(env, factor)
            if reason is not None:
                left_out[factor] = reason
                continue
            frames = [clean]
            for severity in SEVERITIES:
                frame, applied = _perturbed(env, factor, severity, seed, split, take)
                frames.append(frame)
                distance = float(np.abs(frame.astype(int) - clean).mean())
                cells.append(
                    {"factor": factor, "severity": severity, "distance": distance, **applied}
                )
            stems = pipeline(np.stack(frames))
            rows.append([np.hstack(pair) for pair in zip(frames, stems, strict=True)])
    finally:
        env.close()
    if not rows:
        raise ValueError(f"{env_id} has nothing that the suite {suite_name!r} changes: {left_out}.")
    name = env_id.replace(":", "/").rpartition("/")[2]
    path = out / f"{name}-{suite_name}.png"
    unseen = without_effect(cells)
    factors = list(dict.fromkeys(cell["factor"] for cell in cells))
    labels = [f"{factor}{' (no visible effect)' * (factor in unseen)}" for factor in factors]
    columns = ["clean: raw, stem", *(f"severity {severity}" for severity in SEVERITIES)]
    write_image(path, grid(rows, labels, columns, cell=2 * clean.shape[1]))
    numbers = {
        "env": env_id,
        "suite": suite_name,
        "seed": seed,
        "split": split,
        "stem": pipeline.config.to_dict(),
        "cells": cells,
        "left_out": left_out,
        "no_visible_effect": unseen,
    }
    write_text(path.with_suffix(".json"), json.dumps(numbers, indent=2) + "\n")
    return path, path.with_suffix(".json"), _write_page(path, numbers)


def without_effect(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the factors that change less than half a grey level on average, at every severity.

    Example:
        >>> without_effect([{"factor": "shininess", "severity": 5, "distance": 0.02}])
        ['shininess']
    """
    largest: dict[str, float] = {}
    for cell in cells:
        largest[cell["factor"]] = max(largest.get(cell["factor"], 0.0), cell["distance"])
    return [factor for factor, distance in largest.items() if distance < VISIBLE]


def _write_page(picture: Path, numbers: Mapping[str, Any]) -> Path:
    unseen, left_out = numbers["no_visible_effect"], numbers["left_out"]
    distances: dict[str, list[str]] = {}
    for cell in numbers["cells"]:
        distances.setdefault(cell["factor"], []).append(f"{cell['distance']:.1f}")
    flags = [
        f"No visible effect in this env and camera: {', '.join(unseen)}. Success under "
        "them says nothing of robustness."
    ] * bool(unseen)
    flags += [f"Left out: {factor}, which {reason}." for factor, reason in left_out.items()]
    return write_sheet(
        picture.with_suffix(".html"),
        title=f"What {numbers['suite']} does to {numbers['env']}",
        summary=f"One state, reset seed {numbers['seed']}, split “{numbers['split']}”.",
        flags=flags,
        pictures=[
            Picture(
                "Frames",
                "A row for each factor; the nominal scene to the left, then severities 1 to 5. Of "
                "each pair the left frame is raw and the right one is its stem.",
                f"Frames of {numbers['env']}, raw beside stem, for {', '.join(distances)}",
                picture,
            )
        ],
        heading="Mean distance from the nominal frame, in grey levels of 255",
        columns=["factor", *(f"severity {severity}" for severity in SEVERITIES)],
        rows=[[factor, *found] for factor, found in distances.items()],
    )


def _first_image(space: gym.Space[Any]) -> Callable[[Any], Frame]:
    path, layout = next(iter(find_images(space).items()))

    def take(observation: Any) -> Frame:
        return layout.to_frames(get(observation, path))[-1]

    return take


def _factors(suite_name: str) -> Iterable[str]:
    members = {**GROUPS, "corruption": tuple(CORRUPTIONS)}
    return dict.fromkeys(factor for group in SUITES[suite_name] for factor in members[group])


def _missing(env: gym.Env[Any, Any], factor: str) -> str | None:
    if factor in CORRUPTIONS:
        return None
    need = FACTORS[factor].missing(find_simulation(env).new_edit())
    return None if need is None else f"needs {need}"


def _perturbed(
    env: gym.Env[Any, Any],
    factor: str,
    severity: int,
    seed: int,
    split: Split,
    take: Callable[[Any], Frame],
) -> tuple[Frame, dict[str, Any]]:
    """The frame of the first observation, and what was applied."""
    if factor in CORRUPTIONS:
        observation, info = PixelPerturbation(env, factor, severity, split=split).reset(seed=seed)
        return take(observation), info["perturbation"]
    scene = ScenePerturbation(env, factor, severity, split=split)
    observation, info = scene.reset(seed=seed)
    scene.restore()
    return take(observation), info["perturbation"]
