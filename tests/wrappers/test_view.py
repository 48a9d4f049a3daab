"""The view of an observation, against the observation itself and Gymnasium's render collection."""

import fakes
import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from stemob_wrappers import StemObservation
from stemob_wrappers.wrappers.view import ObservationView


def view(layout=fakes.IMAGE, keys=None, **kwargs):
    return ObservationView(gym.make("fakes:fake/Frame-v0", layout=layout, **kwargs), keys)


def test_render_gives_what_reset_and_step_observed():
    env = view()
    first = env.reset(seed=0)[0]
    np.testing.assert_array_equal(env.render(), first)
    second = env.step(0)[0]
    np.testing.assert_array_equal(env.render(), second)


def test_images_stand_side_by_side_in_the_order_of_keys():
    observation = (env := view(fakes.TWO_CAMERAS, keys=["wrist", "front"])).reset(seed=0)[0]
    frame = env.render()
    assert frame.shape == (32, 24 + 32, 3)
    np.testing.assert_array_equal(frame[:16, :24], observation["wrist"])
    np.testing.assert_array_equal(frame[:, 24:], observation["front"])
    assert not frame[16:, :24].any()


def test_channels_floats_and_stacks_become_the_last_frame():
    env = view({"shape": [2, 3, 16, 16], "dtype": "float32"})
    last = env.reset(seed=0)[0][-1].transpose(1, 2, 0)
    np.testing.assert_allclose(env.render() / 255, last, atol=0.51 / 255)


def test_a_recorder_collects_the_stem_frames():
    env = gym.make("fakes:fake/Frame-v0")
    env = gym.wrappers.RenderCollection(ObservationView(StemObservation(env)))
    seen = [env.reset(seed=0)[0], env.step(0)[0], env.step(0)[0]]
    np.testing.assert_array_equal(np.asarray(env.render()), seen)


@pytest.mark.filterwarnings("ignore:.*different from the unwrapped:UserWarning")
def test_gymnasium_accepts_and_rebuilds_it():
    env = view(fakes.TWO_CAMERAS, keys=["front"])
    check_env(env, skip_render_check=True)
    assert env.spec is not None
    rebuilt = gym.make(env.spec)
    np.testing.assert_array_equal(rebuilt.reset(seed=1)[0]["front"], np.asarray(rebuilt.render()))


def test_an_image_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"\['back'\]; its images are \['front', 'wrist'\]"):
        view(fakes.TWO_CAMERAS, keys=["back"])
    with pytest.raises(ValueError, match="float32"):
        view({"shape": [7], "dtype": "float32"})


def test_rendering_before_the_first_reset_is_refused():
    with pytest.raises(RuntimeError, match="reset"):
        ObservationView(fakes.FrameEnv()).render()
