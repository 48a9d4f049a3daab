import functools
import warnings
from typing import Any

import fakes
import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import FrameStackObservation, TimeLimit

from stemob_wrappers import StemObservation
from stemob_wrappers.perturb import PixelPerturbation, ScenePerturbation
from stemob_wrappers.scene.renderer import CameraRenderer
from stemob_wrappers.wrappers.chunk import ActionChunk
from stemob_wrappers.wrappers.rendering import RenderObservation

FakeFrames = functools.partial(fakes.FrameEnv, episode_length=7)


def reacher(**kwargs):
    return gym.make("Reacher-v5", render_mode="rgb_array", width=32, height=32, **kwargs)


def assert_same(one, other):
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    else:
        np.testing.assert_array_equal(one, other)


def one_by_one(env, actions):
    """What a chunk must give: the steps themselves."""
    rewards, step = [], (None, 0.0, False, False, {})
    for action in actions:
        step = env.step(action)
        rewards.append(step[1])
        if step[2] or step[3]:
            break
    return step[0], sum(rewards), step[2], step[3], len(rewards)


@pytest.mark.parametrize("k", [1, 3, 4])
@pytest.mark.parametrize("keep_state", [False, True])
def test_a_chunk_is_its_actions_and_the_end_cuts_it_short(k, keep_state):
    """Seven steps end the episode: within the third chunk of three, the second of four."""
    make = lambda: RenderObservation(reacher(max_episode_steps=7), 32, keep_state)  # noqa: E731
    plain, chunked = make(), ActionChunk(make(), k)
    assert_same(chunked.reset(seed=3)[0], plain.reset(seed=3)[0])
    chunked.action_space.seed(0)
    over = truncated = False
    while not over:
        actions = chunked.action_space.sample()
        expected = one_by_one(plain, actions)
        observation, reward, terminated, truncated, info = chunked.step(actions)
        assert_same(observation, expected[0])
        assert reward == pytest.approx(expected[1])
        assert (terminated, truncated, info["chunk_length"]) == expected[2:]
        over = terminated or truncated
    assert truncated
    plain.close()
    chunked.close()


class CountingRender(gym.Wrapper):
    frames = 0

    def render(self):
        self.frames += 1
        return super().render()


@pytest.mark.parametrize("wrapped", [False, True])
def test_only_the_frame_that_is_returned_is_rendered(wrapped):
    counting = CountingRender(reacher())
    env: Any = RenderObservation(counting, 32)
    env = ScenePerturbation(TimeLimit(env, 6), {"lighting": 2}) if wrapped else TimeLimit(env, 6)
    env = ActionChunk(env, 4)
    env.reset(seed=0)
    actions = env.action_space.sample()
    counting.frames = 0
    assert env.step(actions)[0].any()
    assert counting.frames == 1
    observation, _, _, truncated, info = env.step(actions)  # ends after two
    assert (truncated, info["chunk_length"], counting.frames) == (True, 2, 2)
    assert observation.any()
    env.close()


def test_what_a_wrapper_in_between_looks_at_is_rendered():
    stacked = ActionChunk(FrameStackObservation(RenderObservation(reacher(), 32), 3), 4)
    stacked.reset(seed=0)
    observation = stacked.step(stacked.action_space.sample())[0]
    assert observation.shape == (3, 32, 32, 3)
    assert all(frame.any() for frame in observation)
    stacked.close()


def test_an_error_within_a_step_leaves_rendering_on():
    renderer = RenderObservation(fakes.FrameEnv(render_mode="rgb_array", fault="raise"), 32)
    env = ActionChunk(renderer, 4)
    env.reset(seed=0)
    with pytest.raises(RuntimeError):
        env.step(env.action_space.sample())
    assert renderer.renders


@pytest.mark.parametrize(
    ("single", "expected"),
    [
        (spaces.Discrete(3), spaces.MultiDiscrete([3, 3])),
        (spaces.Box(-1, 1, (5,)), spaces.Box(-1, 1, (2, 5))),
        (
            spaces.Dict(arm=spaces.Box(0, 1, (2,)), grip=spaces.Discrete(2)),
            spaces.Dict(arm=spaces.Box(0, 1, (2, 2)), grip=spaces.MultiDiscrete([2, 2])),
        ),
    ],
)
def test_the_action_space_is_the_envs_k_times(single, expected):
    taken = []

    class Env(fakes.FrameEnv):
        def __init__(self):
            super().__init__()
            self.action_space = single

        def step(self, action):
            taken.append(action)
            return super().step(0)

    env = ActionChunk(Env(), 2)
    assert env.action_space == expected
    env.reset(seed=0)
    env.step(env.action_space.sample())
    assert len(taken) == 2
    assert all(action in single for action in taken)


def test_actions_of_another_number_are_refused():
    env = ActionChunk(fakes.FrameEnv(), 3)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="a chunk has 3 actions, received 2"):
        env.step(np.zeros(2, int))


@pytest.mark.parametrize("k", [0, -1, 2.0, True, "2"])
def test_a_k_that_is_no_number_of_actions_is_refused(k):
    with pytest.raises(ValueError, match="k must be a whole number from 1"):
        ActionChunk(fakes.FrameEnv(), k)


def test_gymnasium_has_nothing_to_say_against_it():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*different from the unwrapped version")
        check_env(ActionChunk(fakes.FrameEnv(), 2), skip_render_check=True)


def test_the_spec_rebuilds_it():
    env = gym.make("fakes:fake/Frame-v0", layout={"shape": [16, 16, 3]})
    env = StemObservation(ActionChunk(env, 3), cache=False)
    assert env.spec is not None
    again = gym.make(env.spec)
    assert again.action_space == env.action_space
    assert "ActionChunk" in str(again)
    actions = np.zeros(3, int)
    np.testing.assert_array_equal(env.reset(seed=1)[0], again.reset(seed=1)[0])
    np.testing.assert_array_equal(env.step(actions)[0], again.step(actions)[0])


