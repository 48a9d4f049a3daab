"""Which scenes a folder is to hold, and what decides the bytes of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stemob_wrappers.splits import HOLDOUT_SCENES, TRAIN_ROBOTS, TRAIN_TASKS, Source, Split

FORMAT = 2  # raised whenever the same plan comes to be drawn differently

SOURCE_SHARES: dict[Source, float] = {"robosuite": 0.5, "procedural": 0.35, "gymnasium": 0.15}
TASK_SHARES = {"Lift": 10, "PickPlaceCan": 2, "NutAssemblySquare": 2, "Door": 1, "Wipe": 1}
"""Of every 16 task scenes so many are of a task; all of them are in ``TRAIN_TASKS``."""
TASK_CAMERAS = ("agentview", "robot0_eye_in_hand")
MANIPULATING = 0.7  # of an env's states, where it has an arm


@dataclass(frozen=True)
class ScenePlan:
    """All that decides the bytes of one scene file.

    Attributes:
        source: of the scene; "env" is a Gymnasium env as its user sees it, the others are built
            here and looked at from anywhere.
        task: of robosuite, Gymnasium's model, or the env's id.
        robot: of robosuite.
        camera: of an env; None for its own.
        seed, index: what everything is drawn from.
        split: of textures, lights and colours.
        size: side of the square frames in pixels.
        states: layouts.
        appearances: of each layout; the first is the nominal one.
        manipulating: share of an env's states in which the arm is at an object, see
            `stemob_wrappers.renders.stages.poses`.
        format: of the drawing code.
    """

    source: Source | Literal["env"]
    task: str
    seed: int
    index: int
    split: Split
    size: int
    states: int
    appearances: int
    robot: str = ""
    camera: str | None = None
    manipulating: float = 0.0
    format: int = FORMAT

    def __post_init__(self) -> None:
        if min(self.size, self.states, self.appearances) < 1:
            raise ValueError(
                "size, states and appearances (the first is the nominal one) must be at least 1, "
                f"received {self.size}, {self.states} and {self.appearances}"
            )


def plan_scenes(
    num_scenes: int,
    *,
    seed: int = 0,
    size: int = 128,
    states: int = 24,
    appearances: int = 6,
    shares: Mapping[Source, float] = SOURCE_SHARES,
    holdout: bool = False,
) -> list[ScenePlan]:
    """Plan scenes of many tasks, robots and cameras; the first n do not depend on how many follow.

    Args:
        shares: how often each source is drawn.
        holdout: plan validation scenes instead, of tasks, robots, textures and seeds that are
            never trained on.

    Raises:
        ValueError: a count is below 1, or a source is unknown.

    Example:
        >>> [plan.source for plan in plan_scenes(3)]
        ['procedural', 'gymnasium', 'robosuite']
    """
    _check_count(num_scenes)
    if unknown := sorted(set(shares) - set(TRAIN_TASKS)):
        raise ValueError(f"unknown sources {unknown}; choose from {', '.join(TRAIN_TASKS)}")
    split: Split = "dev" if holdout else "train"
    plans = []
    for index in range(num_scenes):
        if holdout:
            source, task, robot = HOLDOUT_SCENES[index % len(HOLDOUT_SCENES)]
        else:
            source, task, robot = _draw_scene(np.random.default_rng([seed, index, 0]), shares)
        plans.append(ScenePlan(source, task, seed, index, split, size, states, appearances, robot))
    return plans


def plan_task_scenes(num_scenes: int, *, seed: int = 0, size: int = 128) -> list[ScenePlan]:
    """Plan scenes of tasks that policies are trained on, through a policy's cameras.

    The first n do not depend on how many follow; every 16 have the tasks by their shares.

    Raises:
        ValueError: ``num_scenes`` is below 1.

    Example:
        >>> [(plan.task, plan.camera) for plan in plan_task_scenes(2)]
        [('stemob/Lift-v0', 'agentview'), ('stemob/Lift-v0', 'robot0_eye_in_hand')]
    """
    _check_count(num_scenes)
    turns = [task for task, share in TASK_SHARES.items() for _ in range(share)]
    plans = []
    for index in range(num_scenes):
        # Tasks go round quickly and evenly: steps of 5 visit all 16 turns.
        task = turns[5 * index % len(turns)]
        turn = index if task == "Lift" else index // len(turns)
        camera = TASK_CAMERAS[turn % 2]
        plans.append(
            ScenePlan(
                *("env", f"stemob/{task}-v0", seed, index, "train", size, 16, 9),
                camera=camera,
                manipulating=MANIPULATING,
            )
        )
    return plans


def plan_env_scenes(
    env_id: str,
    num_scenes: int,
    *,
    cameras: Sequence[str] = (),
    seed: int = 0,
    size: int = 128,
    states: int = 24,
    appearances: int = 6,
    split: Split = "train",
) -> list[ScenePlan]:
    """Plan scenes of a user's env.

    Args:
        env_id: a Gymnasium id with a MuJoCo model beneath.
        num_scenes: how many; every severity of change gets its share.
        cameras: to look through, taken in turn; none for the env's own.
        split: of textures, colours and seeds.

    Raises:
        ValueError: a count is below 1.

    Example:
        >>> plans = plan_env_scenes("HalfCheetah-v5", 2)
        >>> plans[0].task, plans[1].camera
        ('HalfCheetah-v5', None)
    """
    _check_count(num_scenes)
    looked_through = list(cameras) or [None]
    return [
        ScenePlan(
            *("env", env_id, seed, index, split, size, states, appearances),
            camera=looked_through[index % len(looked_through)],
            manipulating=MANIPULATING,
        )
        for index in range(num_scenes)
    ]


def _draw_scene(
    rng: np.random.Generator, shares: Mapping[Source, float]
) -> tuple[Source, str, str]:
    sources = list(shares)
    chances = np.array(list(shares.values())) / sum(shares.values())
    source = sources[int(rng.choice(len(sources), p=chances))]
    task = str(rng.choice(TRAIN_TASKS[source]))
    robot = str(rng.choice(TRAIN_ROBOTS)) if source == "robosuite" else ""
    return source, task, robot


def _check_count(num_scenes: int) -> None:
    if num_scenes < 1:
        raise ValueError(f"num_scenes must be at least 1, received {num_scenes}")
