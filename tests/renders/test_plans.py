"""Nothing that is held out is ever planned for training."""

from collections import Counter

import pytest

from stemob_wrappers.renders.plans import (
    TASK_CAMERAS,
    plan_env_scenes,
    plan_scenes,
    plan_task_scenes,
)
from stemob_wrappers.splits import HELD_OUT, HOLDOUT_SCENES, TRAIN_ROBOTS, TRAIN_TASKS


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
    counts = Counter(plan.source for plan in plan_scenes(2000))
    assert counts["robosuite"] == pytest.approx(1000, abs=100)
    assert counts["procedural"] == pytest.approx(700, abs=100)
    planned = plan_scenes(50, shares={"gymnasium": 1})
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
        ({"num_scenes": 1, "shares": {"kitchen": 1}}, "kitchen"),
    ],
)
def test_a_wrong_setting_is_named(wrong, said):
    with pytest.raises(ValueError, match=said):
        plan_scenes(**wrong)


def test_only_known_tasks_are_rendered_each_through_both_cameras():
    plans = plan_task_scenes(64)
    seen = Counter((plan.task, plan.camera) for plan in plans)
    tasks = {task.removeprefix("stemob/").removesuffix("-v0") for task, _ in seen}
    assert tasks <= set(TRAIN_TASKS["robosuite"])
    assert not tasks & set(HELD_OUT["tasks"])
    assert {camera for _, camera in seen} == set(TASK_CAMERAS)
    assert len(seen) == len(tasks) * len(TASK_CAMERAS)
    assert {plan.split for plan in plans} == {"train"}
    assert plans[:10] == plan_task_scenes(10)


def test_a_users_env_is_looked_at_by_every_camera_in_turn():
    plans = plan_env_scenes("stemob/Lift-v0", 4, cameras=("agentview", "frontview"))
    assert [plan.camera for plan in plans] == ["agentview", "frontview"] * 2
    assert {plan.source for plan in plans} == {"env"}
    assert [plan.camera for plan in plan_env_scenes("Hopper-v5", 2)] == [None, None]
    with pytest.raises(ValueError, match="num_scenes"):
        plan_env_scenes("Hopper-v5", 0)
