"""ScenePerturbation on robosuite, Gymnasium and Fetch envs: looks change, nothing else does."""

# pyright: reportAttributeAccessIssue=false
# (MuJoCo ships no complete type stubs.)

import copy
import functools
import hashlib
import itertools
import json
import types
import warnings
from typing import Any

import cv2
import fakes
import gymnasium as gym
import gymnasium_robotics
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from perturbed_cheetah import SIZE, make_cheetah, make_for_worker

import stemob_wrappers
from stemob_wrappers.perturb import ScenePerturbation
from stemob_wrappers.perturb.factors import FACTORS, GROUPS
from stemob_wrappers.scene.simulation import find_simulation
from stemob_wrappers.scene.textures import FAMILIES, SPLITS
from stemob_wrappers.splits import SEEDS
from stemob_wrappers.wrappers.rendering import make_rendered

gym.register_envs(gymnasium_robotics)
warnings.filterwarnings("ignore", "Left out")

# Lift's walls, and the cheetah's floor, fill what the camera sees of the sky.
OUT_OF_SIGHT = {"lift": {"skybox"}, "cheetah": {"skybox"}, "fetch": set()}


def pixels(observation: Any) -> Any:
    return observation["agentview_image"] if isinstance(observation, dict) else observation


def saved_model(model: Any) -> bytes:
    """Digest of every byte of a model, textures included."""
    buffer = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return hashlib.sha1(buffer.data).digest()


def possible(env):
    edit = find_simulation(env).new_edit()
    return [name for name, factor in FACTORS.items() if factor.missing(edit) is None]


def rollout(env: Any, seed: int, steps: int = 4) -> tuple[list[Any], list[Any], list[Any]]:
    """Physics states, rewards and frames of an episode under fixed actions."""
    observation, _ = env.reset(seed=seed)
    simulation = find_simulation(env)
    rng = np.random.default_rng(0)
    low, high = env.action_space.low, env.action_space.high
    states, rewards, frames = [], [], [pixels(observation)]
    for _ in range(steps):
        observation, reward, *_ = env.step(rng.uniform(low, high).astype(env.action_space.dtype))
        states.append(np.concatenate([simulation.data.qpos, simulation.data.qvel]).tobytes())
        rewards.append(reward)
        frames.append(pixels(observation))
    return states, rewards, frames


def make_lift(**settings: Any) -> Any:
    settings |= {"size": SIZE, "object_state": True, "render_mode": "rgb_array"}
    return gym.make("stemob/Lift-v0", **settings)


@pytest.fixture(scope="module")
def lift():
    env = make_lift()
    env.reset(seed=0)
    yield env
    env.close()


@pytest.fixture(scope="module")
def door():
    env = gym.make("stemob/Door-v0", size=SIZE)
    env.reset(seed=0)
    yield env
    env.close()


@pytest.fixture(scope="module")
def cheetah():
    env = make_cheetah()
    yield env
    env.close()


@pytest.fixture(scope="module")
def fetch():
    env = make_rendered("FetchPickAndPlace-v4", size=SIZE)
    yield env
    env.close()


@pytest.fixture(params=["lift", "door", "cheetah", "fetch"])
def any_env(request):
    return request.getfixturevalue(request.param)


# --- save, apply, restore -------------------------------------------------------------------------


def test_every_factor_is_restored_bit_for_bit(any_env):
    any_env.reset(seed=1)
    model = find_simulation(any_env).model
    before = saved_model(model)
    for name in possible(any_env):
        perturbed = ScenePerturbation(any_env, name, severity=5)
        perturbed.reset(seed=1)
        perturbed.restore()
        assert saved_model(model) == before, name


def test_all_factors_together_are_restored_in_the_model_and_in_the_renderer(any_env):
    clean, _ = any_env.reset(seed=1)
    before = saved_model(find_simulation(any_env).model)
    perturbed = ScenePerturbation(any_env, "all", severity=5)
    for seed in (1, 2):
        observation, _ = perturbed.reset(seed=seed)
        assert (pixels(observation) != pixels(clean)).mean() > 0.1
    perturbed.restore()
    again, info = any_env.reset(seed=1)  # some tasks place things by moving bodies of the model
    assert saved_model(find_simulation(any_env).model) == before
    assert np.array_equal(pixels(again), pixels(clean))
    assert "perturbation" not in info


