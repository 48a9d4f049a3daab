import numpy as np
import pytest

from stemob_wrappers.renders.files import load_scene
from stemob_wrappers.renders.fill import fill
from stemob_wrappers.renders.pairs import list_images, render_pairs
from stemob_wrappers.renders.plans import plan_env_scenes


def render(folder, *, workers=1, seed=0):
    plans = plan_env_scenes("HalfCheetah-v5", 2, seed=seed, size=32, states=4, appearances=3)
    return fill(plans, folder, workers)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    return folder, render(folder)


def test_an_envs_states_come_under_their_own_appearance_and_under_others(rendered):
    scenes = [load_scene(path) for path in rendered[1]]
    first, second = (scene.frames for scene in scenes)
    assert first.shape == (4, 3, 32, 32, 3)
    assert not np.array_equal(first[:, 0], second[:, 0]), "scenes differ in their states"
    assert not np.array_equal(first[:, 0], first[:, 1])
    assert scenes[0].metadata["split"] == "train"
    assert scenes[0].metadata["task"] == "HalfCheetah-v5"
    assert len(scenes[0].states) == 4


def test_scenes_that_are_there_are_kept_and_the_rest_is_the_same_with_more_workers(
    rendered, tmp_path
):
    folder, paths = rendered
    kept = paths[0].stat().st_mtime_ns
    wanted = paths[1].read_bytes()
    paths[1].unlink()
    render(folder, workers=2)
    assert paths[0].stat().st_mtime_ns == kept
    assert paths[1].read_bytes() == wanted
    with pytest.raises(ValueError, match="other settings"):
        render(folder, seed=1)


@pytest.mark.parametrize("env_id", ["FetchReach-v4", "stemob/Lift-v0"])
def test_envs_whose_constructors_take_no_width_are_rendered_too(env_id):
    pytest.importorskip("gymnasium_robotics" if env_id.startswith("Fetch") else "robosuite")
    pairs = render_pairs(env_id, states=4, appearances=2, size=32, manipulating=1.0)
    assert pairs.frames.shape == (2, 4, 32, 32, 3)
    assert pairs.points is not None
    assert pairs.points.shape == (4, len(pairs.names), 3)
    assert pairs.frames.std(axis=(2, 3, 4)).min() > 4


def test_images_are_listed_whatever_the_case_of_their_suffix(tmp_path):
    for name in ("b.PNG", "a.jpg", "c.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.PNG"]