def test_frames_that_nobody_sees_are_not_inverted():
    env = StemObservation(ActionChunk(FakeFrames(), 3), cache=False)
    env.reset(seed=0)
    env.step(np.zeros(3, int))
    (stats,) = env.stats.values()
    assert stats.frames == 2


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
def test_in_a_vector_env_the_end_is_seen_in_every_autoreset_mode(mode):
    wrap = functools.partial(ActionChunk, k=3)
    venv = gym.vector.SyncVectorEnv([lambda: wrap(FakeFrames())] * 2, autoreset_mode=mode)
    single = wrap(FakeFrames())
    assert venv.action_space.shape == (2, 3)
    venv.reset(seed=[4, 4])
    single.reset(seed=4)
    actions = np.zeros((2, 3), int)
    for _ in range(2):
        venv.step(actions)
        single.step(actions[0])
    observations, rewards, terminations, _, infos = venv.step(actions)  # ends after one action
    observation, reward, terminated, _, info = single.step(actions[0])
    assert terminations.tolist() == [terminated] * 2 == [True] * 2
    np.testing.assert_allclose(rewards, reward)
    assert info["chunk_length"] == 1
    seen = infos["final_obs"][0] if mode == AutoresetMode.SAME_STEP else observations[0]
    np.testing.assert_array_equal(seen, observation)


LIFT = "stemob_wrappers:stemob/Lift-v0"
TWO_CAMERAS: dict[str, Any] = {"cameras": ["agentview", "robot0_eye_in_hand"], "size": 16}


@pytest.fixture
def lift():
    """Make robosuite's Lift; it is closed at the end."""
    pytest.importorskip("robosuite")
    made = []

    def make(**settings):
        made.append(gym.make(LIFT, **{**TWO_CAMERAS, **settings}))
        return made[-1]

    yield make
    for env in made:
        env.close()


@pytest.fixture
def frames_of_cameras(monkeypatch):
    """The frames that robosuite's cameras render from now on, by name."""
    seen = []
    render = CameraRenderer.frame

    def frame(self, model, data, camera):
        seen.append(camera)
        return render(self, model, data, camera)

    monkeypatch.setattr(CameraRenderer, "frame", frame)
    return seen


def test_on_a_robosuite_task_a_chunk_is_its_actions_and_renders_once(lift, frames_of_cameras):
    """Seven actions end the episode: within the third chunk of three."""
    settings = {"horizon": 7, "object_state": True, "reward_shaping": True}
    plain, chunked = lift(**settings), ActionChunk(lift(**settings), 3)
    assert_same(chunked.reset(seed=4)[0], plain.reset(seed=4)[0])
    chunked.action_space.seed(0)
    truncated = False
    for length in (3, 3, 1):
        actions = chunked.action_space.sample()
        expected = one_by_one(plain, actions)
        frames_of_cameras.clear()
        observation, reward, terminated, truncated, info = chunked.step(actions)
        assert frames_of_cameras == TWO_CAMERAS["cameras"]
        assert_same(observation, expected[0])
        assert reward == pytest.approx(expected[1])
        assert (terminated, truncated, info["chunk_length"]) == (*expected[2:4], length)
    assert truncated


def test_below_a_stem_and_a_perturbation_a_robosuite_task_renders_once(lift, frames_of_cameras):
    env = ActionChunk(ScenePerturbation(lift(), {"lighting": 2}), 4)
    env = StemObservation(PixelPerturbation(env, {"gaussian_noise": 2}), cache=False)
    env.reset(seed=0)
    frames_of_cameras.clear()
    observation = env.step(env.action_space.sample())[0]
    assert frames_of_cameras == TWO_CAMERAS["cameras"]
    assert observation["agentview_image"].any()
    assert {stats.frames for stats in env.stats.values()} == {4}  # two cameras, seen twice


def test_gymnasium_has_nothing_to_say_against_it_on_a_robosuite_task(lift):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*different from the unwrapped version")
        warnings.filterwarnings("ignore", ".*maximum value is infinity")
        warnings.filterwarnings("ignore", ".*minimum value is -infinity")
        check_env(ActionChunk(lift(horizon=5), 2), skip_render_check=True)


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
def test_a_vector_of_robosuite_tasks_ends_as_one_does(lift, mode):
    """Two chunks of three are six actions; the horizon of five ends the second after two."""
    venv: Any = gym.make_vec(
        LIFT, 1, "sync", vector_kwargs={"autoreset_mode": mode},
        wrappers=[functools.partial(ActionChunk, k=3)], horizon=5, **TWO_CAMERAS,
    )  # fmt: skip
    single = ActionChunk(lift(horizon=5), 3)
    first = venv.reset(seed=[4])[0]
    assert_same({key: value[0] for key, value in first.items()}, single.reset(seed=4)[0])
    actions = np.random.default_rng(0).uniform(-1, 1, (2, 3, 7)).astype(np.float32)
    observations: Any = None
    observation: Any = None
    infos: Any = None
    info: Any = None
    truncated = False
    for chunk in actions:
        observations, rewards, _, truncations, infos = venv.step(chunk[None])
        observation, reward, _, truncated, info = single.step(chunk)
        np.testing.assert_allclose(rewards, reward)
        assert truncations.tolist() == [truncated]
    assert (truncated, info["chunk_length"]) == (True, 2)
    same_step = mode == AutoresetMode.SAME_STEP
    seen = infos["final_obs"][0] if same_step else {k: v[0] for k, v in observations.items()}
    assert_same(seen, observation)
    venv.close()
