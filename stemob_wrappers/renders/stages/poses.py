"""Poses of robosuite's arm: its hand at an object or holding it, or astray."""

from __future__ import annotations

from typing import Any

import numpy as np

from stemob_wrappers.extras import needs

with needs("mujoco"):
    import mujoco

from stemob_wrappers.renders.stages.stage import Array, move_to
from stemob_wrappers.scene.textures import draw_colour

GRIP_SITES = ("gripper0_right_grip_site", "gripper0_grip_site")  # robosuite 1.5, and before
HELD = 0.3  # share of states in which the object is in the hand
HEIGHT = 0.2  # m above its object that the hand is at most
WORKSPACE = 0.4  # m from home; farther off the hand does not reach with the palm down
IK_STEPS = 40
IK_DAMPING = 0.05


def grip_site(model: mujoco.MjModel) -> int | None:
    """The site between the fingers of robosuite's arm, by number; None without one."""
    names = (model.site(index).name for index in range(model.nsite))
    return next((index for index, name in enumerate(names) if name in GRIP_SITES), None)


def hand_position(model: mujoco.MjModel, data: mujoco.MjData) -> Array:
    """Where the hand of robosuite's arm is now, in m; a copy.

    Raises:
        ValueError: the model has no such arm.
    """
    site = grip_site(model)
    if site is None:
        raise ValueError(
            f"need a model with a site of {', '.join(GRIP_SITES)}; it has none of them"
        )
    return np.array(data.site_xpos[site])


def bring_to_work(
    model: mujoco.MjModel, data: mujoco.MjData, home: Array, rng: np.random.Generator
) -> Array | None:
    """Joint positions with the hand above, around or closed on an object; None without one near.

    The palm looks down as at ``home``, turned and tilted a little, as end-effector controllers
    keep it.
    """
    move_to(model, data, home)
    start = hand_position(model, data)
    objects = [
        address
        for address in free_objects(model)
        if np.linalg.norm((home[address : address + 3] - start)[:2]) < WORKSPACE
    ]
    if not objects:
        return None
    qpos = home.copy()
    address = objects[int(rng.integers(len(objects)))]
    target = home[address : address + 3].copy()
    held = rng.random() < HELD
    height = HEIGHT * rng.random() ** 1.5
    if held:
        target[:2] += rng.normal(0.0, 0.06, 2)
        target[2] += height
    else:
        # Low down the hand is over its object; higher up it is still on its way.
        target[:2] += rng.normal(0.0, 0.008 + 0.35 * height, 2)
        target[2] += height
    solved = reach(model, data, qpos, target, rng)
    if solved is None:
        return None
    fingers = _fingers(model)
    if len(fingers) == 2:
        closed, opened = 0.021, float(np.abs(model.jnt_range[fingers[0]]).max())
        opening = closed if held else opened * rng.choice([1.0, rng.uniform(0.5, 1.0)])
        for joint, side in zip(fingers, (1.0, -1.0), strict=True):
            solved[model.jnt_qposadr[joint]] = side * opening
    if held:
        move_to(model, data, solved)
        slip = rng.normal(0.0, 0.004, 3)
        solved[address : address + 3] = hand_position(model, data) + slip
    return solved


def reach(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    home: Array,
    target: Array,
    rng: np.random.Generator,
) -> Array | None:
    """Joint positions with the grip site at ``target`` [m]; None if the arm does not get there.

    Damped least squares on position and rotation together.
    """
    site = grip_site(model)
    joints = [j for j in range(model.njnt) if model.jnt(j).name.startswith("robot0_")]
    dofs, places = model.jnt_dofadr[joints], model.jnt_qposadr[joints]
    low, high = model.jnt_range[joints].T
    move_to(model, data, home)
    turn = rng.normal(0.0, [0.04, 0.04, 0.15])
    wanted = _rotation(turn) @ data.site_xmat[site].reshape(3, 3)
    qpos, jacobian = home.copy(), np.zeros((6, model.nv))
    for _ in range(IK_STEPS):
        move_to(model, data, qpos)
        spin = wanted @ data.site_xmat[site].reshape(3, 3).T
        vector = np.array(
            [spin[2, 1] - spin[1, 2], spin[0, 2] - spin[2, 0], spin[1, 0] - spin[0, 1]]
        )
        error = np.concatenate([target - data.site_xpos[site], 0.5 * vector])
        if np.abs(error).max() < 2e-3:
            return qpos
        mujoco.mj_jacSite(model, data, jacobian[:3], jacobian[3:], site)
        arm = jacobian[:, dofs]
        move = arm.T @ np.linalg.solve(arm @ arm.T + IK_DAMPING**2 * np.eye(6), error)
        qpos[places] = np.clip(qpos[places] + move, low, high)
    return None


