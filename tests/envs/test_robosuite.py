"""The robosuite tasks as Gymnasium envs, against robosuite itself and Gymnasium's checker."""

import importlib.util
import json
import os
import random
import subprocess
import sys
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

from stemob_wrappers import envs
from stemob_wrappers.envs.robosuite import RobosuiteEnv
from stemob_wrappers.wrappers.observation import StemObservation

if importlib.util.find_spec("robosuite") is None:
    pytest.skip("needs robosuite", allow_module_level=True)

envs.register()


@pytest.fixture(scope="module")
def env():
    env = gym.make(
        "stemob/Lift-v0",
        cameras=["agentview", "robot0_eye_in_hand"],
        object_state=True,
        render_mode="rgb_array",
    )
    yield env
    env.close()


@pytest.fixture(scope="module")
def full():
    env = RobosuiteEnv("Lift", render_quality="full")
    yield env
    env.close()


@pytest.fixture(scope="module")
def blind():
    """Lift without a camera: quick."""
    env = RobosuiteEnv("Lift", cameras=(), object_state=True, terminate_on_success=False, horizon=3)
    yield env
    env.close()


def episode(env, seed, steps=3):
    actions = np.random.default_rng(7)
    shape = env.action_space.shape
    observations = [env.reset(seed=seed)[0]]
    for _ in range(steps):
        observations.append(env.step(actions.uniform(-1, 1, shape).astype(np.float32))[0])
    return observations


def identical(first, second):
    return all(
        np.array_equal(a[key], b[key]) for a, b in zip(first, second, strict=True) for key in a
    )


