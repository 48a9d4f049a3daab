import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stemob_wrappers.stem.frames import FrameLayout, check_frames, round_up, to_float, to_uint8

LAYOUTS = st.builds(
    FrameLayout,
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    channels_first=st.booleans(),
    stack=st.sampled_from(["leading", "channels"]),
    count=st.integers(1, 3),
    floating=st.booleans(),
) | st.builds(FrameLayout, height=st.just(5), width=st.just(4), channels_first=st.booleans())


def image_of(layout, batch=(), dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (*batch, *layout.shape), np.uint8)
    return to_float(pixels, dtype) if layout.floating else pixels


@settings(max_examples=60, deadline=None)
@given(LAYOUTS, st.sampled_from([(), (1,), (3,), (2, 2)]), st.booleans())
def test_frames_laid_out_again_are_the_image(layout, batch, use_torch):
    image = image_of(layout, batch)
    image = torch.from_numpy(image) if use_torch else image
    frames = layout.to_frames(image)
    assert tuple(frames.shape) == (
        int(np.prod(batch)) * layout.count,
        layout.height,
        layout.width,
        3,
    )
    check_frames(frames)
    again = layout.from_frames(frames, image)
    assert type(again) is type(image)
    assert again.dtype == image.dtype
    np.testing.assert_array_equal(np.asarray(again), np.asarray(image))


@pytest.mark.parametrize(
    ("layout", "pick"),
    [
        (FrameLayout(4, 5), lambda image, k: image),
        (FrameLayout(4, 5, channels_first=True), lambda image, k: image.transpose(1, 2, 0)),
        (FrameLayout(4, 5, False, "leading", 3), lambda image, k: image[k]),
        (FrameLayout(4, 5, True, "leading", 3), lambda image, k: image[k].transpose(1, 2, 0)),
        (FrameLayout(4, 5, False, "channels", 3), lambda image, k: image[..., 3 * k : 3 * k + 3]),
        (
            FrameLayout(4, 5, True, "channels", 3),
            lambda image, k: image[3 * k : 3 * k + 3].transpose(1, 2, 0),
        ),
    ],
    ids=["last", "first", "leading-last", "leading-first", "channels-last", "channels-first"],
)
def test_each_frame_is_upright_rgb(layout, pick):
    images = image_of(layout, batch=(2,))
    frames = layout.to_frames(images)
    for row, image in enumerate(images):
        for k in range(layout.count):
            np.testing.assert_array_equal(frames[row * layout.count + k], pick(image, k))


@pytest.mark.parametrize("layout", [FrameLayout(4, 5), FrameLayout(4, 5, True, "channels", 2)])
def test_an_image_laid_out_from_frames_shares_no_memory_with_its_model(layout):
    image = image_of(layout)
    assert not np.shares_memory(layout.from_frames(layout.to_frames(image).copy(), image), image)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_level_survives_the_way_to_floats_and_back(dtype):
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_uint8(to_float(levels, dtype)), levels)
    tensor = torch.from_numpy(levels)
    kind = torch.from_numpy(np.zeros(1, dtype)).dtype
    assert to_float(tensor, kind).dtype == kind
    np.testing.assert_array_equal(to_uint8(to_float(tensor, kind)).numpy(), levels)
    np.testing.assert_array_equal(to_float(tensor, kind).numpy(), to_float(levels, dtype))


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 1, width=32))
def test_a_float_goes_to_the_nearest_level(value):
    level = int(to_uint8(np.array([value], np.float32))[0])
    assert abs(level - value * 255) <= 0.5 + 1e-4


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1.5, r"must lie in \[0, 1\], received values from 0 to 1.5"),
        (-0.1, r"must lie in \[0, 1\], received values from -0.1 to 0"),
        (255.0, "divide by 255"),
        (np.inf, r"must lie in \[0, 1\]"),
        (np.nan, "received NaN"),
    ],
)
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_floats_out_of_range_are_refused(value, message, kind):
    array = np.zeros((4, 5, 3), np.float32)
    array[1, 2, 0] = value
    with pytest.raises(ValueError, match=message):
        to_uint8(kind(array))


def test_floats_are_asked_for_where_integers_came():
    with pytest.raises(TypeError, match=r"expected floats in \[0, 1\], received int64"):
        to_uint8(np.zeros(3, np.int64))


def test_an_empty_float_image_is_refused():
    with pytest.raises(ValueError, match=r"must not be empty, received shape \(0, 4, 3\)"):
        to_uint8(np.zeros((0, 4, 3), np.float32))


@pytest.mark.parametrize(
    ("frames", "error", "message"),
    [
        ([[1, 2]], TypeError, "numpy array or torch tensor, received list"),
        (np.zeros((2, 8, 8, 3), np.float32), TypeError, "must be uint8, received float32; convert"),
        (np.zeros((2, 8, 8, 3), np.int64), TypeError, "must be uint8, received int64"),
        (torch.zeros(2, 8, 8, 3), TypeError, "must be uint8, received torch.float32"),
        (np.zeros((2, 8, 8, 4), np.uint8), ValueError, r"\(RGB\), received \(2, 8, 8, 4\)"),
        (np.zeros((2, 3, 8, 8), np.uint8), ValueError, r"\[N, H, W, 3\]"),
        (np.zeros((8, 8, 3), np.uint8), ValueError, "add a leading axis for a single frame"),
        (np.zeros((2, 0, 8, 3), np.uint8), ValueError, r"empty dimension.*\(2, 0, 8, 3\)"),
        (np.zeros((0, 8, 8, 3), np.uint8), ValueError, "empty dimension"),
    ],
)
def test_frames_of_another_kind_are_refused(frames, error, message):
    with pytest.raises(error, match=message):
        check_frames(frames)


def test_an_image_of_another_shape_or_dtype_is_refused():
    layout = FrameLayout(4, 5)
    with pytest.raises(ValueError, match=r"shape \[..., 4, 5, 3\], received \(5, 4, 3\)"):
        layout.to_frames(np.zeros((5, 4, 3), np.uint8))
    with pytest.raises(TypeError, match="must be uint8, received float32"):
        layout.to_frames(np.zeros((4, 5, 3), np.float32))
    with pytest.raises(TypeError, match=r"floats in \[0, 1\], received uint8"):
        FrameLayout(4, 5, floating=True).to_frames(np.zeros((4, 5, 3), np.uint8))


@given(st.integers(1, 500), st.integers(1, 64))
def test_round_up_gives_the_next_multiple(value, multiple):
    result = round_up(value, multiple)
    assert result % multiple == 0
    assert value <= result < value + multiple