def test_what_the_env_changes_beside_a_perturbation_stays_changed(cheetah):
    model = find_simulation(cheetah).model
    usual = model.geom_rgba.copy()
    perturbed = ScenePerturbation(cheetah, "robot_colour", severity=5)
    perturbed.reset(seed=0)
    model.geom_rgba[:, 3] = 0.25
    perturbed.restore()
    assert (model.geom_rgba[:, 3] == 0.25).all()
    assert np.array_equal(model.geom_rgba[:, :3], usual[:, :3])
    model.geom_rgba[:] = usual


# --- physics and task untouched -------------------------------------------------------------------


def test_states_are_the_same_with_and_without(any_env):
    states, rewards, frames = rollout(any_env, seed=5)
    perturbed = ScenePerturbation(any_env, "all", severity=5)
    other_states, other_rewards, other_frames = rollout(perturbed, seed=5)
    perturbed.restore()
    assert states == other_states
    assert rewards == other_rewards
    for frame, other in zip(frames, other_frames, strict=True):
        assert not np.array_equal(frame, other)


def test_only_what_moves_changes_within_an_episode(cheetah):
    model = find_simulation(cheetah).model
    moving = ["moving_light", "moving_background"]
    others = [name for name in possible(cheetah) if name not in moving]
    for factors, still in ((others, True), *(([name], False) for name in moving)):
        perturbed = ScenePerturbation(cheetah, factors, severity=3)
        perturbed.reset(seed=0)
        before = saved_model(model)
        for _ in range(3):
            perturbed.step(np.zeros(6, np.float32))
        assert (saved_model(model) == before) is still
        perturbed.restore()


# --- what is seen ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lift", "cheetah", "fetch"])
def test_every_factor_changes_the_frame(name, request):
    env = request.getfixturevalue(name)
    clean = pixels(env.reset(seed=2)[0])
    for factor in possible(env):
        perturbed = ScenePerturbation(env, factor, severity=5)
        differs = [not np.array_equal(pixels(perturbed.reset(seed=2)[0]), clean) for _ in range(3)]
        perturbed.restore()
        assert any(differs) is (factor not in OUT_OF_SIGHT[name]), factor


@pytest.mark.parametrize(
    ("factor", "role"),
    [
        ("object_colour", "object"),
        ("object_texture", "object"),
        ("robot_colour", "robot"),
        ("table_texture", "table"),
        ("wall_texture", "wall"),
        ("floor_texture", "floor"),
    ],
)
def test_a_factor_changes_only_the_pixels_it_names(lift, factor, role):
    clean = pixels(lift.reset(seed=3)[0])
    simulation = find_simulation(lift)
    geoms = simulation.new_edit().surfaces.geoms(role)
    shown = segmentation(simulation.model, simulation.data, "agentview")
    perturbed = ScenePerturbation(lift, factor, severity=5)
    changed = (pixels(perturbed.reset(seed=3)[0]) != clean).any(axis=-1)
    perturbed.restore()
    assert changed.any()
    assert np.isin(shown[changed], geoms).all()


def segmentation(model: Any, data: Any, camera: str) -> Any:
    """Number of the geom that each pixel shows."""
    options = mujoco.MjvOption()
    options.geomgroup[0] = 0
    options.sitegroup[:] = 0
    with mujoco.Renderer(model, SIZE, SIZE) as renderer:
        renderer.enable_segmentation_rendering()
        renderer.update_scene(data, camera, options)
        return renderer.render()[..., 0]


def mean_distances(env, factor):
    """Mean distance from the clean frame at each severity, of one state under 20 draws."""
    env.reset(seed=0)
    clean = env.render().astype(int)
    means = []
    for severity in range(1, 6):
        distances = []
        for seed in range(10):
            perturbed = ScenePerturbation(env, factor, severity, seed=seed)
            perturbed.reset(seed=0)
            distances.append(np.abs(env.render() - clean).mean())
            perturbed.restore()
        means.append(float(np.mean(distances)))
    return means


@pytest.mark.parametrize("factor", ["light_direction", "floor_texture", "camera_position"])
def test_the_change_grows_with_severity(cheetah, factor):
    means = mean_distances(cheetah.env, factor)
    assert means == sorted(means)
    assert means[4] > 2 * means[0]


