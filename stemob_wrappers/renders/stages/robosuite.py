"""robosuite's tasks as stages: the arm astray, seen by the task's cameras and from around."""

from __future__ import annotations

from typing import Any

import numpy as np

from stemob_wrappers.extras import needs

with needs("mujoco"):
    import mujoco

from stemob_wrappers.envs.simulator import import_robosuite
from stemob_wrappers.renders.paint import ORBIT_CAMERA
from stemob_wrappers.renders.stages.poses import stray
from stemob_wrappers.renders.stages.stage import Stage, State, jitter, orbit

# How often a state is seen from each camera; what a task lacks goes to the first.
ROBOSUITE_CAMERAS = {
    "agentview": 0.45,
    ORBIT_CAMERA: 0.25,
    "robot0_eye_in_hand": 0.1,
    "frontview": 0.08,
    "sideview": 0.08,
    "birdview": 0.04,
}


def open_task(task: str, robot: str, seed: int) -> tuple[Any, mujoco.MjSpec]:
    """A robosuite task that renders nothing itself, and its uncompiled scene."""
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
    return env, spec


def robosuite_stage(task: str, robot: str, seed: int) -> Stage:
    """A robosuite task with one arm; objects are placed by the task, the arm strays from home."""
    env, spec = open_task(task, robot, seed)

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
