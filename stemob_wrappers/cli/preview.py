"""Pictures of what a suite does to an env: factor by severity, each raw and as a stem frame."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
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
from stemob_wrappers.scene.simulation import find_simulation
from stemob_wrappers.splits import Split
from stemob_wrappers.stem.pipeline import StemPipeline
from stemob_wrappers.wrappers.rendering import make_images
from stemob_wrappers.wrappers.spaces import find_images, get

Frame = NDArray[np.uint8]


def preview(
    env_id: str,
    suite_name: str,
    out: Path,
    config: StemConfig | None = None,
    *,
    size: int | None = None,
    camera: str | None = None,
    seed: int = 0,
    split: Split = "test",
) -> tuple[Path, Path]:
    """Draw every factor of a suite at every severity and write the pictures and the numbers.

    Args:
        env_id: a registered env; one that observes no image is rendered.
        suite_name: a suite, as in `stemob_wrappers.perturb.suites`.
        out: folder for ``ENV-SUITE.png`` and ``ENV-SUITE.json``.
        config: of the stem frames beside the raw ones.
        size: height and width of the frames, as in `make_images`; None is 84.
        camera: whose picture; None is the env's default.
        seed: of the resets: every cell shows the same state.
        split: the textures and seeds to draw from.

    Returns:
        the paths of the picture and of the JSON, which lists for each cell what was applied and
        the mean distance from the clean frame in grey levels, and the factors left out and why.

    Raises:
        ValueError: an unknown suite, an env without a MuJoCo model where one is needed, or one
            that has nothing to change.
    """
    suite(suite_name)
    pipeline = StemPipeline(config or StemConfig())
    env = make_images(env_id, size, camera)
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
    labels = list(dict.fromkeys(cell["factor"] for cell in cells))
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
    }
    path.with_suffix(".json").write_text(json.dumps(numbers, indent=2) + "\n")
    return path, path.with_suffix(".json")


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
