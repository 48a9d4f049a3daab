"""robosuite envs that were made by `robosuite.make`, as Gymnasium envs."""

import importlib.util
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import stemob_wrappers
from stemob_wrappers import StemObservation, wrap_robosuite
from stemob_wrappers.envs.wrapping import _global_draws, _open_grippers
from stemob_wrappers.perturb.scene import ScenePerturbation
from stemob_wrappers.vector import StemObservation as StemVector

if importlib.util.find_spec("robosuite") is None:
    pytest.skip("needs robosuite", allow_module_level=True)

SIZE = 32
BLIND = {"has_renderer": False, "has_offscreen_renderer": False, "use_camera_obs": False}
SEEING = {
    "has_renderer": False,
    "use_camera_obs": True,
    "camera_names": ["agentview"],
    "camera_heights": SIZE,
    "camera_widths": SIZE,
}


def lift(**settings: Any) -> Any:
    import robosuite

    return robosuite.make("Lift", "Panda", horizon=2, hard_reset=False, seed=0, **settings)


@pytest.fixture(scope="module")
def seeing():
    env = lift(**SEEING)
    yield env
    env.close()


@pytest.fixture(scope="module")
def blind():
    env = lift(**BLIND)
    yield env
    env.close()


def episode(env: Any, seed: int) -> list[Any]:
    steps = [env.reset(seed=seed)[0]]
    for number in range(2):
        steps.append(env.step(np.full(7, 0.3 * number, np.float32))[0])
    return steps


def test_frames_drawn_here_are_robosuites_own(seeing, blind):
    ours, theirs = wrap_robosuite(blind, "agentview", size=SIZE), wrap_robosuite(seeing)
    assert ours.observation_space == theirs.observation_space
    for mine, own in zip(episode(ours, 5), episode(theirs, 5), strict=True):
        for key in own:
            np.testing.assert_array_equal(mine[key], own[key], err_msg=key)
    both = wrap_robosuite(seeing, ["agentview", "frontview"], size=SIZE)  # each by its renderer
    np.testing.assert_array_equal(both.observe()["agentview_image"], theirs.render())
    both.observe()
    raw = both.observe()["agentview_image"][::-1]
    np.testing.assert_array_equal(theirs.observe()["agentview_image"], raw[::-1])
    np.testing.assert_array_equal(theirs.render(), raw[::-1])


def test_a_seed_decides_the_episode_and_leaves_the_global_generator_alone(blind):
    env = wrap_robosuite(blind, "agentview", size=SIZE)
    before = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    first, other, again = (episode(env, seed) for seed in (1, 2, 1))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # type: ignore[index]  # noqa: NPY002
    assert not np.array_equal(first[0]["cube_pos"], other[0]["cube_pos"])
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one["agentview_image"], two["agentview_image"])


def test_what_robosuite_1_4_draws_globally_is_decided_by_the_seed_and_given_back():
    np.random.seed(7)  # noqa: NPY002
    expected = np.random.get_state(legacy=False)  # noqa: NPY002
    drawn = []
    for seed in (1, 1, 2):
        with _global_draws(seed):
            drawn.append(np.random.rand())  # noqa: NPY002
    assert drawn[0] == drawn[1] != drawn[2]
    np.testing.assert_equal(np.random.get_state(legacy=False), expected)  # noqa: NPY002


def test_grippers_forget_the_episode_before(blind):
    gripper = blind.robots[0].gripper["right"]
    gripper.current_action = np.ones(gripper.dof)
    _open_grippers(blind)
    assert not gripper.current_action.any()


def test_the_horizon_truncates(blind):
    env = wrap_robosuite(blind, "agentview", size=SIZE)
    env.reset(seed=0)
    ends = [env.step(np.zeros(7, np.float32))[2:] for _ in range(2)]
    assert ends == [(False, False, {"success": False}), (False, True, {"success": False})]


def test_gymnasiums_checker_accepts_it(blind):
    env: Any = wrap_robosuite(blind, ["agentview", "robot0_eye_in_hand"], size=(24, SIZE))
    check_env(env, skip_render_check=True, skip_close_check=True)
    assert env.observation_space["agentview_image"].shape == (24, SIZE, 3)


def test_the_way_that_the_refusal_names(seeing):
    from robosuite.wrappers import GymWrapper

    flat: Any = GymWrapper(seeing, keys=["agentview_image", "robot0_eef_pos"])
    with pytest.raises(ValueError, match=r"wrap_robosuite\(env, cameras=\[\"agentview\"\]\)"):
        StemObservation(flat)
    env: Any = StemObservation(stemob_wrappers.wrap_robosuite(flat, cameras=["agentview"]))
    assert set(env.observation_space.spaces) == {"agentview_image", "robot0_eef_pos"}
    seen, _ = env.reset(seed=3)
    raw = wrap_robosuite(seeing).observe()["agentview_image"]
    stem = env.pipelines["agentview_image"](raw[None])[0]
    np.testing.assert_array_equal(seen["agentview_image"], stem)


def test_it_has_no_spec_as_robosuite_keeps_nothing_to_make_it_again_from(blind):
    env = wrap_robosuite(blind, "agentview", size=SIZE)
    assert env.spec is None
    assert StemObservation(env).spec is None


def test_many_of_them(blind):
    envs = gym.vector.SyncVectorEnv([lambda: wrap_robosuite(blind, "agentview", size=SIZE)])
    seen, _ = StemVector(envs).reset(seed=0)
    assert seen["agentview_image"].shape == (1, SIZE, SIZE, 3)


@pytest.mark.parametrize("camera", [None, "agentview"])
def test_its_scene_can_be_perturbed(seeing, blind, camera):
    env = wrap_robosuite(blind if camera else seeing, camera, size=SIZE)
    clean = env.reset(seed=0)[0]["agentview_image"]
    perturbed = ScenePerturbation(env, "table_texture", severity=5)
    seen, _ = perturbed.reset(seed=0)
    assert (seen["agentview_image"] != clean).mean() > 0.1
    perturbed.restore()
    np.testing.assert_array_equal(env.observe()["agentview_image"], clean)


def test_what_cannot_be_wrapped(blind, seeing):
    with pytest.raises(TypeError, match=r"what robosuite\.make"):
        wrap_robosuite(gym.make("CartPole-v1"))
    with pytest.raises(ValueError, match="this env renders none itself"):
        wrap_robosuite(blind)
    with pytest.raises(ValueError, match=r"frontview.*received agentveiw"):
        wrap_robosuite(seeing, "agentveiw")
    with pytest.raises(ValueError, match="each once"):
        wrap_robosuite(seeing, ["agentview", "agentview"])
    with pytest.raises(ValueError, match="render_quality"):
        wrap_robosuite(seeing, render_quality="best")
