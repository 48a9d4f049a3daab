"""robosuite tasks with hands at work, and with strange things of any shape, size and colour."""

from __future__ import annotations

import numpy as np

from stemob_wrappers.extras import needs

with needs("mujoco"):
    import mujoco

from stemob_wrappers.renders.paint import ORBIT_CAMERA
from stemob_wrappers.renders.stages.poses import bring_to_work, free_objects, hand_position, stray
from stemob_wrappers.renders.stages.robosuite import open_task
from stemob_wrappers.renders.stages.stage import Array, Stage, State, View, jitter, move_to, orbit
from stemob_wrappers.scene.textures import draw_colour

STRANGER = "stranger"
STRANGERS = 7  # at most
PARTS = 2
SHAPES = {
    mujoco.mjtGeom.mjGEOM_BOX: 0.55,
    mujoco.mjtGeom.mjGEOM_CYLINDER: 0.2,
    mujoco.mjtGeom.mjGEOM_SPHERE: 0.1,
    mujoco.mjtGeom.mjGEOM_CAPSULE: 0.05,
    mujoco.mjtGeom.mjGEOM_ELLIPSOID: 0.1,
}
CAMERAS = {  # how often a state is seen from each; what a task lacks goes to the first
    "agentview": 0.42,
    ORBIT_CAMERA: 0.25,
    "robot0_eye_in_hand": 0.17,
    "frontview": 0.07,
    "sideview": 0.06,
    "birdview": 0.03,
}
VIEWS = 2  # of each layout
AT_WORK = 0.6  # share of layouts with the hand at an object
CLEARED = 0.35  # share of layouts without some of the task's own objects
SPREAD = 0.28  # m from the middle of the table
OUT_OF_SIGHT = -5.0  # m


