from collections import Counter

from stemob_wrappers.training import task_scenes
from stemob_wrappers.training.sources import HELD_OUT, TRAIN_TASKS


def test_only_known_tasks_are_rendered_each_through_both_cameras(monkeypatch, tmp_path):
    monkeypatch.setattr(task_scenes, "render_plans", lambda plans, folder, workers: plans)
    plans = task_scenes.render_task_scenes(tmp_path, num_scenes=64)
    seen = Counter((plan.env_id, plan.camera) for plan in plans)
    tasks = {env_id.removeprefix("stemob/").removesuffix("-v0") for env_id, _ in seen}
    assert tasks <= set(TRAIN_TASKS["robosuite"])
    assert not tasks & set(HELD_OUT["tasks"])
    assert {camera for _, camera in seen} == set(task_scenes.CAMERAS)
    assert len(seen) == len(tasks) * len(task_scenes.CAMERAS)
    assert {plan.split for plan in plans} == {"train"}
    assert plans[:10] == task_scenes.render_task_scenes(tmp_path, num_scenes=10)
