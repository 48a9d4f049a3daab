"""Envs observed through their rendered frame: real MuJoCo envs, and one that renders anything."""

import gc
import subprocess
import sys
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

import stemob_wrappers
from stemob_wrappers.scene.gl import ensure_gl
from stemob_wrappers.wrappers.rendering import (
    RenderObservation,
    make_frames,
    make_images,
    make_rendered,
)

ensure_gl()


class Painter(gym.Env):
    """Renders whatever it is given; refuses to be reset while `locked`."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    observation_space = spaces.Box(-1, 1, (3,), np.float64)
    action_space = spaces.Discrete(2)

    def __init__(self, frame: Any = None, render_mode: str | None = "rgb_array"):
        self.frame = np.zeros((4, 4, 3), np.uint8) if frame is None else frame
        self.render_mode = render_mode
        self.locked = False

    def reset(self, *, seed=None, options=None):
        assert not self.locked
        super().reset(seed=seed)
        return np.zeros(3), {}

    def step(self, action):
        return np.full(3, 0.5), 0.0, False, False, {}

    def render(self):
        return self.frame


class ImageEnv(Painter):
    observation_space = spaces.Dict({"camera": spaces.Box(0, 255, (16, 16, 3), np.uint8)})


class OwnCameras(ImageEnv):
    def __init__(self, cameras: Any = (), render_mode: str | None = "rgb_array"):
        super().__init__(render_mode=render_mode)
        self.given = cameras


gym.register("test/Own-v0", entry_point=f"{__name__}:OwnCameras")
gym.register("test/Painter-v0", entry_point=f"{__name__}:Painter")
gym.register("test/Image-v0", entry_point=f"{__name__}:ImageEnv")


@pytest.fixture(scope="module")
def hopper():
    env = make_rendered("Hopper-v5", size=84, camera="track")
    yield env
    env.close()


def test_the_space_is_known_without_a_reset():
    painter = Painter()
    painter.locked = True
    env = RenderObservation(painter, 64, keep_state=True)
    assert env.observation_space == spaces.Dict(
        pixels=spaces.Box(0, 255, (64, 64, 3), np.uint8), state=Painter.observation_space
    )


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), size=st.integers(1, 40))
def test_any_frame_becomes_a_square_of_the_size_asked_for(height, width, size):
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    env = RenderObservation(Painter(frame), size)
    observation, _ = env.reset()
    assert env.observation_space.contains(observation)
    if (height, width) == (size, size):
        assert np.array_equal(observation, frame)
    else:
        assert np.array_equal(observation, cv2.resize(frame, (size, size), interpolation=3))


def test_shrinking_averages_areas():
    frame = np.zeros((4, 4, 3), np.uint8)
    frame[:2, :2] = [[[0, 0, 0], [100, 100, 100]], [[100, 100, 100], [200, 200, 200]]]
    observation, _ = RenderObservation(Painter(frame), 2).reset()
    assert np.array_equal(observation[..., 0], [[100, 0], [0, 0]])


@pytest.mark.parametrize("size", [4, 8])
def test_an_observation_survives_the_env_painting_over_its_frame(size):
    painter = Painter()
    env = RenderObservation(painter, size)
    observation, _ = env.reset()
    painter.frame[:] = 255
    assert not observation.any()
    assert env.step(0)[0].min() == 255


def test_the_state_can_be_kept_beside_the_pixels():
    env = RenderObservation(Painter(), 8, keep_state=True)
    env.reset()
    observation = env.step(1)[0]
    assert env.observation_space.contains(observation)
    assert np.array_equal(observation["state"], np.full(3, 0.5))


class GoalEnv(Painter):
    """What it observes is a Dict, as of a goal env."""

    parts = ("observation", "achieved_goal", "desired_goal")
    observation_space = spaces.Dict({name: spaces.Box(-1, 1, (3,), np.float64) for name in parts})

    def reset(self, *, seed=None, options=None) -> Any:
        super().reset(seed=seed)
        return {name: np.full(3, 0.1 * n) for n, name in enumerate(self.parts)}, {}


def test_the_entries_of_a_dict_are_kept_under_their_own_names():
    env = RenderObservation(GoalEnv(), 8, keep_state=True)
    observation, _ = env.reset()
    assert env.observation_space.contains(observation)
    assert set(observation) == {"pixels", "observation", "achieved_goal", "desired_goal"}
    assert np.array_equal(observation["desired_goal"], np.full(3, 0.2))


def test_a_frame_takes_no_other_entrys_name():
    class Named(GoalEnv):
        observation_space = spaces.Dict(pixels=Painter.observation_space)

    with pytest.raises(ValueError, match="keeps the env's own pixels"):
        RenderObservation(Named(), 8, keep_state=True)


@pytest.mark.parametrize(
    ("frame", "received"),
    [
        (np.zeros((4, 4, 3), np.float32), r"float32 \[4, 4, 3\]"),
        (np.zeros((4, 4), np.uint8), r"uint8 \[4, 4\]"),
        (np.zeros((4, 4, 4), np.uint8), r"uint8 \[4, 4, 4\]"),
        ([1, 2], "list"),
    ],
)
def test_what_is_no_picture_is_refused(frame, received):
    with pytest.raises(TypeError, match=received):
        RenderObservation(Painter(frame), 8).reset()


def test_an_env_that_renders_no_arrays_is_refused():
    with pytest.raises(ValueError, match='render_mode="rgb_array"'):
        RenderObservation(Painter(render_mode=None), 8)


@pytest.mark.parametrize("size", [0, -3, 8.0, (8, 8)])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(ValueError, match="size"):
        RenderObservation(Painter(), size)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_gymnasiums_checker_passes(hopper):
    check_env(hopper, skip_render_check=True)


def test_a_mujoco_env_renders_at_the_size_itself(hopper):
    observation, _ = hopper.reset(seed=0)
    assert hopper.unwrapped.render().shape == (84, 84, 3)
    assert np.array_equal(observation, hopper.render())
    assert observation.std() > 10


def test_the_spec_rebuilds_the_env_with_the_same_frames(hopper):
    again = gym.make(hopper.spec)
    action = np.full(3, 0.3, np.float32)
    for env in (hopper, again):
        env.action_space.seed(0)
    first, second = hopper.reset(seed=3)[0], again.reset(seed=3)[0]
    assert np.array_equal(first, second)
    assert np.array_equal(hopper.step(action)[0], again.step(action)[0])
    again.close()


def test_cameras_show_different_pictures(hopper):
    with make_rendered("Hopper-v5", size=84, camera=-1) as free:
        assert not np.array_equal(free.reset(seed=0)[0], hopper.reset(seed=0)[0])


def test_several_cameras_are_rendered_side_by_side():
    env: Any = make_rendered("HalfCheetah-v5", size=32, cameras=("track", -1), keep_state=True)
    seen, _ = env.reset(seed=0)
    assert set(seen) == {"track_image", "-1_image", "state"}
    assert env.observation_space.contains(seen)
    for camera in ("track", -1):
        with make_rendered("HalfCheetah-v5", size=32, camera=camera) as alone:
            assert np.array_equal(alone.reset(seed=0)[0], seen[f"{camera}_image"])
    assert not np.array_equal(seen["track_image"], seen["-1_image"])
    assert np.array_equal(env.render(), seen["track_image"])  # the first is the env's own
    again = gym.make(env.spec)
    assert np.array_equal(again.reset(seed=0)[0]["-1_image"], seen["-1_image"])
    for each in (env, again):
        each.close()


@pytest.mark.parametrize(
    ("env_id", "settings", "says"),
    [
        ("HalfCheetah-v5", {"cameras": ()}, "each once"),
        ("HalfCheetah-v5", {"cameras": ("track", "track")}, "each once"),
        ("HalfCheetah-v5", {"cameras": ("track", "top")}, r"'track'.*'top'"),
        ("HalfCheetah-v5", {"cameras": "track", "camera": "track"}, "received both"),
        ("stemob/Lift-v0", {"cameras": "frontview", "camera": "agentview"}, "received both"),
        ("test/Painter-v0", {"cameras": ("track", "top")}, "choose a camera"),
    ],
)
def test_cameras_that_cannot_be_had(env_id, settings, says):
    with pytest.raises(ValueError, match=says):
        stemob_wrappers.make(env_id, size=32, **settings)


def test_an_env_that_chooses_its_own_size_is_resized():
    env = make_rendered("test/Painter-v0", size=32)
    assert env.reset()[0].shape == (32, 32, 3)


@pytest.mark.parametrize("camera", ["agentview", 7])
def test_a_camera_that_is_not_there_is_named(camera):
    with pytest.raises(ValueError, match=rf"'track'.*{camera!r}"):
        make_rendered("Hopper-v5", size=32, camera=camera)


@pytest.mark.parametrize("camera", ["top", 0])
def test_an_env_without_cameras_says_so(camera):
    with pytest.raises(ValueError, match="choose a camera"):
        make_rendered("test/Painter-v0", size=32, camera=camera)


def test_an_env_of_images_is_for_stem_observation():
    with pytest.raises(ValueError, match="StemObservation"):
        make_rendered("test/Image-v0", size=32)


def test_a_module_before_the_id_is_imported():
    env = make_rendered("gymnasium.envs.mujoco:InvertedPendulum-v5", size=32)
    assert env.observation_space.shape == (32, 32, 3)
    env.close()


@pytest.mark.parametrize(
    ("env_id", "camera"),
    [
        ("HalfCheetah-v5", "track"),
        ("gymnasium.envs.mujoco:InvertedPendulum-v5", None),
        ("test/Painter-v0", None),  # its constructor knows no width
        ("test/Image-v0", None),
        ("stemob_wrappers:stemob/Lift-v0", "frontview"),
    ],
)
def test_every_env_renders_frames_of_the_size_asked_for(env_id, camera):
    if "Lift" in env_id:
        pytest.importorskip("robosuite")
    env: Any = make_frames(env_id, 40, camera, disable_env_checker=True)
    env.reset(seed=0)
    frame = env.render()
    assert (frame.shape, frame.dtype) == ((40, 40, 3), np.uint8)
    env.close()
    again: Any = gym.make(env.spec)
    again.reset(seed=0)
    assert np.array_equal(again.render(), frame)
    again.close()


def test_frames_come_from_the_camera_asked_for():
    shown = []
    for camera in ("track", "track", -1):
        with make_frames("HalfCheetah-v5", 32, camera) as env:
            env.reset(seed=0)
            shown.append(env.render())
    assert np.array_equal(shown[0], shown[1])
    assert not np.array_equal(shown[0], shown[2])
    with pytest.raises(ValueError, match="'track'"):
        make_frames("HalfCheetah-v5", 32, "nowhere")
    with pytest.raises(ValueError, match="choose a camera"):
        make_frames("test/Painter-v0", 32, "track")


def test_an_env_of_images_is_taken_as_it_is_and_another_is_rendered():
    assert make_images("test/Image-v0").observation_space == ImageEnv.observation_space
    assert make_images("test/Painter-v0", 40).observation_space.shape == (40, 40, 3)
    assert make_images("test/Painter-v0").observation_space.shape == (84, 84, 3)
    with pytest.raises(ValueError, match="gives images already"):
        make_images("test/Image-v0", 40)


def test_an_env_that_takes_cameras_itself_is_told_them():
    env: Any = make_images("test/Own-v0", cameras=["wrist"], disable_env_checker=True)
    assert env.unwrapped.given == ["wrist"]


def test_a_goal_env_keeps_its_goals_beside_the_stem_frame():
    robotics = pytest.importorskip("gymnasium_robotics")
    gym.register_envs(robotics)
    env: Any = stemob_wrappers.make("FetchReach-v4", size=32, keep_state=True)
    env.reset(seed=0)
    observation, reward, *_, info = env.step(env.action_space.sample())
    assert env.observation_space.contains(observation)
    goals = observation["achieved_goal"], observation["desired_goal"]
    assert env.unwrapped.compute_reward(*goals, info) == reward
    assert observation["pixels"].std() > 5
    assert list(env.pipelines) == ["pixels"]
    env.close()


def test_a_robosuite_task_is_made_with_its_cameras_and_the_robots_state():
    pytest.importorskip("robosuite")
    cameras = ("agentview", "robot0_eye_in_hand")
    env = stemob_wrappers.make("stemob/Lift-v0", size=32, cameras=cameras, keep_state=True)
    observation, _ = env.reset(seed=0)
    plain = gym.make("stemob/Lift-v0", size=32, cameras=cameras)
    wrapped = stemob_wrappers.StemObservation(plain)
    assert env.observation_space == wrapped.observation_space
    expected, _ = wrapped.reset(seed=0)
    assert set(observation) == {"agentview_image", "robot0_eye_in_hand_image", "proprio"}
    for key, value in expected.items():
        assert np.array_equal(observation[key], value)
    for each in (env, wrapped):
        each.close()


@pytest.fixture
def cheetah():
    env = stemob_wrappers.make("HalfCheetah-v5", size=84)
    yield env
    env.close()


def test_the_spec_rebuilds_the_same_stem_frames(cheetah):
    again = gym.make(cheetah.spec)
    first, second = cheetah.reset(seed=2)[0], again.reset(seed=2)[0]
    assert first.std() > 10
    assert np.array_equal(first, second)
    again.close()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_gymnasiums_checker_passes_in_every_render_mode_of_an_env_of_stem_frames(cheetah):
    check_env(cheetah, skip_render_check=False)


def test_closing_another_env_leaves_the_frames_alone():
    # In a process of its own: where this fails, every env that renders after it does too.
    code = """
import numpy as np
from stemob_wrappers.wrappers.rendering import make_rendered
env, other = (make_rendered("HalfCheetah-v5", size=32) for _ in range(2))
before = env.reset(seed=0)[0]
other.reset(seed=0)
other.close()
assert np.array_equal(before, env.reset(seed=0)[0])
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_env_that_is_closed_leaves_the_frames_of_others():
    stays, goes = (make_rendered("HalfCheetah-v5", size=32) for _ in range(2))
    goes.reset(seed=1)
    before = stays.reset(seed=0)[0]
    assert before.any()
    goes.close()
    stays.render()  # in its own context, in which what is left of the other must not be freed
    del goes
    gc.collect()
    assert np.array_equal(stays.reset(seed=0)[0], before)
    stays.close()
    stays.close()
