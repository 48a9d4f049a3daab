"""Frames are shrunk as OpenCV's INTER_AREA does it, before everything else, and given back."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from stemob_wrappers import StemConfig, StemObservation, StemPipeline, vector
from stemob_wrappers.stem.resize import average_areas, average_areas_on_device, make_small

SMALL = StemConfig(resize=(24, 32), output="small")
RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 256, (2, 60, 80, 3), np.uint8)


@pytest.mark.parametrize(
    ("shape", "size"),
    [((480, 640), (96, 128)), ((97, 131), (64, 65)), ((300, 17), (1, 17)), ((50, 40), (49, 3))],
)
def test_it_is_open_cvs_area_averaging(shape, size):
    cv2 = pytest.importorskip("cv2")
    frame = RNG.integers(0, 256, (*shape, 3), np.uint8)
    expected = cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(average_areas(frame, size) - expected).max() <= 1
    on_device = average_areas_on_device(torch.from_numpy(frame[None]), size)[0].numpy()
    assert np.abs(on_device - expected).max() <= 1


def test_a_long_white_area_stays_white():
    assert (average_areas(np.full((600, 8, 3), 255, np.uint8), (1, 8)) == 255).all()


def test_the_aspect_is_kept_or_cropped_or_not():
    sizes: dict[Any, tuple[int, int]] = {"keep": (18, 24), "crop": (24, 24), "stretch": (24, 24)}
    for aspect, size in sizes.items():
        config = StemConfig(resize=(24, 24), aspect=aspect, output="small")
        assert make_small(config, FRAMES).shape == (2, *size, 3)
        assert StemPipeline(config).given_size(60, 80) == size
    cropped = make_small(StemConfig(resize=(24, 24), aspect="crop", output="small"), FRAMES)
    np.testing.assert_array_equal(cropped[0], average_areas(FRAMES[0][:, 10:70], (24, 24)))
    assert make_small(StemConfig(resize=(99, 99)), FRAMES) is FRAMES  # nothing is enlarged
    with pytest.raises(ValueError, match="makes frames smaller"):
        make_small(StemConfig(resize=(99, 9), aspect="stretch"), FRAMES)


@pytest.mark.parametrize("engine", ["onnxruntime", "torch"])
def test_the_small_frame_is_inverted_and_given_back(engine):
    small = StemPipeline(SMALL, engine=engine)(FRAMES)
    plain = StemPipeline(StemConfig(), engine=engine)(make_small(SMALL, FRAMES))
    np.testing.assert_array_equal(small, plain)
    whole = StemPipeline(StemConfig(resize=(24, 32)), engine=engine)(FRAMES)
    assert whole.shape == FRAMES.shape
    np.testing.assert_array_equal(whole[:, 1::5, 1::5][:, :12, :16], small[:, ::2, ::2])
    tensors = StemPipeline(StemConfig(resize=(24, 32)), engine=engine)(torch.from_numpy(FRAMES))
    np.testing.assert_array_equal(tensors.numpy(), whole)


def test_it_is_part_of_the_identity_and_of_the_json():
    fingerprints = {
        StemPipeline(config, cache=False).fingerprint
        for config in (StemConfig(), SMALL, SMALL.replace(output="frame"))
    }
    assert len(fingerprints) == 3
    assert StemConfig.from_json(SMALL.to_json()) == SMALL
    assert "resize" not in StemConfig().to_dict()
    assert StemPipeline(cache=False).fingerprint == "3a137e2602fa5e35c15bde3a7d80da53"


def test_spaces_follow():
    layout = {"front": {"shape": [3, 60, 80]}, "arm": {"shape": [2], "dtype": "float32"}}
    env: Any = StemObservation(gym.make("fakes:fake/Frame-v0", layout=layout), SMALL, keep_raw=True)
    observation, _ = env.reset(seed=0)
    assert env.observation_space["front"] == spaces.Box(0, 255, (3, 24, 32), np.uint8)
    assert env.observation_space["front_raw"].shape == (3, 60, 80)
    assert env.observation_space.contains(observation)
    assert gym.make(env.spec).observation_space == env.observation_space
    make = lambda: gym.make("fakes:fake/Frame-v0", layout=layout)  # noqa: E731
    venv = vector.StemObservation(gym.vector.SyncVectorEnv([make] * 2), SMALL)
    observations, _ = venv.reset(seed=0)
    assert venv.observation_space.contains(observations)
    np.testing.assert_array_equal(observations["front"][0], observation["front"])


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"resize": (24,)}, "must be .height, width."),
        ({"resize": (4, 24)}, "must lie in 8 to 4096"),
        ({"resize": (24, 24), "resolution": 64}, "leave one None"),
        ({"resize": (24, 24), "aspect": "crop"}, "take output='small'"),
        ({"aspect": "crop"}, "give resize="),
        ({"resize": (24, 24), "aspect": "squash"}, "unknown aspect 'squash'"),
    ],
)
def test_what_cannot_be_is_said(fields, says):
    with pytest.raises((ValueError, TypeError), match=says):
        StemConfig(**fields)
