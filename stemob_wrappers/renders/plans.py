"""Which scenes there are to render, and what decides the bytes of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from stemob_wrappers.perturb.names import SEVERITIES
from stemob_wrappers.renders.files import Scene
from stemob_wrappers.renders.pairs import render_env
from stemob_wrappers.splits import HOLDOUT_SCENES, TRAIN_ROBOTS, TRAIN_TASKS, Split

FORMAT = 1


DEFAULT_SOURCES = {"robosuite": 0.5, "procedural": 0.35, "gymnasium": 0.15}


@dataclass(frozen=True)
class ScenePlan:
    """All that decides the bytes of one scene file."""

    seed: int
    index: int
    source: str
    task: str
    robot: str
    split: Split
    size: int
    states: int
    appearances: int
    format: int = FORMAT

    def render(self) -> Scene:
        """Render the scene: see `render_scene`."""
        from stemob_wrappers.renders.draw import render_scene

        return render_scene(self)


def plan_scenes(
    num_scenes: int,
    *,
    seed: int = 0,
    size: int = 128,
    states: int = 24,
    appearances: int = 6,
    sources: Mapping[str, float] | None = None,
    holdout: bool = False,
) -> list[ScenePlan]:
    """Decide what each scene is; the first n plans do not depend on how many follow.

    Args:
        sources: how often each source is drawn, by name; half robosuite unless told otherwise.
        holdout: plan validation scenes instead, of tasks, robots, textures and seeds that are
            never trained on.

    Raises:
        ValueError: a count is below 1, or a source is unknown.
    """
    for name, value in (("num_scenes", num_scenes), ("size", size), ("states", states)):
        if value < 1:
            raise ValueError(f"Need {name} >= 1, got {value}.")
    if appearances < 1:
        raise ValueError(
            f"Need appearances >= 1 (the first is the nominal look), got {appearances}."
        )
    weights = dict(DEFAULT_SOURCES if sources is None else sources)
    if unknown := sorted(set(weights) - set(TRAIN_TASKS)):
        raise ValueError(f"Unknown sources {unknown}; choose from {', '.join(TRAIN_TASKS)}.")
    plans = []
    for index in range(num_scenes):
        rng = np.random.default_rng([seed, index, 0])
        if holdout:
            source, task, robot = HOLDOUT_SCENES[index % len(HOLDOUT_SCENES)]
        else:
            chances = np.array(list(weights.values())) / sum(weights.values())
            source = str(rng.choice(list(weights), p=chances))
            task = str(rng.choice(TRAIN_TASKS[source]))
            robot = str(rng.choice(TRAIN_ROBOTS)) if source == "robosuite" else ""
        split: Split = "dev" if holdout else "train"
        plans.append(ScenePlan(seed, index, source, task, robot, split, size, states, appearances))
    return plans


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


@dataclass(frozen=True)
class EnvPlan:
    """All that decides the bytes of one scene file; severities go round with the index."""

    env_id: str
    camera: str | None
    seed: int
    index: int
    split: Split
    size: int
    states: int
    appearances: int
    at_work: float = 0.7

    def render(self) -> Scene:
        """Render the env's states under its nominal look, look 0, and under others."""
        frames, points, names = render_env(
            self.env_id,
            states=self.states,
            appearances=self.appearances,
            size=self.size,
            severity=SEVERITIES[self.index % len(SEVERITIES)],
            seed=self.seed * 1_009 + self.index,
            split=self.split,
            camera=self.camera,
            at_work=self.at_work,
        )
        by_state = np.ascontiguousarray(frames.swapaxes(0, 1))
        return Scene(by_state, points.reshape(len(points), -1), {**asdict(self), "points": names})
