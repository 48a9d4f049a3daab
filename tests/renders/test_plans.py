from collections import Counter

from stemob_wrappers.renders.plans import CAMERAS, plan_task_scenes
from stemob_wrappers.splits import HELD_OUT, TRAIN_TASKS


def test_only_known_tasks_are_rendered_each_through_both_cameras():
    plans = plan_task_scenes(64)
    seen = Counter((plan.env_id, plan.camera) for plan in plans)
    tasks = {env_id.removeprefix("stemob/").removesuffix("-v0") for env_id, _ in seen}
    assert tasks <= set(TRAIN_TASKS["robosuite"])
    assert not tasks & set(HELD_OUT["tasks"])
    assert {camera for _, camera in seen} == set(CAMERAS)
    assert len(seen) == len(tasks) * len(CAMERAS)
    assert {plan.split for plan in plans} == {"train"}
    assert plans[:10] == plan_task_scenes(10)