@pytest.mark.slow
@pytest.mark.parametrize("factor", [name for name in FACTORS if name != "skybox"])
def test_the_change_grows_with_severity_on_a_table(lift, factor):
    means = mean_distances(lift.unwrapped, factor)
    assert means == sorted(means)


def test_two_envs_in_one_process_do_not_touch_each_other(cheetah):
    first: Any = ScenePerturbation(cheetah, ["floor_texture", "distractors"], severity=5)
    second: Any = ScenePerturbation(make_cheetah(), "all", severity=5)
    alone, other_alone = rollout(first, seed=0), rollout(second, seed=1)
    model = saved_model(find_simulation(first).model)
    assert equal(rollout(first, seed=0), alone)
    assert saved_model(find_simulation(first).model) == model
    first.reset(seed=0)
    second.reset(seed=1)  # leaves its own render context behind
    assert np.array_equal(first.render(), alone[2][0])
    assert np.array_equal(second.render(), other_alone[2][0])
    first.restore()
    assert equal(rollout(second, seed=1), other_alone)
    second.close()


def equal(rollout, other):
    return rollout[:2] == other[:2] and np.array_equal(rollout[2], other[2])


def test_a_new_texture_is_tinted_where_the_colour_changes_too(lift):
    model = find_simulation(lift).model
    cube = model.geom("cube_g0_vis").id
    texture = model.mat_texid[model.geom_matid[cube], mujoco.mjtTextureRole.mjTEXROLE_RGB]
    start = model.tex_adr[texture]
    painted = []
    for factors in (["object_texture"], ["object_texture", "object_colour"]):
        perturbed = ScenePerturbation(lift, factors, severity=4)
        perturbed.reset(seed=0)
        assert model.geom_matid[cube] >= 0
        assert (model.geom_rgba[cube] == 0.5).sum() == 3  # the material's own, which is white
        painted.append(model.tex_data[start : start + 3000].astype(int))
        perturbed.restore()
    assert np.ptp(painted[1]) > 0
    assert not np.array_equal(*painted)


# --- hard resets and renderers --------------------------------------------------------------------


def test_a_hard_reset_is_perturbed_like_a_soft_one_and_restored():
    env = make_lift(hard_reset=True)
    clean = pixels(env.reset(seed=4)[0])
    perturbed = ScenePerturbation(env, ["table_texture", "distractors", "shadows"], severity=5)
    models = []
    for _ in range(2):
        observation, info = perturbed.reset(seed=4)
        models.append(find_simulation(env).model)
        assert np.abs(pixels(observation).astype(int) - clean).mean() > 10
        assert np.array_equal(pixels(observation), pixels(env.unwrapped.observe()))
        assert set(info["perturbation"]) == {"table_texture", "distractors", "shadows", "episode"}
    assert models[0] is not models[1]
    perturbed.restore()
    assert np.array_equal(pixels(env.unwrapped.observe()), clean)
    env.close()


def test_robosuite_with_its_own_wrapper_renderer_and_hard_resets():
    robosuite = pytest.importorskip("robosuite")
    from robosuite.wrappers import GymWrapper

    camera = {"use_camera_obs": True, "camera_heights": SIZE, "camera_widths": SIZE}
    task = robosuite.make("Lift", "Panda", seed=0, **camera)
    inner: Any = GymWrapper(task, keys=["agentview_image"])
    env = gym.Wrapper(inner)
    for factor in ("table_texture", "distractors"):
        perturbed = ScenePerturbation(env, factor, severity=5)
        seen, _ = perturbed.reset(seed=0)
        assert np.array_equal(inner._flatten_obs(task._get_observations(True)), seen)
        perturbed.restore()
        usual = inner._flatten_obs(task._get_observations(True))
        assert (seen != usual).mean() > 0.01, factor
    env.close()


def test_robosuites_interactive_window_is_told_of_textures(lift, monkeypatch):
    told: list[int] = []
    window = types.SimpleNamespace(update_texture=told.append)
    simulator = lift.unwrapped.simulator
    monkeypatch.setattr(simulator, "viewer", types.SimpleNamespace(viewer=window))
    perturbed = ScenePerturbation(lift, "floor_texture")
    monkeypatch.setattr(lift.unwrapped, "reset", lambda **_: (None, {}))  # it needs a display
    perturbed.reset(seed=0)
    perturbed.restore()
    floor = find_simulation(lift).new_edit().surfaces.textures("floor")
    assert told == [*floor, *floor]


