"""Training scenes: same bytes however they are rendered, and nothing that is held out."""

# pyright: reportAttributeAccessIssue=false
# (MuJoCo ships no complete type stubs.)

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemob_wrappers.renders import files, fill
from stemob_wrappers.renders.draw import render_scene
from stemob_wrappers.renders.files import load_scene, load_scenes, write_scene
from stemob_wrappers.renders.fill import render_scenes
from stemob_wrappers.renders.paint import SAVED_FIELDS, Painter, add_paint
from stemob_wrappers.renders.plans import ScenePlan, plan_scenes
from stemob_wrappers.renders.stages.sources import build_stage
from stemob_wrappers.renders.stages.stage import move_to, orbit
from stemob_wrappers.scene.textures import SPLITS
from stemob_wrappers.splits import HELD_OUT, HOLDOUT_SCENES, SEEDS, TRAIN_ROBOTS, TRAIN_TASKS

SMALL = {"size": 32, "states": 2, "appearances": 3, "sources": {"procedural": 1, "gymnasium": 1}}
TABLE = ScenePlan(0, 3, "procedural", "table", "", "train", 48, 3, 3)
LIFT = ScenePlan(0, 3, "robosuite", "Lift", "Panda", "train", 48, 4, 2)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """Three small scenes, rendered by two workers."""
    folder = tmp_path_factory.mktemp("scenes")
    paths = render_scenes(folder, num_scenes=3, workers=2, **SMALL)
    assert paths == sorted(folder.iterdir())
    return folder


# --- what is planned -----------------------------------------------------------------------------


def test_training_never_plans_what_is_held_out():
    reserved = {name for names in HELD_OUT.values() for name in names}
    assert {"Stack", "UR5e"} <= reserved
    assert not reserved & {
        *TRAIN_ROBOTS,
        *(task for tasks in TRAIN_TASKS.values() for task in tasks),
    }
    for plan in plan_scenes(3000):
        assert not reserved & {plan.task, plan.robot}
        assert plan.split == "train"


def test_the_mix_of_sources_is_as_asked():
    counts = dict.fromkeys(TRAIN_TASKS, 0)
    for plan in plan_scenes(2000):
        counts[plan.source] += 1
    assert counts["robosuite"] == pytest.approx(1000, abs=100)
    assert counts["procedural"] == pytest.approx(700, abs=100)
    planned = plan_scenes(50, sources={"gymnasium": 1})
    assert {plan.source for plan in planned} == {"gymnasium"}


def test_more_scenes_leave_the_first_ones_as_they_were():
    assert plan_scenes(40)[:15] == plan_scenes(15)
    assert plan_scenes(15, seed=1) != plan_scenes(15)


def test_holdout_scenes_share_no_task_and_no_split_with_training():
    plans = plan_scenes(12, holdout=True)
    assert {(p.source, p.task, p.robot) for p in plans} == set(HOLDOUT_SCENES)
    trained = {task for tasks in TRAIN_TASKS.values() for task in tasks}
    assert not trained & {plan.task for plan in plans}
    assert {plan.split for plan in plans} == {"dev"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"num_scenes": 0}, "num_scenes"),
        ({"num_scenes": 1, "states": 0}, "states"),
        ({"num_scenes": 1, "appearances": 0}, "appearances"),
        ({"num_scenes": 1, "sources": {"kitchen": 1}}, "kitchen"),
    ],
)
def test_a_wrong_setting_is_named(wrong, said):
    with pytest.raises(ValueError, match=said):
        plan_scenes(**wrong)


# --- what is rendered ----------------------------------------------------------------------------


@pytest.mark.parametrize("plan", [TABLE, LIFT], ids=["table", "robosuite"])
def test_a_scene_renders_the_same_twice_and_shows_something(plan):
    first, second = render_scene(plan), render_scene(plan)
    assert np.array_equal(first.frames, second.frames)
    assert np.array_equal(first.states, second.states)
    assert first.metadata == second.metadata
    assert first.frames.shape == (plan.states, plan.appearances, plan.size, plan.size, 3)
    assert first.frames.std(axis=(2, 3, 4)).min() > 4
    # States differ from each other, and so do the looks of a state.
    assert np.abs(np.diff(first.frames[:, 0].astype(int), axis=0)).mean(axis=(1, 2, 3)).min() > 1
    assert np.abs(np.diff(first.frames[0].astype(int), axis=0)).mean(axis=(1, 2, 3)).min() > 1


