"""What the geoms of a scene are: table, floor, wall, object or robot."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.extras import needs

with needs("mujoco"):
    import mujoco


Role = Literal["table", "floor", "wall", "object", "robot"]
ROLES: tuple[Role, ...] = ("table", "floor", "wall", "object", "robot")

ROBOT_NAMES = ("robot", "gripper", "fixed_mount", "mount")
_JOINT_TRANSMISSIONS = (
    mujoco.mjtTrn.mjTRN_JOINT,
    mujoco.mjtTrn.mjTRN_JOINTINPARENT,
)


class Surfaces:
    """The drawn geoms of a model, and the textures that colour them, by role.

    What an actuator moves is the robot, and so is what is called so; planes of the world are the
    floor; geoms called wall are walls; whatever else can move is an object, and what cannot is the
    table. Mocap bodies are handles, not things.

    Args:
        model: the `mujoco.MjModel`, only read, and only here.
        hidden_groups: geom groups that are never drawn.
    """

    def __init__(self, model: mujoco.MjModel, hidden_groups: tuple[int, ...]) -> None:
        roles = _roles(model)
        drawn = ~np.isin(model.geom_group, hidden_groups) & (model.geom_rgba[:, 3] > 0)
        self.drawn = np.flatnonzero(drawn & (roles >= 0))
        self._geoms = {
            role: np.flatnonzero(drawn & (roles == number)) for number, role in enumerate(ROLES)
        }
        textures = [rgb_texture(model, geom) for geom in range(model.ngeom)]
        self.texture_of = np.array(textures, np.intp)  # by geom; -1 for none
        self._textures = {
            role: set(self.texture_of[geoms].tolist()) - {-1} for role, geoms in self._geoms.items()
        }

    def geoms(self, role: Role) -> NDArray[np.intp]:
        """The geoms of a role, by number."""
        return self._geoms[role]

    def textures(self, role: Role) -> list[int]:
        """The textures that colour geoms of this role and of no other."""
        others = [used for other, used in self._textures.items() if other != role]
        return sorted(self._textures[role].difference(*others))


def rgb_texture(model: mujoco.MjModel, geom: int) -> int:
    """The texture that colours a geom, or -1."""
    material = int(model.geom_matid[geom])
    if material < 0:
        return -1
    return int(model.mat_texid[material, mujoco.mjtTextureRole.mjTEXROLE_RGB])


def _roles(model: mujoco.MjModel) -> NDArray[np.intp]:
    """Number in `ROLES` of each geom; -1 for handles."""
    roots_of_joints = model.body_rootid[model.jnt_bodyid]
    driven = [
        model.actuator_trnid[i, 0]
        for i in range(model.nu)
        if model.actuator_trntype[i] in _JOINT_TRANSMISSIONS
    ]
    robots = set(roots_of_joints[driven].tolist())
    movable = set(roots_of_joints.tolist())
    handles = {body for body in range(model.nbody) if model.body_mocapid[body] >= 0}
    kinds: dict[int, int] = {}
    for root in set(model.body_rootid.tolist()):
        name = model.body(root).name.lower()
        if root in handles:
            kinds[root] = -1
        elif root in robots or name.startswith(ROBOT_NAMES):
            kinds[root] = ROLES.index("robot")
        else:
            kinds[root] = ROLES.index("object" if root in movable else "table")
    roles = np.array([kinds[int(root)] for root in model.body_rootid[model.geom_bodyid]], np.intp)
    for geom in np.flatnonzero(model.geom_bodyid == 0):
        if "wall" in model.geom(geom).name.lower():
            roles[geom] = ROLES.index("wall")
        elif model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_PLANE:
            roles[geom] = ROLES.index("floor")
    return roles
