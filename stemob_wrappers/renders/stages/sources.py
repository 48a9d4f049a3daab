"""Builds the stage of a source by name: robosuite tasks, procedural tables, Gymnasium's models.

A source builds a `Stage`: an uncompiled MuJoCo scene and a function that draws states of it.
"""

from __future__ import annotations

import numpy as np

from stemob_wrappers.renders.stages.gymnasium import gymnasium_stage
from stemob_wrappers.renders.stages.robosuite import robosuite_stage
from stemob_wrappers.renders.stages.stage import Stage
from stemob_wrappers.renders.stages.tabletop import tabletop_stage
from stemob_wrappers.splits import TRAIN_TASKS


def build_stage(source: str, task: str, robot: str, rng: np.random.Generator) -> Stage:
    """Build a scene of a source.

    Raises:
        ValueError: the source is unknown.
        ImportError: the package that the source needs is not installed.
    """
    if source == "robosuite":
        return robosuite_stage(task, robot, seed=int(rng.integers(2**31)))
    if source == "gymnasium":
        return gymnasium_stage(task)
    if source == "procedural":
        return tabletop_stage(rng)
    raise ValueError(f"unknown source {source!r}; choose one of {', '.join(TRAIN_TASKS)}")