def test_the_nominal_look_does_not_depend_on_the_others():
    alone = render_scene(replace(TABLE, appearances=1))
    assert np.array_equal(alone.frames[:, 0], render_scene(TABLE).frames[:, 0])


@pytest.mark.parametrize("split", ["train", "dev"])
def test_textures_and_seeds_come_from_the_split(split):
    scene = render_scene(replace(TABLE, split=split, size=16, states=1))
    looks = scene.metadata["appearance_list"]
    assert looks[0] == {"seed": None, "textures": [], "shadows": True}
    for look in looks[1:]:
        assert look["seed"] in SEEDS[split]
        assert look["textures"]
        for family, seed in look["textures"]:
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


def test_a_look_leaves_layout_and_physics_alone_and_can_be_undone(table):
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
        assert changed <= {*SAVED_FIELDS, "tex_data"}
        assert len(np.unique(layout[..., 0])) > 3
        assert np.array_equal(layout, segmentation())
        painter.restore()
        left = {n for n in names if not np.array_equal(before[n], getattr(model, n))}
        assert left <= {"tex_data"}  # the pool's own pixels, which no nominal material shows


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


# --- what is stored ------------------------------------------------------------------------------


def test_one_worker_writes_the_same_bytes_as_two(rendered, tmp_path):
    render_scenes(tmp_path, num_scenes=3, workers=1, **SMALL)
    assert contents(tmp_path) == contents(rendered)


def test_a_run_goes_on_where_it_stopped(rendered):
    """One file missing, one cut short: both come back as they were, the third is not touched."""
    before = contents(rendered)
    kept, cut, missing = sorted(rendered.iterdir())
    written = kept.stat().st_mtime_ns
    cut.write_bytes(cut.read_bytes()[:-100])
    missing.unlink()
    render_scenes(rendered, num_scenes=3, **SMALL)
    assert contents(rendered) == before
    assert kept.stat().st_mtime_ns == written


def test_killing_a_run_ends_its_workers_and_leaves_only_whole_files(tmp_path):
    command = [sys.executable, "-m", "stemob_wrappers.renders.fill", "--out", str(tmp_path)]
    command += ["--num-scenes", "500", "--size", "32", "--states", "2", "--workers", "2"]
    # Workers share the pipe: it reads as ended only when the last of them is gone.
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("scene-*")) and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        run.kill()
    assert run.stdout is not None
    reader = threading.Thread(target=run.stdout.read, daemon=True)
    reader.start()
    reader.join(timeout=20)
    assert not reader.is_alive(), "workers outlived the run"
    run.wait()
    scenes_found = list(load_scenes(tmp_path))
    assert scenes_found
    assert all(scene.frames[:, 0].any() for scene in scenes_found)


def test_scenes_of_other_settings_are_not_mixed_in(rendered):
    before = contents(rendered)
    with pytest.raises(ValueError, match="other settings"):
        render_scenes(rendered, num_scenes=3, **{**SMALL, "size": 40})
    assert contents(rendered) == before


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_scene(replace(TABLE, size=16, states=1, appearances=1), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_failing_scene_is_reported_and_leaves_no_file(tmp_path, monkeypatch):
    broken = [replace(TABLE, source="gymnasium", task="no_such_model")]
    monkeypatch.setattr(fill, "plan_scenes", lambda *_, **__: broken)
    with pytest.raises(ValueError, match="no_such_model"):
        render_scenes(tmp_path, num_scenes=1)
    assert not list(tmp_path.iterdir())


def test_scenes_load_in_order_with_what_was_planned(rendered):
    plans = plan_scenes(3, **SMALL)
    for plan, scene in zip(plans, load_scenes(rendered), strict=True):
        assert scene.frames.shape == (2, 3, 32, 32, 3)
        assert scene.frames.dtype == np.uint8
        assert scene.states.dtype == np.float32
        assert len(scene.states) == 2
        assert scene.metadata["index"] == plan.index
        assert scene.metadata["task"] == plan.task


def test_a_damaged_file_and_an_empty_folder_are_clear_errors(tmp_path):
    with pytest.raises(ValueError, match="without any"):
        load_scenes(tmp_path)
    damaged = tmp_path / "scene-00000.safetensors"
    damaged.write_bytes(b"half a file")
    with pytest.raises(ValueError, match="render again"):
        load_scene(damaged)


def test_the_data_folder_can_be_moved(monkeypatch, tmp_path):
    monkeypatch.setenv("STEMOB_DATA", str(tmp_path))
    assert files.default_scenes_dir() == tmp_path / "scenes"
