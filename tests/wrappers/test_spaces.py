import copy

import fakes
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from stemob_wrappers.stem.frames import FrameLayout
from stemob_wrappers.wrappers.spaces import (
    all_names,
    below,
    find_images,
    get,
    image_layout,
    name,
    replace,
)


def image(*shape, dtype: type = np.uint8, high=None, low=0) -> spaces.Box:
    return spaces.Box(low, high or (255 if dtype == np.uint8 else 1), shape, dtype)


@pytest.mark.parametrize("floating", [False, True])
@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((84, 84, 3), FrameLayout(84, 84)),
        ((48, 64, 3), FrameLayout(48, 64)),
        ((3, 84, 84), FrameLayout(84, 84, True)),
        ((3, 48, 64), FrameLayout(48, 64, True)),
        ((4, 84, 84, 3), FrameLayout(84, 84, False, "leading", 4)),
        ((3, 84, 84, 3), FrameLayout(84, 84, False, "leading", 3)),
        ((4, 3, 84, 84), FrameLayout(84, 84, True, "leading", 4)),
        ((1, 84, 84, 3), FrameLayout(84, 84, False, "leading", 1)),
        ((84, 84, 12), FrameLayout(84, 84, False, "channels", 4)),
        ((12, 84, 84), FrameLayout(84, 84, True, "channels", 4)),
        ((9, 8, 10), None),  # no telling nine channels from nine rows
        ((9, 12, 12), FrameLayout(12, 12, True, "channels", 3)),
        ((8, 8, 3), FrameLayout(8, 8)),
    ],
)
def test_the_layout_of_an_image_is_read_from_its_shape(shape, layout, floating):
    box = image(*shape, dtype=np.float32 if floating else np.uint8)
    found = image_layout(box)
    if layout is None:
        assert found is None
    else:
        assert found is not None
        assert found.shape == shape
        expected = (layout.channels_first, layout.stack, layout.count)
        assert (found.channels_first, found.stack, found.count) == expected
        assert (found.height, found.width) == (layout.height, layout.width)
        assert found.floating == floating


@pytest.mark.parametrize(
    "space",
    [
        image(84, 84, 1),
        image(84, 84),
        image(84, 84, 4),
        image(4, 84, 84),
        image(7, 7, 3),
        image(2, 2, 84, 84, 3),
        image(84, 84, 3, dtype=np.float32, high=255),
        image(84, 84, 3, dtype=np.float32, low=-1),
        image(84, 84, 3, high=100),
        spaces.Box(-np.inf, np.inf, (84, 84, 3), np.float32),
        spaces.Box(0, 255, (84, 84, 3), np.int64),
        spaces.Box(-1, 1, (7,), np.float32),
        spaces.Discrete(3),
        spaces.Text(5),
    ],
    ids=str,
)
def test_anything_else_is_no_image(space):
    assert image_layout(space) is None
    assert find_images(space) == {}


def test_images_are_found_wherever_they_lie_and_named_as_users_write_them():
    space = spaces.Dict(
        cameras=spaces.Dict(front=image(32, 32, 3), wrist=image(3, 16, 16)),
        pair=spaces.Tuple([image(32, 32, 3), spaces.Box(-1, 1, (7,))]),
        desired_goal=image(32, 32, 3),
        arm=spaces.Box(-1, 1, (7,)),
        front_depth=image(32, 32, 3),
        masks=spaces.Dict(front=image(32, 32, 3)),
        Segmentation=image(32, 32, 3),
    )
    found = find_images(space)
    assert {name(path) for path in found} == {
        "cameras/front",
        "cameras/wrist",
        "pair/0",
        "desired_goal",
    }
    for path, layout in found.items():
        assert get(space, path).shape == layout.shape


def test_a_bare_image_has_the_empty_path():
    assert list(find_images(image(32, 32, 3))) == [()]


def test_every_leaf_is_listed_for_error_messages():
    space = spaces.Dict(
        arm=spaces.Box(-1, 1, (7,)), deep=spaces.Tuple([spaces.Discrete(2), spaces.Dict()])
    )
    listed = all_names(space)
    assert listed == ["arm: float32 (7,)", "deep/0: int64 ()"]
    assert all_names(spaces.Box(-1, 1, (7,))) == ["float32 (7,)"]


LAYOUTS = st.recursive(
    st.just({"shape": [2], "dtype": "float32"}),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=6,
)


def paths_of(observation):
    if isinstance(observation, dict):
        return [(key, *path) for key, child in observation.items() for path in paths_of(child)]
    if isinstance(observation, tuple):
        return [(key, *path) for key, child in enumerate(observation) for path in paths_of(child)]
    return [()]


@settings(max_examples=50, deadline=None)
@given(LAYOUTS, st.data())
def test_replace_exchanges_just_the_named_parts_and_mutates_nothing(layout, data):
    observation = fakes.draw(fakes.space_of(layout), np.random.default_rng(0))
    before = copy.deepcopy(observation)
    paths = paths_of(observation)
    chosen = data.draw(st.sets(st.sampled_from(paths))) if paths else set()
    result = replace(observation, {path: ("new", path) for path in chosen})
    for path in paths:
        if path in chosen:
            assert get(result, path) == ("new", path)
        else:
            assert get(result, path) is get(observation, path)
    assert repr(observation) == repr(before)


def test_replace_adds_new_keys_after_the_old_ones_in_the_order_given():
    result = replace({"b": 1, "a": {"x": 2}}, {("d",): 3, ("c",): 4, ("a", "y"): 5})
    assert result == {"b": 1, "a": {"x": 2, "y": 5}, "d": 3, "c": 4}
    assert list(result) == ["b", "a", "d", "c"]


def test_below_takes_the_parts_under_a_key():
    assert below({("a", 0): 1, ("b",): 2, ("a",): 3}, "a") == {(0,): 1, (): 3}


@pytest.mark.parametrize(
    ("key", "is_image"),
    [
        ("flower_cam", True),
        ("maskedwrist", True),
        ("unmask_cam", True),
        ("depth", False),
        ("front_depth", False),
        ("robot0-Mask-left", False),
        ("normals", False),
        ("frontDepth", False),
        ("optical flow", False),
        ("depth0", False),
    ],
)
def test_a_name_speaks_by_whole_words(key, is_image):
    space = spaces.Dict({key: image(32, 32, 3)})
    assert bool(find_images(space)) == is_image
    assert bool(find_images(spaces.Dict({"a": space}))) == is_image
    assert list(find_images(space, any_name=True)) == [(key,)]
