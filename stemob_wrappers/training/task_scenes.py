"""Scenes of the tasks that a canonical backbone knows, through the cameras that policies use."""

from __future__ import annotations

from pathlib import Path

from stemob_wrappers.training.env_scenes import EnvPlan
from stemob_wrappers.training.scenes import render_plans

CAMERAS = ("agentview", "robot0_eye_in_hand")
TASK_SHARES = {"Lift": 10, "PickPlaceCan": 2, "NutAssemblySquare": 2, "Door": 1, "Wipe": 1}
"""Of every 16 scenes so many are of a task; all of them are in ``TRAIN_TASKS``."""


def plan_task_scenes(num_scenes: int, *, seed: int = 0, size: int = 128) -> list[EnvPlan]:
    """Decide what each scene is; the first n plans do not depend on how many follow."""
    turns = [task for task, share in TASK_SHARES.items() for _ in range(share)]
    plans = []
    for index in range(num_scenes):
        # Tasks go round quickly and evenly: steps of 5 visit all 16 turns.
        task = turns[5 * index % len(turns)]
        camera = CAMERAS[index // len(turns) % 2] if task != "Lift" else CAMERAS[index % 2]
        plans.append(EnvPlan(f"stemob/{task}-v0", camera, seed, index, "train", size, 16, 9))
    return plans


def render_task_scenes(
    out: Path, *, num_scenes: int = 48, seed: int = 0, workers: int = 1, size: int = 128
) -> list[Path]:
    """Render known tasks under train looks; scenes that are there and whole are kept.

    Args:
        out: folder of the files, made if missing.
        num_scenes: how many scenes, of 144 frames each.
        seed: base seed of all draws.
        workers: processes that render.
        size: side of the square frames in pixels.

    Raises:
        ValueError: the folder holds scenes of other settings.

    Example:
        >>> render_task_scenes(Path("scenes/tasks"), num_scenes=2) # doctest: +SKIP
    """
    return render_plans(plan_task_scenes(num_scenes, seed=seed, size=size), out, workers)
