"""A small matt scene with every kind of primitive, for tests of buffers and of their shading."""

# pyright: reportAttributeAccessIssue=false
# (MuJoCo ships no complete type stubs.)

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from stemob_wrappers.renders.gbuffer import BufferRenderer, Buffers
from stemob_wrappers.scene.gl import ensure_gl

SIZE = 96
LIGHT = np.array([0.3, -0.4, 0.8]) / np.linalg.norm([0.3, -0.4, 0.8])
XML = f"""
<mujoco>
  <visual><headlight ambient=".2 .2 .2" diffuse=".3 .3 .3" specular="0 0 0"/></visual>
  <asset>
    <texture name="tiles" type="2d" builtin="checker" width="64" height="64"
             rgb1=".8 .7 .6" rgb2=".5 .5 .6"/>
    <material name="tiles" texture="tiles" texrepeat="4 4" specular="0"/>
    <material name="matt" specular="0"/>
  </asset>
  <default><geom material="matt"/></default>
  <worldbody>
    <light type="directional" dir="{" ".join(str(-x) for x in LIGHT)}" diffuse=".5 .4 .3"
           ambient="0 0 0" specular="0 0 0"/>
    <camera name="front" pos="1 .2 .8" xyaxes="-.2 1 0 -.6 -.12 1" fovy="50"/>
    <geom name="floor" type="plane" size="2 2 .1" pos="0 0 -.4" material="tiles"/>
    <geom name="table" type="box" size=".4 .4 .02" pos="0 0 -.02" rgba=".7 .6 .4 1"/>
    <body name="box" pos=".1 .1 .05" euler="0 0 30"><freejoint/>
      <geom name="box" type="box" size=".05 .04 .05" rgba=".8 .1 .1 1"/></body>
    <body name="ball" pos="-.1 -.1 .07"><freejoint/>
      <geom name="ball" type="sphere" size=".07" rgba=".1 .7 .2 1"/></body>
    <body name="can" pos=".15 -.2 .06"><freejoint/>
      <geom name="can" type="cylinder" size=".04 .06" rgba=".2 .3 .9 1"/></body>
  </worldbody>
</mujoco>"""


def open_scene() -> tuple[mujoco.MjModel, mujoco.MjData, BufferRenderer]:
    """The scene, ready to be rendered."""
    ensure_gl()
    spec = mujoco.MjSpec.from_string(XML)
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data, BufferRenderer(model, (0, 1, 2), SIZE)


def render_buffers(directions: Any = None) -> Buffers:
    """The scene's buffers, lit by three lights with shadows."""
    _, data, renderer = open_scene()
    try:
        directions = np.eye(3)[[2, 2, 2]] if directions is None else directions
        return renderer.buffers(data, "front", np.asarray(directions), shadows=True)
    finally:
        renderer.close()
