"""Gymnasium's MuJoCo models as stages: random postures, seen from around."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from stemob_wrappers.extras import needs

with needs("mujoco"):
    import mujoco

from stemob_wrappers.renders.stages.stage import Stage, State, move_to, orbit


def gymnasium_stage(name: str) -> Stage:
    """One of Gymnasium's MuJoCo models in random postures. Gymnasium itself is not imported."""
    package = importlib.util.find_spec("gymnasium")
    if package is None or package.origin is None:
        raise ImportError("Scenes of this source need Gymnasium's models: pip install gymnasium.")
    path = Path(package.origin).parent / "envs" / "mujoco" / "assets" / f"{name}.xml"
    return Stage(mujoco.MjSpec.from_file(str(path)), (0, 1, 2), draw_posture)


def draw_posture(model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> State:
    """Random joint angles, the lowest part at the floor, seen from around."""
    spread = rng.uniform(0.2, 1.0)
    qpos = model.qpos0.copy()
    for index in range(model.njnt):
        address, kind = int(model.jnt_qposadr[index]), int(model.jnt_type[index])
        if kind == mujoco.mjtJoint.mjJNT_FREE:
            tilt = np.array([1.0, *rng.normal(0.0, 0.3 * spread, 3)])
            qpos[address + 3 : address + 7] = tilt / np.linalg.norm(tilt)
        elif model.jnt_limited[index]:
            low, high = model.jnt_range[index]
            if kind == mujoco.mjtJoint.mjJNT_SLIDE:  # some slides reach metres out of the scene
                low, high = max(low, -0.3), min(high, 0.3)
            centre = np.clip(qpos[address], low, high)
            qpos[address] = centre + spread * (rng.uniform(low, high) - centre)
        elif kind == mujoco.mjtJoint.mjJNT_HINGE:
            qpos[address] += rng.normal(0.0, 0.4 * spread)
    move_to(model, data, qpos)
    moving = model.body_rootid[model.geom_bodyid] != 0
    points = data.geom_xpos[moving]
    target = points.mean(axis=0)
    radius = float(np.linalg.norm(points - target, axis=1).max()) + 0.15
    fovy = rng.uniform(35.0, 55.0)
    distance = rng.uniform(1.0, 1.9) * radius / np.tan(np.radians(fovy / 2.0))
    side = rng.choice([-1.0, 1.0]) * np.pi / 2.0 + rng.normal(0.0, 0.5)
    view = orbit(target, distance, side, rng.uniform(0.05, 0.9), fovy)
    return State(qpos, model.body_pos.copy(), model.body_quat.copy(), view)
