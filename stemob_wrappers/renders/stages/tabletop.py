"""Procedural table scenes: primitives on a table in a room, with or without a simple arm."""

from __future__ import annotations

import numpy as np

from stemob_wrappers.extras import needs

with needs("mujoco"):
    import mujoco

from stemob_wrappers.renders.stages.stage import Array, Stage, State, move_to, orbit
from stemob_wrappers.scene.textures import draw_colour

SHAPES = ("box", "sphere", "cylinder", "capsule", "ellipsoid")
ARM_AXES = ("0 0 1", "0 1 0", "0 1 0", "1 0 0", "0 1 0", "0 0 1")


def tabletop_stage(rng: np.random.Generator) -> Stage:
    """A room of its own proportions with 3 to 9 objects on a table; an arm in three of four."""
    table = np.array([*rng.uniform(0.3, 0.6, 2), rng.uniform(0.35, 0.45)])
    count = int(rng.integers(3, 10))
    has_arm = rng.random() < 0.75
    parts = [room(table, rng), *(primitive(i, rng) for i in range(count))]
    if has_arm:
        parts.append(arm(table, rng))
    xml = f"<mujoco><visual><global offwidth='640' offheight='640'/></visual>{_ASSETS}"
    xml += f"<worldbody>{''.join(parts)}</worldbody></mujoco>"

    def draw_state(model: mujoco.MjModel, data: mujoco.MjData, rng: np.random.Generator) -> State:
        return draw_tabletop(model, data, table, rng)

    return Stage(mujoco.MjSpec.from_string(xml), (0, 1, 2), draw_state)


_ASSETS = """
<asset>
  <texture name="sky" type="skybox" builtin="gradient" width="64" height="64"
           rgb1=".6 .7 .8" rgb2=".2 .25 .3"/>
  <texture name="tiles" type="2d" builtin="checker" width="64" height="64"
           rgb1=".75 .75 .75" rgb2=".55 .55 .55"/>
  <material name="tiles" texture="tiles" texrepeat="8 8"/>
</asset>"""


def text(values: Array) -> str:
    """Numbers as an XML attribute."""
    return " ".join(f"{value:.5f}" for value in values)


def rgba(rng: np.random.Generator) -> str:
    """Draw an opaque colour, as an XML attribute."""
    return f"{text(draw_colour(rng))} 1"


def room(table: Array, rng: np.random.Generator) -> str:
    """Floor, light, three walls (left out now and then) and the table, whose top is at z = 0."""
    x, y, half = table
    floor = -2.0 * half
    looks = "material='tiles'" if rng.random() < 0.5 else f"rgba='{rgba(rng)}'"
    wall = rgba(rng)
    parts = [
        f"<light name='key' pos='{rng.uniform(-1, 1):.3f} {rng.uniform(-1, 1):.3f} 2.5'"
        " dir='0 0 -1' type='directional' diffuse='.6 .6 .6' specular='.2 .2 .2'/>",
        f"<geom name='floor' type='plane' pos='0 0 {floor:.4f}' size='4 4 .1' {looks}/>",
        f"<geom name='table' type='box' pos='0 0 -.02' size='{x:.4f} {y:.4f} .02'"
        f" rgba='{rgba(rng)}'/>",
    ]
    legs = [(sx * (x - 0.04), sy * (y - 0.04)) for sx in (-1, 1) for sy in (-1, 1)]
    for index, (leg_x, leg_y) in enumerate(legs):
        parts.append(
            f"<geom name='table_leg_{index}' type='box' size='.025 .025 {half - 0.02:.4f}'"
            f" pos='{leg_x:.4f} {leg_y:.4f} {-half - 0.02:.4f}' rgba='.35 .33 .3 1'/>"
        )
    if rng.random() < 0.8:
        far = rng.uniform(1.2, 2.0)
        for index, (px, py, sx, sy) in enumerate(
            [(-far, 0, 0.05, 3), (0, far + 0.4, 3, 0.05), (0, -far - 0.4, 3, 0.05)]
        ):
            parts.append(
                f"<geom name='wall_{index}' type='box' pos='{px:.4f} {py:.4f} .6'"
                f" size='{sx} {sy} 1.5' rgba='{wall}'/>"
            )
    return "".join(parts)


def primitive(index: int, rng: np.random.Generator) -> str:
    """A free object of 2 to 14 cm; one in four is made of two shapes."""
    radius = float(np.exp(rng.uniform(np.log(0.012), np.log(0.06))))
    size = radius * rng.uniform(0.5, 1.3, 3)
    shape = SHAPES[int(rng.integers(len(SHAPES)))]
    geoms = f"<geom type='{shape}' size='{text(size)}' rgba='{rgba(rng)}'/>"
    if rng.random() < 0.25:
        second = SHAPES[int(rng.integers(len(SHAPES)))]
        offset = text(np.array([rng.uniform(-1, 1), rng.uniform(-1, 1), 0.0]) * radius)
        geoms += (
            f"<geom type='{second}' pos='{offset}' size='{text(size * rng.uniform(0.4, 0.8, 3))}'"
            f" rgba='{rgba(rng)}'/>"
        )
    return f"<body name='object_{index}'><freejoint/>{geoms}</body>"


