"""What every source of training scenes gives: an uncompiled scene and a way to draw its states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.extras import needs

with needs("mujoco"):
    import mujoco

from stemob_wrappers.renders.paint import ORBIT_CAMERA

Array = NDArray[np.float64]


@dataclass(frozen=True)
class View:
    """A camera of the scene, moved: pose in the frame of its body, fovy in degrees."""

    camera: str
    pos: Array
    quat: Array
    fovy: float


@dataclass(frozen=True)
class State:
    """A layout of the scene and a view of it. Some tasks place things by moving body frames."""

    qpos: Array
    body_pos: Array
    body_quat: Array
    view: View


@dataclass(frozen=True)
class Stage:
    """An uncompiled scene, the geom groups to draw, and a function that draws a state of it."""

    spec: mujoco.MjSpec
    visible_groups: tuple[int, ...]
    draw_state: Callable[[mujoco.MjModel, mujoco.MjData, np.random.Generator], State]


def move_to(model: mujoco.MjModel, data: mujoco.MjData, qpos: Array) -> None:
    """Set the joint positions and update where bodies, lights and cameras are."""
    data.qpos[:] = qpos
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    mujoco.mj_camlight(model, data)


def orbit(target: Array, distance: float, azimuth: float, height: float, fovy: float) -> View:
    """The free camera, looking at ``target`` [m] from ``azimuth`` and ``height`` [rad]."""
    back = np.array(
        [np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)]
    )
    right = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
    quat = np.zeros(4)
    rotation = np.stack([right, np.cross(back, right), back], axis=1)
    mujoco.mju_mat2Quat(quat, np.ascontiguousarray(rotation).ravel())
    return View(ORBIT_CAMERA, target + distance * back, quat, fovy)


def jitter(model: mujoco.MjModel, camera: str, scale: float, rng: np.random.Generator) -> View:
    """A fixed camera, moved and turned a little (``scale`` in m and in rad), zoomed a little."""
    turn = rng.normal(0.0, scale, 3)
    turned, quat = np.zeros(4), np.zeros(4)
    angle = float(np.linalg.norm(turn))
    mujoco.mju_axisAngle2Quat(turned, turn / angle, angle)
    mujoco.mju_mulQuat(quat, model.cam(camera).quat, turned)
    pos = model.cam(camera).pos + rng.normal(0.0, scale, 3)
    return View(camera, pos, quat, float(model.cam(camera).fovy[0]) * rng.uniform(0.85, 1.1))