def test_an_own_renderer_is_found(cheetah):
    class Own(gym.Env[Any, Any]):
        def __init__(self):
            self.model = copy.copy(find_simulation(cheetah).model)
            self.data = mujoco.MjData(self.model)
            mujoco.mj_forward(self.model, self.data)
            self.renderer = mujoco.Renderer(self.model, SIZE, SIZE)

        def reset(self, *, seed=None, options=None):
            self.renderer.update_scene(self.data)
            return self.renderer.render(), {}

    env: Any = Own()
    clean, _ = env.reset()
    for factor in ("floor_texture", "distractors", "camera_orientation"):
        perturbed = ScenePerturbation(env, factor, severity=5)
        assert not np.array_equal(perturbed.reset(seed=1)[0], clean), factor
        perturbed.restore()
        assert np.array_equal(env.reset()[0], clean), factor
    env.renderer.close()


# --- reports and seeds ----------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_draw_and_others_give_others(cheetah):
    perturbed = ScenePerturbation(cheetah, "all", severity=4, seed=7)
    draws = [perturbed.reset(seed=seed)[1]["perturbation"] for seed in (0, 1, 0)]
    unseeded = [perturbed.reset()[1]["perturbation"] for _ in range(2)]
    perturbed.restore()
    assert draws[0] == draws[2]
    assert len({draw["episode"] for draw in [*draws[:2], *unseeded]}) == 4
    elsewhere = ScenePerturbation(cheetah, "all", severity=4, seed=8)
    assert elsewhere.reset(seed=0)[1]["perturbation"] != draws[0]
    elsewhere.restore()


def test_a_factor_is_drawn_the_same_alone_and_among_others(cheetah):
    alone = ScenePerturbation(cheetah, "light_direction", severity=2)
    one = alone.reset(seed=0)[1]["perturbation"]["light_direction"]
    alone.restore()
    among = ScenePerturbation(cheetah, {"all": 5, "light_direction": 2})
    report = among.reset(seed=0)[1]["perturbation"]
    among.restore()
    assert report["light_direction"] == one
    assert report["floor_texture"]["severity"] == 5


def test_the_report_is_fresh_and_plain(cheetah):
    perturbed = ScenePerturbation(cheetah, "all", severity=2)
    _, first = perturbed.reset(seed=0)
    *_, second = perturbed.step(np.zeros(6, np.float32))
    json.dumps(first["perturbation"])
    assert first["perturbation"] == second["perturbation"]
    first["perturbation"]["ambient"]["factor"] = 0.0
    assert second["perturbation"]["ambient"]["factor"] != 0.0
    perturbed.restore()
    assert perturbed.step(np.zeros(6, np.float32))[-1]["perturbation"] == {}


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_textures_and_seeds_are_the_splits_own(cheetah, split):
    perturbed = ScenePerturbation(cheetah, "floor_texture", split=split)
    for seed in range(8):
        report = perturbed.reset(seed=seed)[1]["perturbation"]
        assert report["floor_texture"]["family"] in SPLITS[split]
        assert report["floor_texture"]["seed"] in SEEDS[split]
        assert report["episode"] in SEEDS[split]
    perturbed.restore()
    assert len(FAMILIES) == sum(map(len, SPLITS.values()))


def test_textures_from_a_folder(cheetah, tmp_path):
    red = np.zeros((20, 30, 3), np.uint8)
    red[..., 2] = 255
    cv2.imwrite(str(tmp_path / "red.png"), red)
    clean = cheetah.reset(seed=0)[0]
    perturbed = ScenePerturbation(cheetah, "floor_texture", 5, texture_folder=tmp_path)
    frame, info = perturbed.reset(seed=0)
    perturbed.restore()
    assert info["perturbation"]["floor_texture"]["file"] == "red.png"
    gained = frame.astype(float).mean(axis=(0, 1)) - clean.mean(axis=(0, 1))
    assert gained[0] > 0 > max(gained[1:])


# --- composition ----------------------------------------------------------------------------------


