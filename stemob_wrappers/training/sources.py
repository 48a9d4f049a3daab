"""Where training scenes come from: robosuite tasks, procedural tables, Gymnasium's MuJoCo models.

A source builds a `Stage`: an uncompiled MuJoCo scene and a function that draws states of it.
"""

# pyright: reportAttributeAccessIssue=false
# (MuJoCo ships no complete type stubs.)

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from stemob_wrappers.envs.simulator import import_robosuite
from stemob_wrappers.training.appearance import ORBIT_CAMERA
from stemob_wrappers.training.stage import Array, Stage, State, jitter, move_to, orbit
from stemob_wrappers.training.tabletop import tabletop_stage

TRAIN_TASKS: dict[str, tuple[str, ...]] = {
    "robosuite": (
        *("Lift", "Door", "Wipe", "NutAssembly", "NutAssemblySquare", "NutAssemblyRound"),
        *("PickPlace", "PickPlaceMilk", "PickPlaceBread", "PickPlaceCereal", "PickPlaceCan"),
    ),
    "procedural": ("table",),
    "gymnasium": ("half_cheetah", "hopper", "ant", "walker2d", "humanoid"),
}
TRAIN_ROBOTS = ("Panda", "Sawyer", "IIWA", "Jaco", "Kinova3")

HELD_OUT: dict[str, tuple[str, ...]] = {
    "tasks": (
        "Stack",
        *("ToolHang", "TwoArmLift", "TwoArmPegInHole", "TwoArmHandover", "TwoArmTransport"),
    ),
    "robots": ("UR5e",),
    "models": ("swimmer", "reacher", "pusher_v5"),
}
"""Never trained on. Stack and UR5e belong to the published tables; the other tasks and models test
a backbone on scenes that it does not know."""

HOLDOUT_SCENES = (
    *(("robosuite", "Stack", "Panda"), ("robosuite", "Stack", "UR5e")),
    *(("robosuite", "ToolHang", "Panda"), ("robosuite", "ToolHang", "UR5e")),
    *(("gymnasium", "pusher_v5", ""), ("gymnasium", "reacher", "")),
)
"""The validation scenes, taken in turn."""


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
    raise ValueError(f"Unknown source {source!r}; choose one of {', '.join(TRAIN_TASKS)}.")


# --- robosuite -----------------------------------------------------------------------------------

# How often a state is seen from each camera; what a task lacks goes to the first.
ROBOSUITE_CAMERAS = {
    "agentview": 0.45,
    ORBIT_CAMERA: 0.25,
    "robot0_eye_in_hand": 0.1,
    "frontview": 0.08,
    "sideview": 0.08,
    "birdview": 0.04,
}


def robosuite_stage(task: str, robot: str, seed: int) -> Stage:
    """A robosuite task with one arm; objects are placed by the task, the arm strays from home."""
    env: Any = import_robosuite().make(
        task,
        robots=robot,
        seed=seed,
        has_renderer=False,
        has_offscreen_renderer=False,
        use_camera_obs=False,
        hard_reset=False,
    )
    spec = mujoco.MjSpec.from_string(env.edit_model_xml(env.model.get_xml()))

    def draw_state(model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> State:
        env.reset()
        placed = env.sim.model
        model.body_pos[:], model.body_quat[:] = placed.body_pos, placed.body_quat
        qpos = stray(model, data, np.array(env.sim.data.qpos), rng)
        names = list(ROBOSUITE_CAMERAS)
        camera = names[int(rng.choice(len(names), p=list(ROBOSUITE_CAMERAS.values())))]
        if camera == ORBIT_CAMERA:
            target = np.array([0.0, 0.0, 0.9]) + rng.normal(0.0, 0.08, 3)
            azimuth, height = rng.uniform(-2.0, 2.0), rng.uniform(0.15, 1.1)
            view = orbit(target, rng.uniform(0.7, 1.6), azimuth, height, rng.uniform(40.0, 60.0))
        else:
            available = {model.cam(i).name for i in range(model.ncam)}
            in_hand = camera == "robot0_eye_in_hand"
            camera = camera if camera in available else "agentview"
            view = jitter(model, camera, 0.01 if in_hand else 0.03, rng)
        return State(qpos, np.array(placed.body_pos), np.array(placed.body_quat), view)

    return Stage(spec, (1, 2), draw_state)


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
    hand = "gripper0_right_grip_site"
    qpos = home.copy()
    for scale in (rng.choice([0.05, 0.2, 0.4]), 0.2, 0.1, 0.05, 0.0):
        for joint in arm:
            low, high = joint.range if joint.range[0] < joint.range[1] else (-np.inf, np.inf)
            address = int(joint.qposadr[0])
            qpos[address] = np.clip(home[address] + rng.normal(0.0, scale), low, high)
        move_to(model, data, qpos)
        if data.site(hand).xpos[2] > 0.84:
            break
    if len(fingers) == 2:
        opening = fingers[0].range[0] + rng.random() * np.ptp(fingers[0].range)
        qpos[[int(f.qposadr[0]) for f in fingers]] = [opening, -opening]
    if objects and rng.random() < 0.2:
        held = int(objects[int(rng.integers(len(objects)))].qposadr[0])
        qpos[held : held + 3] = data.site(hand).xpos
    move_to(model, data, qpos)
    return qpos


# --- Gymnasium -----------------------------------------------------------------------------------


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
