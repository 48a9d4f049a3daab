"""Files of views: planned, resumable, the same bytes each time, nothing that is held out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from stemob_wrappers.renders import views
from stemob_wrappers.renders.env_views import plan_env_views
from stemob_wrappers.renders.views import ROLES, fill_views, plan_views
from stemob_wrappers.splits import HELD_OUT
from stemob_wrappers.wrappers.rendering import make_frames

TABLE = views.ViewsPlan(
    seed=0, index=3, source="procedural", task="table", robot="", size=48, views=3
)


def test_the_first_plans_do_not_depend_on_how_many_follow() -> None:
    assert plan_views(300)[:20] == plan_views(20)


def test_nothing_held_out_is_planned_and_every_source_is() -> None:
    plans = plan_views(400)
    held_out = {name for names in HELD_OUT.values() for name in names}
    assert not held_out & {name for plan in plans for name in (plan.task, plan.robot)}
    assert {plan.source for plan in plans} == set(views.SOURCES)


def test_tasks_to_choose_on_are_left_out() -> None:
    plans = plan_views(400, without=["Door", "soccer"])
    assert {"Door", "soccer"} & {plan.task for plan in plan_views(400)}
    assert not {"Door", "soccer"} & {plan.task for plan in plans}
    with pytest.raises(ValueError, match="Unknown tasks \\['Stack'\\]"):
        plan_views(4, without=["Stack"])


def test_a_scene_is_the_same_each_time_and_every_view_another() -> None:
    first, again = TABLE.render(), TABLE.render()
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
    assert len({frame.tobytes() for frame in first["nominal"]}) == TABLE.views


def test_every_pixel_belongs_to_a_surface_of_some_role() -> None:
    buffers = TABLE.render()
    shown = np.unique(buffers["ids"][buffers["ids"] >= 0])
    assert (buffers["role"][shown] >= 0).all()
    assert (buffers["surface"][shown] >= 0).all()
    roles = {ROLES[role] for role in buffers["role"][shown]}
    assert {"floor", "table", "object"} <= roles


def test_a_painted_view_has_other_colours_and_the_same_shapes() -> None:
    buffers = replace(TABLE, views=6).render()
    changed = np.abs(buffers["rendered"].astype(int) - buffers["nominal"]).mean((1, 2, 3))
    assert (changed > 3).mean() > 0.6
    colours = buffers["rendered_colours"].astype(int) - buffers["colours"]
    assert (np.abs(colours).max((1, 2)) > 20).mean() > 0.6
    # What one view was painted is gone in the next: the scene's own colours do not drift.
    shown = [np.isin(np.arange(len(buffers["role"])), ids) for ids in buffers["ids"]]
    floor = [i for i, ids in enumerate(shown) if ids[0]]
    own = buffers["colours"][floor, 0].astype(int)
    assert np.ptp(own, axis=0).max() < 40


def test_a_folder_is_filled_and_what_is_there_is_kept(tmp_path: Path) -> None:
    plans = [TABLE, replace(TABLE, index=4)]
    views.write_views(plans[0], tmp_path)
    before = (tmp_path / plans[0].file_name).stat().st_mtime_ns
    paths = fill_views(plans, tmp_path, workers=1)
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert paths[0].stat().st_mtime_ns == before
    expected = plans[1].render()
    for name, values in load_file(paths[1]).items():
        np.testing.assert_array_equal(values, expected[name])
    with safe_open(paths[1], "numpy") as file:
        assert json.loads(file.metadata()["plan"])["index"] == 4


def test_robosuite_tasks_are_crowded_with_strangers() -> None:
    pytest.importorskip("robosuite")
    plan = replace(TABLE, source="robosuite", task="Lift", robot="Panda", views=4)
    buffers = plan.render()
    objects = buffers["role"] == ROLES.index("object")
    seen = [objects[np.unique(ids[ids >= 0])].sum() for ids in buffers["ids"]]
    assert max(seen) > 1  # Lift itself has one
    assert ROLES.index("robot") in buffers["role"]


def test_metaworlds_scenes_are_table_tops_with_an_arm() -> None:
    pytest.importorskip("metaworld")
    buffers = replace(TABLE, source="metaworld", task="drawer", views=2).render()
    shown = np.unique(buffers["ids"][buffers["ids"] >= 0])
    assert {"table", "object"} <= {ROLES[role] for role in buffers["role"][shown]}


def test_an_env_is_seen_through_its_cameras_in_many_states(tmp_path: Path) -> None:
    plans = plan_env_views("HalfCheetah-v5", 2, cameras=["track"])
    assert plan_env_views("HalfCheetah-v5", 1, cameras=["track"]) == plans[:1]
    small = [replace(plan, size=48, views=3) for plan in plans]
    buffers = small[0].render()
    assert buffers["nominal"].shape == (3, 48, 48, 3)
    assert len({frame.tobytes() for frame in buffers["nominal"]}) == 3
    for name, values in small[0].render().items():
        np.testing.assert_array_equal(values, buffers[name])
    path = views.write_views(small[1], tmp_path)
    with safe_open(path, "numpy") as file:
        assert json.loads(file.metadata()["plan"])["env_id"] == "HalfCheetah-v5"


def test_an_arms_env_looks_as_its_own_frames() -> None:
    pytest.importorskip("robosuite")
    plan = replace(plan_env_views("stemob/Lift-v0", 1)[0], size=64, views=2)
    buffers = plan.render()
    env = make_frames("stemob/Lift-v0", 64)
    env.reset(seed=0)
    frame = env.render().astype(float)
    env.close()
    # Another state in the same room: most pixels show the same table, floor and walls.
    difference = np.abs(buffers["nominal"][0] - frame).max(axis=2)
    assert np.mean(difference < 8) > 0.5
