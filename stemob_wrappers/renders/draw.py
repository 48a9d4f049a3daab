"""Draw a planned scene: every state of it under every appearance.

Appearance 0 is the one that the scene came with, so that a scene serves both plain reconstruction
and training on pairs. Everything follows from the plan.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.extras import needs

with needs("mujoco"):
    import mujoco

from stemob_wrappers.perturb.names import SEVERITIES
from stemob_wrappers.renders.files import Scene
from stemob_wrappers.renders.paint import Painter, add_paint
from stemob_wrappers.renders.pairs import render_pairs
from stemob_wrappers.renders.plans import ScenePlan
from stemob_wrappers.renders.stages.sources import build_stage
from stemob_wrappers.renders.stages.stage import State, move_to
from stemob_wrappers.splits import draw_seed

FLAT_FRAME = 6.0  # grey levels: a frame that varies less shows nothing


def render_scene(plan: ScenePlan) -> Scene:
    """Build the scene of a plan and render all its states under all its appearances.

    Raises:
        ValueError: an unknown source, or an env without a MuJoCo model.
        ImportError: the package that the source needs is not installed.
    """
    return _render_env(plan) if plan.source == "env" else _render_stage(plan)


def _render_env(plan: ScenePlan) -> Scene:
    pairs = render_pairs(
        plan.task,
        states=plan.states,
        appearances=plan.appearances,
        size=plan.size,
        severity=SEVERITIES[plan.index % len(SEVERITIES)],
        seed=plan.seed * 1_009 + plan.index,
        split=plan.split,
        camera=plan.camera,
        manipulating=plan.manipulating,
    )
    assert pairs.points is not None, "rendered states have positions"
    by_state = np.ascontiguousarray(pairs.frames.swapaxes(0, 1))
    positions = pairs.points.reshape(len(pairs.points), -1)
    return Scene(by_state, positions, {**asdict(plan), "points": pairs.names})


def _render_stage(plan: ScenePlan) -> Scene:
    stage = build_stage(
        plan.source, plan.task, plan.robot, np.random.default_rng([plan.seed, plan.index, 1])
    )
    add_paint(stage.spec)
    model = stage.spec.compile()
    data = mujoco.MjData(model)
    state_rng = np.random.default_rng([plan.seed, plan.index, 2])
    appearance_rng = np.random.default_rng([plan.seed, plan.index, 3])
    # Anti-aliasing is fixed when the render context is made.
    model.vis.quality.offsamples = 4 if appearance_rng.random() < 0.25 else 0
    model.vis.quality.shadowsize = 1024
    model.vis.global_.offwidth = max(plan.size, model.vis.global_.offwidth)
    model.vis.global_.offheight = max(plan.size, model.vis.global_.offheight)
    options = mujoco.MjvOption()
    options.geomgroup[:] = [group in stage.visible_groups for group in range(6)]
    options.sitegroup[:] = 0

    frames = np.zeros((plan.states, plan.appearances, plan.size, plan.size, 3), dtype=np.uint8)
    drawn: list[dict[str, Any]] = [{"seed": None, "textures": [], "shadows": True}]
    renderer = mujoco.Renderer(model, plan.size, plan.size)

    def render(state: State, shadows: bool) -> NDArray[np.uint8]:
        view = state.view
        model.body_pos[:], model.body_quat[:] = state.body_pos, state.body_quat
        camera = model.cam(view.camera)
        nominal = (camera.pos.copy(), camera.quat.copy(), camera.fovy.copy())
        camera.pos[:], camera.quat[:], camera.fovy[:] = view.pos, view.quat, view.fovy
        move_to(model, data, state.qpos)
        renderer.update_scene(data, view.camera, options)
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows
        frame = renderer.render()
        camera.pos[:], camera.quat[:], camera.fovy[:] = nominal
        return frame

    def upload(texture: int) -> None:
        mujoco.mjr_uploadTexture(model, renderer._mjr_context, texture)

    states = []
    try:
        for index in range(plan.states):
            state = stage.draw_state(model, data, state_rng)
            frames[index, 0] = render(state, shadows=True)
            for _ in range(4):  # a camera inside a wall or an object shows nothing: draw again
                if frames[index, 0].std() > FLAT_FRAME:
                    break
                state = stage.draw_state(model, data, state_rng)
                frames[index, 0] = render(state, shadows=True)
            states.append(state)
        painter = Painter(model, stage.visible_groups, upload)
        for appearance in range(1, plan.appearances):
            drawn.append(painter.paint(plan.split, draw_seed(plan.split, appearance_rng)))
            for index, state in enumerate(states):
                frames[index, appearance] = render(state, drawn[appearance]["shadows"])
    finally:
        renderer.close()
    vectors = [[*s.view.pos, *s.view.quat, s.view.fovy, *s.qpos] for s in states]
    metadata = {
        **asdict(plan),
        "appearance_list": drawn,
        "cameras": [s.view.camera for s in states],
    }
    return Scene(frames, np.array(vectors, dtype=np.float32), metadata)