def crowded_stage(task: str, robot: str, seed: int) -> Stage:
    """A robosuite task with one arm and up to 7 strangers; each layout is seen twice.

    Drawing a state also changes type, size and colour of the strangers in the model.
    """
    env, spec = open_task(task, robot, seed)
    add_strangers(spec)
    ground = np.array(getattr(env, "table_offset", [0.0, 0.0, 0.8]), np.float64)
    left: list[State] = []

    def draw_state(model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> State:
        if not left:
            env.reset()
            placed = env.sim.model
            model.body_pos[: placed.nbody], model.body_quat[: placed.nbody] = (
                placed.body_pos,
                placed.body_quat,
            )
            qpos = draw_posture(model, data, np.array(env.sim.data.qpos), rng)
            place_strangers(model, ground, hand_position(model, data), rng)
            poses = model.body_pos.copy(), model.body_quat.copy()
            left.extend(State(qpos, *poses, draw_view(model, ground, rng)) for _ in range(VIEWS))
        return left.pop()

    return Stage(spec, (1, 2), draw_state)


def add_strangers(spec: mujoco.MjSpec) -> None:
    """Bodies of two shapes each, which `place_strangers` makes something of, or hides."""
    for index in range(STRANGERS):
        body = spec.worldbody.add_body(name=f"{STRANGER}_{index}")
        for part in range(PARTS):
            body.add_geom(
                name=f"stranger_{index}_{part}",
                type=mujoco.mjtGeom.mjGEOM_BOX,
                size=[0.02] * 3,
                group=1,
                contype=0,
                conaffinity=0,
                rgba=[0, 0, 0, 1],
            )


def draw_posture(
    model: mujoco.MjModel, data: mujoco.MjData, home: Array, rng: np.random.Generator
) -> Array:
    """Joint positions: a hand at work or astray, on a table that has lost some of its objects."""
    worked = bring_to_work(model, data, home, rng) if rng.random() < AT_WORK else None
    qpos = stray(model, data, home, rng) if worked is None else worked
    if rng.random() < CLEARED:
        for address in free_objects(model):
            if rng.random() < 0.7:
                qpos[address + 2] = OUT_OF_SIGHT
    move_to(model, data, qpos)
    return qpos


def place_strangers(
    model: mujoco.MjModel, ground: Array, hand: Array, rng: np.random.Generator
) -> None:
    """Draw how many strangers there are, what they are, and where on the table they stand.

    Some stand on one another, some hang in the air, one is now and then in the hand.

    Args:
        ground: middle of the table's top [m].
        hand: where the hand is [m].
    """
    count = int(rng.integers(0, STRANGERS + 1))
    below = None
    for index in range(STRANGERS):
        geoms = [model.geom(f"stranger_{index}_{part}").id for part in range(PARTS)]
        model.geom_rgba[geoms] = 0
        if index >= count:
            continue
        height = _shape(model, geoms[0], 1.0, rng)
        if rng.random() < 0.2:
            second = _shape(model, geoms[1], 0.7, rng)
            aside = rng.uniform(-0.03, 0.03, 2)
            model.geom_pos[geoms[1]] = [*aside, height + second * rng.uniform(-0.5, 1)]
        place = np.array([*(ground[:2] + rng.uniform(-SPREAD, SPREAD, 2)), ground[2] + height])
        if index == 0 and rng.random() < 0.25:
            place = hand + rng.normal(0, 0.004, 3)
        elif below is not None and rng.random() < 0.2:
            place = below + np.array([*rng.normal(0, 0.008, 2), height])
        elif rng.random() < 0.08:
            place[2] += rng.uniform(0.02, 0.3)
        yaw = rng.uniform(-np.pi, np.pi)
        body = model.body(f"{STRANGER}_{index}").id
        model.body_pos[body] = place
        model.body_quat[body] = [np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]
        below = place + np.array([0, 0, height])


def _shape(model: mujoco.MjModel, geom: int, scale: float, rng: np.random.Generator) -> float:
    """Make something of a geom; return half its height."""
    kinds = list(SHAPES)
    kind = kinds[int(rng.choice(len(kinds), p=list(SHAPES.values())))]
    radius = scale * float(np.exp(rng.uniform(np.log(0.013), np.log(0.045))))
    size = radius * (rng.uniform(0.5, 1.5, 3) if rng.random() < 0.5 else np.ones(3))
    height = {
        mujoco.mjtGeom.mjGEOM_CYLINDER: size[1],
        mujoco.mjtGeom.mjGEOM_SPHERE: size[0],
        mujoco.mjtGeom.mjGEOM_CAPSULE: size[0] + size[1],
    }.get(kind, size[2])
    round_ = [size[0], size[0], height]
    boxlike = kind in (mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_ELLIPSOID)
    model.geom_type[geom], model.geom_size[geom], model.geom_pos[geom] = kind, size, 0
    model.geom_aabb[geom] = [0, 0, 0, *(size if boxlike else round_)]
    model.geom_rbound[geom] = np.linalg.norm(model.geom_aabb[geom, 3:])
    model.geom_rgba[geom] = [*draw_colour(rng), 1]
    return float(height)


def draw_view(model: mujoco.MjModel, ground: Array, rng: np.random.Generator) -> View:
    """One of the task's cameras, moved a little, or a free one from near or far."""
    names = list(CAMERAS)
    camera = names[int(rng.choice(len(names), p=list(CAMERAS.values())))]
    if camera == ORBIT_CAMERA:
        target = ground + rng.normal((0.0, 0.0, 0.1), 0.08)
        azimuth, height = rng.uniform(-2.0, 2.0), rng.uniform(0.15, 1.2)
        return orbit(target, rng.uniform(0.5, 1.6), azimuth, height, rng.uniform(40.0, 60.0))
    available = {model.cam(index).name for index in range(model.ncam)}
    camera = camera if camera in available else "agentview"
    return jitter(model, camera, 0.01 if camera == "robot0_eye_in_hand" else 0.03, rng)
