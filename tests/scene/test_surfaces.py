"""Which geoms are table, floor, wall, object and robot, and which textures are theirs alone."""

# pyright: reportAttributeAccessIssue=false
# (MuJoCo ships no complete type stubs.)

import mujoco
import numpy as np
import pytest

from stemob_wrappers.scene.edit import SceneEdit
from stemob_wrappers.scene.surfaces import ROLES

SCENE = """
<mujoco>
  <asset>
    <texture name="own" type="2d" builtin="checker" width="8" height="8" rgb1="1 0 0"/>
    <texture name="shared" type="cube" builtin="flat" width="8" height="48" rgb1="0 1 0"/>
    <texture name="unused" type="2d" builtin="flat" width="8" height="8"/>
    <texture name="rgba" type="2d" builtin="flat" width="8" height="8" nchannel="4"/>
    <material name="own" texture="own"/>
    <material name="shared" texture="shared"/>
    <material name="unused" texture="unused"/>
    <material name="rgba" texture="rgba" rgba="0.2 0.4 0.6 1"/>
  </asset>
  <worldbody>
    <geom name="ground" type="plane" size="1 1 1" material="own"/>
    <geom name="left_wall" type="box" size="1 1 1" material="shared"/>
    <body name="table"><geom name="top" type="box" size="1 1 .1" material="shared"/></body>
    <body name="cube"><freejoint/><geom name="cube" type="box" size=".1 .1 .1" material="rgba"/>
    </body>
    <body name="arm"><joint name="hinge"/><geom name="link" size=".1"/>
      <body><geom name="hand" size=".1"/></body></body>
    <body name="gripper0"><geom name="base" size=".1"/></body>
    <body name="goal" mocap="true"><geom name="goal" size=".1"/></body>
    <geom name="hidden" type="box" size="1 1 1" group="3"/>
    <geom name="clear" type="box" size="1 1 1" rgba="1 1 1 0"/>
  </worldbody>
  <actuator><motor joint="hinge"/></actuator>
</mujoco>
"""


@pytest.fixture
def edit():
    return SceneEdit(mujoco.MjModel.from_xml_string(SCENE), hidden_groups=(3, 4, 5))


def test_roles(edit):
    names = {
        role: [edit.model.geom(geom).name for geom in edit.surfaces.geoms(role)] for role in ROLES
    }
    assert names == {
        "table": ["top"],
        "floor": ["ground"],
        "wall": ["left_wall"],
        "object": ["cube"],
        "robot": ["link", "hand", "base"],
    }


def test_a_shared_texture_is_nobodys(edit):
    textures = {role: edit.surfaces.textures(role) for role in ROLES}
    own, rgba = edit.model.texture("own").id, edit.model.texture("rgba").id
    assert textures == {"table": [], "floor": [own], "wall": [], "object": [rgba], "robot": []}


@pytest.mark.parametrize("name", ["own", "shared", "rgba"])
def test_textures_are_painted_and_restored(edit, name):
    texture = edit.model.texture(name).id
    texels, sizes = edit.model.tex_data.copy(), edit.model.tex_height.copy()
    usual = edit.texture(texture)
    assert usual.shape == (6 if name == "shared" else 1, 8, 8, 3)
    edit.paint(texture, 255 - usual)
    assert np.array_equal(edit.texture(texture), 255 - usual)
    edit.restore()
    assert np.array_equal(edit.model.tex_data, texels)
    assert np.array_equal(edit.model.tex_height, sizes)
    assert np.array_equal(edit.texture(texture), usual)


def test_colours_are_those_that_are_drawn(edit):
    geoms = np.array([edit.model.geom(name).id for name in ("cube", "link", "clear")])
    expected = [[0.2, 0.4, 0.6, 1], [0.5, 0.5, 0.5, 1], [1, 1, 1, 0]]
    assert np.allclose(edit.colours(geoms), expected)


def test_only_what_was_touched_is_restored(edit):
    edit.set("geom_rgba", 0.25, (0, 1))
    edit.set("vis.headlight.ambient", [0.9, 0.9, 0.9])
    edit.set("vis.global_.fovy", 60.0)
    edit.model.geom_rgba[0, 2] = 0.75
    edit.restore()
    assert np.allclose(edit.model.geom_rgba[0], [0.5, 0.5, 0.75, 1])
    assert edit.model.vis.headlight.ambient[0] == np.float32(0.1)
    assert edit.model.vis.global_.fovy == 45
