"""Scenes are drawn the same twice, and nothing but their appearance changes."""

# pyright: reportAttributeAccessIssue=false
# (MuJoCo ships no complete type stubs.)

from dataclasses import replace

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemob_wrappers.renders.draw import render_scene
from stemob_wrappers.renders.paint import Painter, add_paint
from stemob_wrappers.renders.plans import ScenePlan
from stemob_wrappers.renders.stages.sources import build_stage
from stemob_wrappers.renders.stages.stage import move_to, orbit
from stemob_wrappers.splits import SEEDS, SPLITS

TABLE = ScenePlan("procedural", "table", 0, 3, "train", 48, 3, 3)
LIFT = ScenePlan("robosuite", "Lift", 0, 3, "train", 48, 4, 2, robot="Panda")
APPEARANCE = {
    *("geom_rgba", "geom_matid", "tex_data"),
    *("mat_specular", "mat_shininess", "mat_reflectance", "mat_texrepeat"),
    *("light_type", "light_active", "light_pos", "light_dir"),
    *("light_diffuse", "light_ambient", "light_specular"),
}


@pytest.mark.parametrize("plan", [TABLE, LIFT], ids=["table", "robosuite"])
def test_a_scene_renders_the_same_twice_and_shows_something(plan):
    first, second = render_scene(plan), render_scene(plan)
    assert np.array_equal(first.frames, second.frames)
    assert np.array_equal(first.states, second.states)
    assert first.metadata == second.metadata
    assert first.frames.shape == (plan.states, plan.appearances, plan.size, plan.size, 3)
    assert first.frames.std(axis=(2, 3, 4)).min() > 4
    # States differ from each other, and so do the appearances of a state.
    assert np.abs(np.diff(first.frames[:, 0].astype(int), axis=0)).mean(axis=(1, 2, 3)).min() > 1
    assert np.abs(np.diff(first.frames[0].astype(int), axis=0)).mean(axis=(1, 2, 3)).min() > 1


def test_the_nominal_appearance_does_not_depend_on_the_others():
    alone = render_scene(replace(TABLE, appearances=1))
    assert np.array_equal(alone.frames[:, 0], render_scene(TABLE).frames[:, 0])


@pytest.mark.parametrize("split", ["train", "dev"])
def test_textures_and_seeds_come_from_the_split(split):
    scene = render_scene(replace(TABLE, split=split, size=16, states=1))
    nominal, *changed = scene.metadata["appearance_list"]
    assert nominal == {"seed": None, "textures": [], "shadows": True}
    for appearance in changed:
        assert appearance["seed"] in SEEDS[split]
        assert appearance["textures"]
        for family, seed in appearance["textures"]:
            assert family in SPLITS[split]
            assert seed in SEEDS[split]


@pytest.fixture
def table():
    """A compiled procedural scene in one state, and its view."""
    stage = build_stage("procedural", "table", "", np.random.default_rng(4))
    add_paint(stage.spec)
    model = stage.spec.compile()
    data = mujoco.MjData(model)
    state = stage.draw_state(model, data, np.random.default_rng(5))
    camera = model.cam(state.view.camera)
    camera.pos[:], camera.quat[:] = state.view.pos, state.view.quat
    move_to(model, data, state.qpos)
    return stage, model, data, state


def test_an_appearance_leaves_layout_and_physics_alone_and_can_be_undone(table):
    stage, model, data, state = table
    with mujoco.Renderer(model, 48, 48) as renderer:

        def segmentation():
            renderer.enable_segmentation_rendering()
            renderer.update_scene(data, state.view.camera)
            pixels = renderer.render().copy()
            renderer.disable_segmentation_rendering()
            return pixels

        names = [n for n in dir(model) if isinstance(getattr(model, n, None), np.ndarray)]
        before = {name: getattr(model, name).copy() for name in names}
        layout = segmentation()
        uploaded = []
        painter = Painter(model, stage.visible_groups, uploaded.append)
        painter.paint("train", 7)
        changed = {n for n in names if not np.array_equal(before[n], getattr(model, n))}
        assert changed
        assert changed <= APPEARANCE
        assert len(np.unique(layout[..., 0])) > 3
        assert np.array_equal(layout, segmentation())
        painter.restore()
        assert not {n for n in names if not np.array_equal(before[n], getattr(model, n))}


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(-2, 2), min_size=3, max_size=3),
    st.floats(0.3, 4.0),
    st.floats(-3.1, 3.1),
    st.floats(-1.2, 1.4),
)
def test_the_free_camera_looks_at_its_target_and_stands_upright(target, distance, azimuth, height):
    view = orbit(np.array(target), distance, azimuth, height, 45.0)
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, view.quat)
    axes = matrix.reshape(3, 3)
    forward, up = -axes[:, 2], axes[:, 1]
    assert np.allclose(view.pos + distance * forward, target, atol=1e-6)
    assert up[2] > 0.1
    assert abs(axes[2, 0]) < 1e-6
