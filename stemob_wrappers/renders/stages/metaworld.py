"""Meta-World's table tops: a Sawyer arm, one of 40 things, and strangers beside it.

Only the models are read, which are under the MIT licence; the package itself is not imported, and
its pin on another MuJoCo does not matter: ``pip install --no-deps metaworld==3.1.1``.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from stemob_wrappers.extras import needs

with needs("mujoco"):
    import mujoco

from stemob_wrappers.renders.stages.crowded import (
    STRANGER,
    add_strangers,
    place_strangers,
)
from stemob_wrappers.renders.stages.stage import Array, Stage, State, move_to, orbit

TABLE = np.array([0.0, 0.6, 0.0])  # m, the middle of its top
OWN_NAMES = ("world", "tablelink", "RetainingWall", "base", "mocap", "")  # bodies of every scene
HAND = "endEffector"
READY = (1.96, -0.3, 0.66, 1.33, -3.26, -0.22, 2.15)  # rad, the hand above the table
VIEWS = 2  # of each layout


def metaworld_stage(name: str) -> Stage:
    """One of Meta-World's scenes: its things moved about, the arm above the table.

    Raises:
        ImportError: the package is not installed.
    """
    package = importlib.util.find_spec("metaworld")
    if package is None or package.origin is None:
        raise ImportError(
            "Scenes of this source need Meta-World's models: pip install --no-deps metaworld==3.1.1"
        )
    assets = Path(package.origin).parent / "assets" / "sawyer_xyz"
    spec = mujoco.MjSpec.from_file(str(assets / f"sawyer_{name}.xml"))
    add_strangers(spec)
    left: list[State] = []
    home: list[Array] = []

    def draw_state(model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> State:
        if not home:
            home.append(model.body_pos.copy())
        if not left:
            model.body_pos[:] = home[0]
            left.extend(draw_layout(model, data, rng))
        return left.pop()

    return Stage(spec, (0, 1, 2), draw_state)


def draw_layout(
    model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator
) -> list[State]:
    """Move the things about; return the states of this layout, each seen from another side."""
    qpos = model.qpos0.copy()
    for body in range(1, model.nbody):
        own = model.body(body).name in OWN_NAMES or model.body(body).name.startswith(STRANGER)
        if model.body_parentid[body] == 0 and not own:
            model.body_pos[body, :2] += rng.uniform(-0.15, 0.15, 2)
    for joint in range(model.njnt):
        address, kind = int(model.jnt_qposadr[joint]), int(model.jnt_type[joint])
        low, high = model.jnt_range[joint]
        if kind == mujoco.mjtJoint.mjJNT_FREE:
            qpos[address : address + 2] = TABLE[:2] + rng.uniform(-0.25, 0.25, 2)
        elif low < high and not model.jnt(joint).name.startswith("right_j"):
            qpos[address] = rng.uniform(low, high)
    _bend_arm(model, data, qpos, rng)
    place_strangers(model, TABLE, np.array(data.site(HAND).xpos), rng)
    poses = model.body_pos.copy(), model.body_quat.copy()
    states = []
    for _ in range(VIEWS):
        target = TABLE + rng.normal((0.0, 0.0, 0.1), 0.08)
        azimuth, height = rng.uniform(-np.pi, np.pi), rng.uniform(0.2, 1.3)
        view = orbit(target, rng.uniform(0.5, 1.4), azimuth, height, rng.uniform(40, 60))
        states.append(State(qpos, *poses, view))
    return states


def _bend_arm(
    model: mujoco.MjModel, data: mujoco.MjData, qpos: Array, rng: np.random.Generator
) -> None:
    """Draw joint angles until the hand is over the table."""
    joints = [model.joint(f"right_j{index}") for index in range(len(READY))]
    addresses = [int(joint.qposadr[0]) for joint in joints]
    for spread in (0.35, 0.25, 0.15, 0.05, 0.0):
        qpos[addresses] = np.array(READY) + rng.normal(0, spread, len(READY))
        move_to(model, data, qpos)
        offset = data.site(HAND).xpos - TABLE
        if np.abs(offset[:2]).max() < 0.35 and 0.03 < offset[2] < 0.5:
            break
