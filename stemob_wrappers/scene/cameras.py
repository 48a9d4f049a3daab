"""Factors that change the camera, and objects that are drawn into the scene and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.extras import needs

with needs("mujoco"):
    import mujoco

from stemob_wrappers.scene.edit import SceneEdit
from stemob_wrappers.scene.factor import factor
from stemob_wrappers.scene.textures import draw_colour

_SHAPES = ("BOX", "SPHERE", "CYLINDER", "CAPSULE", "ELLIPSOID")


@factor(
    "camera_position",
    (0.01, 0.02, 0.04, 0.07, 0.11, 0.16),
    "metres",
    colosseum="camera_pose",
    libero_plus="Camera Viewpoints",
    elsewhere="robosuite: ±0.01 m; RL-ViGen: ±0.12 (easy), ±0.16 (hard); Colosseum: ±0.1",
)
def position(edit: SceneEdit, rng: np.random.Generator, metres: float) -> dict[str, Any]:
    """Move every camera by one vector; none turns."""
    shift = rng.normal(size=3)
    shift *= metres / np.linalg.norm(shift)
    for field in ("cam_pos", "cam_pos0", "cam_poscom0"):  # the last two for tracking cameras
        edit.set(field, getattr(edit.model, field) + shift)
    edit.set("stat.center", np.array(edit.model.stat.center) + shift)
    edit.free_camera = (shift, edit.free_camera[1])
    return {"metres": metres, "xyz": shift.tolist()}


@factor(
    "camera_orientation",
    (0.5, 1.5, 3.0, 5.0, 7.5, 10.0),
    "degrees",
    colosseum="camera_pose",
    libero_plus="Camera Viewpoints",
    elsewhere="robosuite: 5°; RL-ViGen: 6.9° (easy), 9.2° (hard); Colosseum: ±2.9° an axis",
)
def orientation(edit: SceneEdit, rng: np.random.Generator, degrees: float) -> dict[str, Any]:
    """Turn every camera where it is; a free camera goes around what it looks at instead."""
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    turn = np.zeros(4)
    mujoco.mju_axisAngle2Quat(turn, axis, np.radians(degrees))
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, turn)
    for camera in range(edit.model.ncam):
        turned = np.zeros(4)
        mujoco.mju_mulQuat(turned, edit.model.cam_quat[camera], turn)
        edit.set("cam_quat", turned, camera)
        frame = edit.model.cam_mat0[camera].reshape(3, 3) @ rotation.reshape(3, 3)
        edit.set("cam_mat0", frame.ravel(), camera)
    azimuth = rng.uniform(0.0, 2.0 * np.pi)
    around = (float(degrees * np.cos(azimuth)), float(degrees * np.sin(azimuth)))
    edit.free_camera = (edit.free_camera[0], around)
    edit.set("vis.global_.azimuth", edit.model.vis.global_.azimuth + around[0])
    edit.set("vis.global_.elevation", edit.model.vis.global_.elevation + around[1])
    return {"degrees": degrees, "axis": axis.tolist(), "free_camera_degrees": list(around)}


@factor(
    "camera_fov",
    (1.0, 2.5, 5.0, 9.0, 14.0, 20.0),
    "degrees, wider or narrower",
    libero_plus="Camera Viewpoints",
    elsewhere="robosuite: ±5°; RL-ViGen: ±10° (easy), ±20° (hard)",
)
def field_of_view(edit: SceneEdit, rng: np.random.Generator, degrees: float) -> dict[str, Any]:
    """Widen or narrow the vertical field of view of every camera."""
    change = degrees if rng.random() < 0.5 else -degrees
    edit.set("cam_fovy", np.clip(edit.model.cam_fovy + change, 5.0, 170.0))
    edit.set("vis.global_.fovy", float(np.clip(edit.model.vis.global_.fovy + change, 5.0, 170.0)))
    return {"degrees": change}


@factor(
    "distractors",
    (0.6, 1.4, 2.4, 4.4, 7.4, 12.4),
    "number of objects, rounded; drawn only, they touch nothing",
    colosseum="distractor_object",
    libero_plus="Objects Layout (confounding objects)",
    elsewhere="Colosseum: 2 objects a task",
)
def distractors(edit: SceneEdit, rng: np.random.Generator, count: float) -> dict[str, Any]:
    """Stand simple objects near the rim of the table; on the ground around, where there is none."""
    centre, reach, size = _ground(edit)
    for _ in range(round(count)):
        shape = _SHAPES[int(rng.integers(len(_SHAPES)))]
        half = size * rng.uniform(0.5, 1.0, 3)
        along = rng.uniform(-1.0, 1.0, 2)
        along *= rng.uniform(0.5, 0.95) / np.abs(along).max()  # on the rim of a rectangle
        angle = rng.uniform(0.0, 2.0 * np.pi)
        turn = np.zeros(9)
        mujoco.mju_axisAngle2Quat(quat := np.zeros(4), np.array([0.0, 0.0, 1.0]), angle)
        mujoco.mju_quat2Mat(turn, quat)
        geom_type = getattr(mujoco.mjtGeom, f"mjGEOM_{shape}")
        edit.geoms.append(
            {
                "type": geom_type,
                "size": half,
                "pos": centre + np.array([*(along * reach), _height(shape, half)]),
                "mat": turn,
                "rgba": np.array([*draw_colour(rng), 1.0], np.float32),
            }
        )
    return {"count": round(count), "metres": 2.0 * size}


def _ground(edit: SceneEdit) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Middle and half sides of what distractors stand on, and their half size [m]."""
    model, positions = edit.model, edit.rest_positions  # whatever happened in episodes before
    tables = edit.surfaces.geoms("table")
    boxes = tables[model.geom_type[tables] == mujoco.mjtGeom.mjGEOM_BOX]
    if len(boxes):
        top = boxes[np.argmax(model.geom_size[boxes, 0] * model.geom_size[boxes, 1])]
        height = np.array([0.0, 0.0, model.geom_size[top, 2]])
        return positions[top] + height, model.geom_size[top, :2], 0.035
    robot = edit.surfaces.geoms("robot")
    middle = positions[robot].mean(axis=0) if len(robot) else np.array(model.stat.center)
    floors = edit.surfaces.geoms("floor")
    middle[2] = positions[floors, 2].max() if len(floors) else 0.0
    return middle, np.full(2, 0.2 * model.stat.extent), 0.02 * model.stat.extent


def _height(shape: str, half: NDArray[np.float64]) -> float:
    """How high the middle of a shape is when it stands; as `mjv_initGeom` reads its size."""
    if shape == "SPHERE":
        return float(half[0])
    if shape == "CYLINDER":
        return float(half[1])
    return float(half[0] + half[1]) if shape == "CAPSULE" else float(half[2])