def test_importing_and_registering_loads_no_simulator():
    code = (
        "import sys, stemob_wrappers.envs as envs; envs.register();"
        "print([m for m in ('robosuite', 'mujoco', 'torch') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_registering_twice_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        envs.register()
    assert all(f"stemob/{task}-v0" in gym.registry for task in envs.TASKS)


def test_gymnasiums_checker_passes(env):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*A Box observation space m")
        check_env(env.unwrapped)


def test_gymnasiums_checker_passes_on_stem_frames_and_the_spec_rebuilds_them():
    env = StemObservation(gym.make("stemob/Lift-v0", size=32, render_mode="rgb_array"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(env, skip_render_check=False)
    assert env.spec is not None
    again = gym.make(env.spec)
    assert identical([env.reset(seed=2)[0]], [again.reset(seed=2)[0]])
    env.close()
    again.close()


def test_observations_are_in_the_space(env):
    for observation in episode(env, seed=0):
        assert env.observation_space.contains(observation)
        assert {key: value.dtype for key, value in observation.items()} == {
            "agentview_image": np.uint8,
            "robot0_eye_in_hand_image": np.uint8,
            "proprio": np.float32,
            "object": np.float32,
        }


def test_a_seed_fixes_the_episode_whatever_happens_around_it(env):
    first = episode(env, seed=5)
    episode(env, seed=6)
    env.reset()
    np.random.rand(3)  # noqa: NPY002
    random.random()
    assert identical(first, episode(env, seed=5))
    assert not identical(first, episode(env, seed=6))


def test_global_generators_are_left_alone():
    state, python_state = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    env = RobosuiteEnv("Wipe", cameras=())
    episode(env, seed=1)
    env.reset()
    env.close()
    np.testing.assert_equal(np.random.get_state(legacy=False), state)  # noqa: NPY002
    assert python_state == random.getstate()


def test_unseeded_resets_differ_from_each_other_and_follow_the_last_seed(blind):
    def three():
        return [blind.reset(seed=3)[0], blind.reset()[0], blind.reset()[0]]

    first = three()
    assert not np.array_equal(first[0]["object"], first[1]["object"])
    assert not np.array_equal(first[1]["object"], first[2]["object"])
    assert identical(first, three())


def test_a_new_env_without_a_seed_starts_anywhere():
    cubes = []
    for _ in range(2):
        env = RobosuiteEnv("Lift", cameras=(), object_state=True)
        cubes.append(env.reset()[0]["object"])
        env.close()
    assert not np.array_equal(*cubes)


@pytest.mark.parametrize("task", envs.TASKS)
def test_every_task_runs_and_reproduces_its_states(task):
    env = gym.make(f"stemob/{task}-v0", cameras=[], object_state=True)
    first = episode(env, seed=2, steps=1)
    env.reset(seed=3)
    assert env.observation_space.contains(first[0])
    assert identical(first, episode(env, seed=2, steps=1))
    env.close()


def test_another_process_gives_the_same_episodes_and_prints_nothing_even_left_open():
    code = """
import json
from stemob_wrappers.envs.robosuite import RobosuiteEnv
env = RobosuiteEnv("PickPlaceSingle", object_state=True, cameras=(), render_mode="rgb_array")
print(json.dumps([env.reset(seed=seed)[0]["object"].tolist() for seed in range(5)]))
env.render()
"""
    child = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stderr == ""
    env = RobosuiteEnv("PickPlaceSingle", cameras=(), object_state=True)
    here, objects = [], set()
    for seed in range(5):
        here.append(env.reset(seed=seed)[0]["object"])
        objects.add(env.simulator.obj_to_use)
    env.close()
    assert len(objects) > 1
    assert np.array_equal(np.float32(json.loads(child.stdout)), here)


@pytest.mark.parametrize(("x", "y"), [(0.2, 0.1), (-0.1, -0.1)])
def test_frames_are_upright_and_not_mirrored(env, x, y):
    """The cube is red where robosuite's own projection puts it, and nowhere else."""
    from robosuite.utils import camera_utils

    env.reset(seed=0)
    bare = env.unwrapped
    address = bare.model.joint("cube_joint0").qposadr[0]
    bare.data.qpos[address : address + 2] = (x, y)
    bare.simulator.sim.forward()
    frame = bare.observe()["agentview_image"].astype(int)

    transform = camera_utils.get_camera_transform_matrix(bare.simulator.sim, "agentview", 84, 84)
    expected = camera_utils.project_points_from_world_to_camera(
        bare.data.body("cube_main").xpos, transform, 84, 84
    )
    red = np.argwhere(frame[..., 0] > 2 * frame[..., 1])
    assert len(red) > 10
    assert np.abs(red.mean(axis=0) - expected).max() < 2


def test_full_quality_is_robosuites_own_picture_turned_upright(full):
    from robosuite.utils.binding_utils import MjRenderContextOffscreen

    observation, _ = full.reset(seed=0)
    context = MjRenderContextOffscreen(full.simulator.sim, device_id=-1)
    context.vopt.geomgroup[0] = 0
    theirs = full.simulator.sim.render(camera_name="agentview", width=84, height=84)
    assert np.abs(observation["agentview_image"].astype(int) - theirs[::-1]).max() <= 2


@pytest.mark.slow
@pytest.mark.parametrize("task", envs.TASKS)
@pytest.mark.filterwarnings("ignore:.*A Box observation space m")
def test_every_task_is_a_gymnasium_env_that_shows_robosuites_own_picture(task):
    from robosuite.utils.binding_utils import MjRenderContextOffscreen

    env = gym.make(f"stemob/{task}-v0", render_quality="full", render_mode="rgb_array")
    bare: Any = env.unwrapped
    check_env(bare, skip_render_check=False)

    first, _ = env.reset(seed=4)
    env.reset(seed=5)
    again, _ = env.reset(seed=4)
    assert env.observation_space.contains(again)
    assert identical([first], [again])

    context = MjRenderContextOffscreen(bare.simulator.sim, device_id=-1)
    context.vopt.geomgroup[0] = 0
    theirs = bare.simulator.sim.render(camera_name="agentview", width=84, height=84)
    assert theirs.std() > 5
    assert np.abs(again["agentview_image"].astype(int) - theirs[::-1]).max() <= 2
    env.close()


def test_fast_quality_drops_multisampling_shadows_and_reflections(env, full):
    (_, fast_context), *_ = env.unwrapped.render_contexts()
    (_, full_context), *_ = full.render_contexts()
    assert fast_context.offSamples == 0
    assert full_context.offSamples == full.model.vis.quality.offsamples > 0

    def changed_by(env, field, value):
        before = env.observe()["agentview_image"]
        saved = getattr(env.model, field).copy()
        getattr(env.model, field)[:] = value
        after = env.observe()["agentview_image"]
        getattr(env.model, field)[:] = saved
        return not np.array_equal(before, after)

    assert changed_by(full, "light_castshadow", 1)
    assert not changed_by(env.unwrapped, "light_castshadow", 1)
    assert changed_by(full, "mat_reflectance", 0)
    assert not changed_by(env.unwrapped, "mat_reflectance", 0)


def test_render_gives_the_first_camera(env):
    observation, _ = env.reset(seed=0)
    assert np.array_equal(env.render(), observation["agentview_image"])
    assert env.metadata["render_fps"] == 20


def test_observe_sees_a_changed_scene_in_the_same_state(env):
    before, _ = env.reset(seed=0)
    bare = env.unwrapped
    assert identical([before], [bare.observe()])
    saved = bare.model.light_diffuse.copy()
    bare.model.light_diffuse[:] = 0
    after = bare.observe()
    bare.model.light_diffuse[:] = saved
    assert after["agentview_image"].mean() < before["agentview_image"].mean()
    assert np.array_equal(after["object"], before["object"])
    assert identical([before], [bare.observe()])


def lift_the_cube(env):
    address = env.model.joint("cube_joint0").qposadr[0]
    env.data.qpos[address + 2] = 1.2


def test_success_ends_the_episode():
    env = RobosuiteEnv("Lift", cameras=())
    env.reset(seed=0)
    still = np.zeros(7, np.float32)
    assert env.step(still)[1:] == (0.0, False, False, {"success": False})
    lift_the_cube(env)
    assert env.step(still)[1:] == (1.0, True, False, {"success": True})
    env.close()


def test_success_can_be_kept_from_ending_the_episode(blind):
    blind.reset(seed=0)
    lift_the_cube(blind)
    _, reward, terminated, _, info = blind.step(np.zeros(7, np.float32))
    assert (reward, terminated, info) == (1.0, False, {"success": True})


def test_the_horizon_truncates_and_stepping_on_is_allowed(blind):
    blind.reset(seed=0)
    infos = []
    truncations = []
    for _ in range(4):
        _, _, terminated, truncated, info = blind.step(np.zeros(7, np.float32))
        assert not terminated
        truncations.append(truncated)
        infos.append(info)
    assert truncations == [False, False, True, True]
    assert infos[0] is not infos[1]
    blind.reset()
    assert not blind.step(np.zeros(7, np.float32))[3]


@pytest.mark.parametrize(
    ("action", "message"),
    [(np.zeros(3), "shape"), (0.0, "shape"), (np.full(7, np.nan), "finite")],
)
def test_a_bad_action_is_refused_and_the_episode_goes_on(blind, action, message):
    observation, _ = blind.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        blind.step(action)
    assert identical([observation], [blind.observe()])


def test_a_hard_reset_builds_a_new_model_and_the_frames_follow_it():
    env = RobosuiteEnv("Lift", hard_reset=True, size=(24, 32))
    first = episode(env, seed=1, steps=1)
    assert first[1]["agentview_image"].shape == (24, 32, 3)
    model = env.model
    cube = model.geom("cube_g0").size.copy()
    second = episode(env, seed=2, steps=0)
    assert env.model is not model
    assert not np.array_equal(cube, env.model.geom("cube_g0").size)
    assert not np.array_equal(first[0]["agentview_image"], second[0]["agentview_image"])
    env.model.light_diffuse[:] = 0
    assert env.observe()["agentview_image"].mean() < second[0]["agentview_image"].mean()
    assert identical(first, episode(env, seed=1, steps=1))
    assert len(env.render_contexts()) == 1
    env.close()


def test_the_spec_rebuilds_the_env(env):
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.observation_space == env.observation_space
    assert identical(episode(env, seed=4), episode(again, seed=4))
    again.close()


@pytest.mark.parametrize(("settings", "steps"), [({}, 500), ({"horizon": 2}, 2)])
def test_the_spec_tells_after_how_many_steps_an_episode_ends(settings, steps):
    env = gym.make("stemob/Lift-v0", cameras=(), **settings)
    spec: Any = env.spec
    assert spec.max_episode_steps == steps
    again = gym.make(spec)
    assert again.spec == env.spec
    if steps == 2:
        again.reset(seed=0)
        ends = [again.step(np.zeros(7, np.float32))[3] for _ in range(2)]
        assert ends == [False, True]
    limited = gym.make("stemob/Lift-v0", cameras=(), max_episode_steps=3)
    assert limited.spec is not None
    assert limited.spec.max_episode_steps == 3
    for each in (env, again, limited):
        each.close()


def test_other_controllers_and_robots_change_the_spaces():
    env = RobosuiteEnv("Lift", robots="Sawyer", controller="OSC_POSITION", cameras=())
    assert env.action_space.shape == (4,)
    env.reset(seed=0)
    env.step(env.action_space.sample())
    env.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "Lfit"}, "PickPlaceCan.*'Lfit'"),
        ({"robots": "Pnada"}, "UR5e.*'Pnada'"),
        ({"robots": "Baxter"}, "UR5e.*'Baxter'"),
        ({"controller": "OSC"}, "OSC_POSE.*'OSC'"),
        ({"cameras": "top"}, "agentview.*'top'"),
        ({"cameras": ["agentview", "agentview"]}, "differ"),
        ({"cameras": (), "proprio": False}, "empty"),
        ({"size": 0}, "size"),
        ({"size": (84, 84, 3)}, "size"),
        ({"horizon": 0}, "horizon"),
        ({"render_quality": "best"}, "'fast', 'full'"),
        ({"render_mode": "human"}, "rgb_array"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        RobosuiteEnv(**{"task": "Lift", **arguments})


def test_stepping_needs_a_reset_and_an_open_env():
    env = RobosuiteEnv("Lift", cameras=())
    with pytest.raises(RuntimeError, match="reset"):
        env.step(np.zeros(7, np.float32))
    env.close()
    env.close()
    for use in (env.reset, lambda: env.step(np.zeros(7, np.float32)), env.observe):
        with pytest.raises(RuntimeError, match="closed"):
            use()
    assert env.render_contexts() == []


def test_without_robosuite_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "robosuite", None)
    with pytest.raises(ImportError, match=r"pip install 'stemob_wrappers\[robosuite\]'"):
        RobosuiteEnv("Lift")