def test_the_spec_rebuilds_the_same_env_under_a_stem_wrapper():
    env: Any = gym.make("HalfCheetah-v5", render_mode="rgb_array", width=SIZE, height=SIZE)
    env = ScenePerturbation(env, {"lighting": 2, "floor_texture": 4}, seed=3)
    env = stemob_wrappers.RenderObservation(env, SIZE)
    env = stemob_wrappers.StemObservation(env, inversion_steps=5)
    rebuilt: Any = gym.make(env.spec)
    frames, infos = zip(env.reset(seed=0), rebuilt.reset(seed=0), strict=True)
    assert np.array_equal(*frames)
    assert infos[0]["perturbation"] == infos[1]["perturbation"]
    json.loads(env.spec.to_json())
    env.close()
    rebuilt.close()


def test_async_vector_envs_see_what_single_ones_see():
    single = make_for_worker(1)
    expected, info = single.reset(seed=11)
    single.close()
    makers = [functools.partial(make_for_worker, seed) for seed in (0, 1)]
    venv = gym.vector.AsyncVectorEnv(makers, context="spawn")
    frames, infos = venv.reset(seed=[10, 11])
    venv.close()
    assert np.array_equal(frames[1], expected)
    assert infos["perturbation"]["episode"][1] == info["perturbation"]["episode"]


def test_gymnasium_accepts_it():
    env = ScenePerturbation(make_cheetah(), "lighting", seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(env, skip_render_check=True)
    env.close()


# --- bad input: one clear error each, the model untouched -----------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"factors": "lightning"}, "did you mean lighting"),
        ({"factors": ["table_textures"]}, "did you mean table_texture"),
        ({"factors": []}, "at least one factor"),
        ({"factors": {"lighting": 6}}, "severity must be one of 1, 2, 3, 4, 5; got 6"),
        ({"severity": 0}, "got 0"),
        ({"severity": 2.5}, "got 2.5"),
        ({"severity": True}, "got True"),
        ({"split": "validation"}, "split must be one of train, dev, test"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"factors": "table_texture"}, "needs a surface of the kind 'table'"),
        ({"texture_folder": "no/such/folder"}, "readable folder"),
    ],
)
def test_bad_input(cheetah, arguments, message):
    before = saved_model(find_simulation(cheetah).model)
    with pytest.raises(ValueError, match=message):
        ScenePerturbation(cheetah, **arguments)
    assert saved_model(find_simulation(cheetah).model) == before


def test_bad_texture_folders(cheetah, tmp_path):
    with pytest.raises(ValueError, match="without any"):
        ScenePerturbation(cheetah, "texture", texture_folder=tmp_path)
    (tmp_path / "note.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"note\.png"):
        ScenePerturbation(cheetah, "texture", texture_folder=tmp_path)


def test_a_group_goes_on_without_what_the_env_lacks(cheetah):
    with pytest.warns(UserWarning, match="table_texture needs a surface"):
        perturbed = ScenePerturbation(cheetah, "texture")
    assert set(perturbed.reset(seed=0)[1]["perturbation"]) == {"floor_texture", "episode"}
    perturbed.restore()


def test_a_group_of_nothing_possible_is_an_error(fetch):
    with pytest.raises(ValueError, match="nothing that these factors change"):
        ScenePerturbation(fetch, "texture")


def test_an_env_without_mujoco_is_told_of_pixels():
    with pytest.raises(ValueError, match="PixelPerturbation"):
        ScenePerturbation(gym.make("fakes:fake/Frame-v0", layout=fakes.IMAGE))


def test_one_inside_another_is_refused(cheetah):
    inner = ScenePerturbation(cheetah, "lighting")
    with pytest.raises(ValueError, match="name all factors in one"):
        ScenePerturbation(gym.Wrapper(inner), "colour")


def test_every_factor_is_in_a_group():
    grouped = {name for group, names in GROUPS.items() if group != "all" for name in names}
    assert grouped == set(FACTORS) - {"moving_background"}


def test_a_background_glides_on_at_each_step_and_is_given_back(cheetah):
    model = find_simulation(cheetah).model
    before = saved_model(model)
    perturbed: Any = ScenePerturbation(cheetah, "moving_background", severity=5, split="dev")
    states, rewards, frames = rollout(perturbed, seed=0)
    for first, second in itertools.pairwise(frames):
        assert np.abs(first.astype(int) - second).mean() > 1
    again = rollout(perturbed, seed=0)
    assert equal(again, (states, rewards, frames))
    perturbed.restore()
    assert saved_model(model) == before
    assert (states, rewards) == rollout(cheetah, seed=0)[:2], "physics are as they were"
