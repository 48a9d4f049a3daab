"""What is drawn of two looks, and how far they are apart."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stemob_wrappers.explore.looks import GAIN, corrupt, difference, latent_distance, pixel_distance
from stemob_wrappers.perturb import PixelPerturbation
from stemob_wrappers.perturb.corruptions import CORRUPTIONS
from stemob_wrappers.splits import SEEDS

FRAMES = arrays(np.uint8, (5, 4, 3))
FRAME = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)


@given(FRAMES, FRAMES)
def test_a_difference_is_symmetric_bright_where_frames_differ_and_black_elsewhere(one, other):
    drawn = difference(one, other)
    np.testing.assert_array_equal(drawn, difference(other, one))
    np.testing.assert_array_equal(drawn == 0, one == other)
    assert drawn.mean() <= GAIN * pixel_distance(one, other)


@given(FRAMES, FRAMES, FRAMES)
def test_the_distance_of_pixels_is_a_metric(a, b, c):
    assert pixel_distance(a, a) == 0
    assert pixel_distance(a, c) <= pixel_distance(a, b) + pixel_distance(b, c) + 1e-9


@given(st.floats(-9, 9))
def test_latents_that_are_shifted_are_as_far_apart_as_the_shift(shift):
    latent = np.arange(8.0).reshape(2, 2, 2)
    assert latent_distance([latent, latent + shift]) == pytest.approx(abs(shift))


class OneFrame(gym.Env):
    """An env of one picture."""

    observation_space = gym.spaces.Box(0, 255, FRAME.shape, np.uint8)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return FRAME, {}


@pytest.mark.parametrize("factor", CORRUPTIONS)
def test_a_corrupted_frame_is_one_that_the_wrapper_could_give(factor):
    env = PixelPerturbation(OneFrame(), factor, severity=4)
    _, info = env.reset(seed=0)
    draw = info["perturbation"]["episode"] - SEEDS["test"].start
    before = FRAME.copy()
    changed = corrupt(FRAME, factor, 4, draw)
    np.testing.assert_array_equal(FRAME, before)
    assert pixel_distance(changed, FRAME) > 0
    np.testing.assert_array_equal(changed, corrupt(FRAME, factor, 4, draw))
    if factor not in ("gaussian_noise", "shot_noise"):  # new at every frame
        np.testing.assert_array_equal(changed, env.reset(seed=0)[0])