def arm(table: Array, rng: np.random.Generator) -> str:
    """A chain of capsules that stands at an edge of the table and ends in two fingers."""
    angle = rng.uniform(-np.pi, np.pi) if rng.random() < 0.3 else np.pi
    reach = min(table[0], table[1]) * 0.9
    base = text(np.array([np.cos(angle) * reach, np.sin(angle) * reach, 0.0]))
    link, joint, radius = rgba(rng), rgba(rng), rng.uniform(0.03, 0.055)
    lengths = rng.uniform(0.12, 0.26, int(rng.integers(3, 6)))
    xml = f"<geom type='cylinder' size='{1.6 * radius:.4f} .03' pos='0 0 .03' rgba='{joint}'/>"
    closing = ""
    start = 0.05
    for index, length in enumerate(lengths):
        thin = radius * (1.0 - 0.1 * index)
        xml += (
            f"<body name='link_{index}' pos='0 0 {start:.4f}'>"
            f"<joint name='arm_{index}' axis='{ARM_AXES[index]}' range='-120 120'/>"
            f"<geom type='capsule' fromto='0 0 0 0 0 {length:.4f}' size='{0.8 * thin:.4f}'"
            f" rgba='{link}'/><geom type='sphere' size='{thin:.4f}' rgba='{joint}'/>"
        )
        closing += "</body>"
        start = length
    xml += f"<site name='hand' pos='0 0 {start + 0.07:.4f}'/>"
    xml += f"<geom type='box' pos='0 0 {start:.4f}' size='.02 .05 .015' rgba='{joint}'/>"
    for sign in (-1, 1):
        xml += (
            f"<geom type='box' pos='0 {sign * 0.035:.3f} {start + 0.045:.4f}'"
            f" size='.01 .008 .035' rgba='.2 .2 .2 1'/>"
        )
    return f"<body name='robot' pos='{base}'>{xml}{closing}</body>"


def draw_tabletop(
    model: mujoco.MjModel, data: mujoco.MjData, table: Array, rng: np.random.Generator
) -> State:
    """Objects apart from each other on the table, the arm bent towards it, a view from around."""
    qpos = model.qpos0.copy()
    _bend_arm(model, data, qpos, rng)
    taken: list[Array] = []
    for index in range(model.njnt):
        if int(model.jnt_type[index]) != mujoco.mjtJoint.mjJNT_FREE:
            continue
        body = int(model.jnt_bodyid[index])
        place = rng.uniform(-0.75, 0.75, 2) * table[:2]
        for _ in range(19):  # a crowded table may have no free place
            if all(np.linalg.norm(place - other) > 0.12 for other in taken):
                break
            place = rng.uniform(-0.75, 0.75, 2) * table[:2]
        taken.append(place)
        yaw = rng.uniform(-np.pi, np.pi)
        first = int(model.body_geomadr[body])
        height = model.geom_size[
            first, 2 if model.geom_type[first] == mujoco.mjtGeom.mjGEOM_BOX else 0
        ]
        lifted = rng.uniform(0.05, 0.35) if rng.random() < 0.1 else 0.0
        address = int(model.jnt_qposadr[index])
        pose = [*place, height + lifted, np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]
        qpos[address : address + 7] = pose
    move_to(model, data, qpos)
    target = np.array([*rng.normal(0.0, 0.08, 2), rng.uniform(0.0, 0.15)])
    fovy = rng.uniform(38.0, 58.0)
    reach = float(np.hypot(table[0], table[1])) * rng.uniform(0.6, 1.1)
    distance = min(reach / np.tan(np.radians(fovy / 2.0)), 1.6)
    view = orbit(target, distance, rng.uniform(-1.3, 1.3), rng.uniform(0.25, 1.2), fovy)
    return State(qpos, model.body_pos.copy(), model.body_quat.copy(), view)


def _bend_arm(
    model: mujoco.MjModel, data: mujoco.MjData, qpos: Array, rng: np.random.Generator
) -> None:
    """Draw joint angles until the hand is over the table, or keep the best of the draws."""
    joints = [i for i in range(model.njnt) if model.jnt(i).name.startswith("arm_")]
    if not joints:
        return
    addresses = model.jnt_qposadr[joints]
    best, best_cost = qpos[addresses], np.inf
    for _ in range(30):
        qpos[addresses] = rng.uniform(-1.5, 1.5, len(joints))
        move_to(model, data, qpos)
        hand = data.site("hand").xpos
        lowest = min(float(data.body(f"link_{i}").xpos[2]) for i in range(len(joints)))
        cost = np.hypot(hand[0], hand[1]) + 5.0 * max(0.0, 0.08 - min(hand[2], lowest))
        if cost < best_cost:
            best, best_cost = qpos[addresses].copy(), cost
        if cost < 0.3:
            break
    qpos[addresses] = best
