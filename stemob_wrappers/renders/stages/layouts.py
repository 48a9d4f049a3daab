"""Layouts of a user's env: where a reset, an arm at work or random actions leave things."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.renders.stages.poses import bring_to_work, coloured_boxes, grip_site, stray
from stemob_wrappers.renders.stages.stage import move_to

REACH = 0.25  # m from where a reset leaves the hand; farther off, cameras lose sight of it
TRIES = 20


@dataclass(frozen=True)
class Layout:
    """Where joints and body frames are, and boxes that are drawn and nothing else.

    ``beside`` has the boxes as `stemob_wrappers.scene.edit.SceneEdit` has its ``geoms``.
    """

    qpos: NDArray[np.float64]
    body_pos: NDArray[np.float64]
    body_quat: NDArray[np.float64]
    beside: list[dict[str, Any]]


def draw_layout(env: Any, simulation: Any, seed: int, manipulating: float) -> Layout:
    """A reset, then away from it: an arm is at an object or strays, other envs act at random.

    Args:
        env: as Gymnasium makes it.
        simulation: its, by ``find_simulation``.
        manipulating: share of the seeds for which the arm is at an object, if there is one.
    """
    env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    model, data = simulation.model, simulation.data
    beside: list[dict[str, Any]] = []
    if grip_site(model) is None:
        env.action_space.seed(seed)
        for _ in range(int(rng.integers(1, 30))):
            env.step(env.action_space.sample())
        qpos = np.array(data.qpos)
    else:
        home, qpos = np.array(data.qpos), None
        if manipulating and rng.random() < manipulating:
            beside = coloured_boxes(model, home, rng)
            qpos = bring_to_work(model, data, home, rng)
        if qpos is None:
            qpos = _stray_nearby(model, data, home, rng)
    return Layout(qpos, np.array(model.body_pos), np.array(model.body_quat), beside)


def lay_out(simulation: Any, layout: Layout) -> None:
    """Put everything where the layout has it."""
    model = simulation.model
    model.body_pos[:], model.body_quat[:] = layout.body_pos, layout.body_quat
    move_to(model, simulation.data, layout.qpos)


def positions(
    simulation: Any, layouts: list[Layout]
) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Where the end effector and the free objects are; without those, every moving body.

    Returns:
        the P names, and the positions, float32 [S, P, 3] in m.
    """
    model = simulation.model
    site = grip_site(model)
    if site is None:
        bodies = [body for body in range(1, model.nbody) if model.body_dofnum[body]]
    else:
        bodies = [int(model.jnt_bodyid[j]) for j in range(model.njnt) if model.jnt_type[j] == 0]
    names = [] if site is None else ["end effector"]
    names += [model.body(body).name for body in bodies]
    points = np.empty((len(layouts), len(names), 3), np.float32)
    for index, layout in enumerate(layouts):
        lay_out(simulation, layout)
        data = simulation.data
        ends = [] if site is None else [data.site_xpos[site]]
        points[index] = [*ends, *(data.xpos[body] for body in bodies)]
    return tuple(names), points


def _stray_nearby(
    model: Any, data: Any, home: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """The arm astray, its hand within reach of where it was if a try gets that."""
    site = grip_site(model)
    move_to(model, data, home)
    start, qpos = np.array(data.site_xpos[site]), home
    for _ in range(TRIES):
        qpos = stray(model, data, home, rng)
        if np.linalg.norm(data.site_xpos[site] - start) < REACH:
            break
    return qpos
