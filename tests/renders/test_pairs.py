import numpy as np
import pytest

from stemob_wrappers.renders.files import load_scene
from stemob_wrappers.renders.fill import render_env_scenes


def render(folder, **settings):
    return render_env_scenes(
        "HalfCheetah-v5", folder, num_scenes=2, size=32, states=4, appearances=3, **settings
    )


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    return folder, render(folder)


def test_an_envs_states_come_under_its_own_look_and_under_others(rendered):
    scenes = [load_scene(path) for path in rendered[1]]
    first, second = (scene.frames for scene in scenes)
    assert first.shape == (4, 3, 32, 32, 3)
    assert not np.array_equal(first[:, 0], second[:, 0]), "scenes differ in their states"
    assert not np.array_equal(first[:, 0], first[:, 1])
    assert scenes[0].metadata["split"] == "train"
    assert scenes[0].metadata["env_id"] == "HalfCheetah-v5"
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