def coloured_boxes(
    model: mujoco.MjModel, qpos: Array, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Up to two boxes of any colour that stand by an object, as arguments of ``mjv_initGeom``.

    A backbone that has only ever seen a task's own objects takes a strange one for one of them.
    """
    objects = free_objects(model)
    if not objects:
        return []
    address = objects[int(rng.integers(len(objects)))]
    x, y, z = qpos[address : address + 3]
    ground = z - 0.02
    boxes = []
    for _ in range(int(rng.integers(0, 3))):
        half = np.array([*[rng.uniform(0.015, 0.03)] * 2, rng.uniform(0.015, 0.03)])
        distance, angle = rng.uniform(0.05, 0.16), rng.uniform(0.0, 2 * np.pi)
        place = [x + distance * np.cos(angle), y + distance * np.sin(angle), ground + half[2]]
        boxes.append(
            {
                "type": mujoco.mjtGeom.mjGEOM_BOX,
                "size": half,
                "pos": np.array(place),
                "mat": _rotation(np.array([0.0, 0.0, rng.uniform(0.0, np.pi)])).ravel(),
                "rgba": np.array([*draw_colour(rng), 1.0], np.float32),
            }
        )
    return boxes


def free_objects(model: mujoco.MjModel) -> list[int]:
    """Where in qpos the position of each object begins that nothing holds."""
    return [
        int(model.jnt_qposadr[joint])
        for joint in range(model.njnt)
        if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE
    ]


def _fingers(model: mujoco.MjModel) -> list[int]:
    return [
        joint
        for joint in range(model.njnt)
        if model.jnt(joint).name.startswith("gripper0_")
        and model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_SLIDE
    ]


def _rotation(vector: Array) -> Array:
    """The rotation about ``vector`` by its length [rad], 3 x 3."""
    angle = float(np.linalg.norm(vector))
    quat, matrix = np.zeros(4), np.zeros(9)
    mujoco.mju_axisAngle2Quat(quat, vector / max(angle, 1e-9), angle)
    mujoco.mju_quat2Mat(matrix, quat)
    return matrix.reshape(3, 3)


def stray(
    model: mujoco.MjModel, data: mujoco.MjData, home: Array, rng: np.random.Generator
) -> Array:
    """The arm away from home, its hand above the table; now and then an object in the hand."""
    joints = [model.jnt(i) for i in range(model.njnt)]
    arm = [j for j in joints if j.name.startswith("robot0_")]
    fingers = [
        j
        for j in joints
        if j.name.startswith("gripper0_") and j.type[0] == mujoco.mjtJoint.mjJNT_SLIDE
    ]
    objects = [j for j in joints if j.type[0] == mujoco.mjtJoint.mjJNT_FREE]
    qpos = home.copy()
    for scale in (rng.choice([0.05, 0.2, 0.4]), 0.2, 0.1, 0.05, 0.0):
        for joint in arm:
            low, high = joint.range if joint.range[0] < joint.range[1] else (-np.inf, np.inf)
            address = int(joint.qposadr[0])
            qpos[address] = np.clip(home[address] + rng.normal(0.0, scale), low, high)
        move_to(model, data, qpos)
        if hand_position(model, data)[2] > 0.84:
            break
    if len(fingers) == 2:
        opening = fingers[0].range[0] + rng.random() * np.ptp(fingers[0].range)
        qpos[[int(f.qposadr[0]) for f in fingers]] = [opening, -opening]
    if objects and rng.random() < 0.2:
        held = int(objects[int(rng.integers(len(objects)))].qposadr[0])
        qpos[held : held + 3] = hand_position(model, data)
    move_to(model, data, qpos)
    return qpos
