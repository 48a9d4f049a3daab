"""Images in Gymnasium spaces: which keys they are, how to take them out and to put them back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from stemob_wrappers.stem.frames import FrameLayout, find_layout, named_as_no_colour

Path = tuple[str | int, ...]


def find_images(space: spaces.Space, any_name: bool = False) -> dict[Path, FrameLayout]:
    """Return the layout of every RGB image in a space by its path; a bare Box has the path ().

    An image is a Box of uint8 in [0, 255] or of floats in [0, 1], of shape [H, W, 3], [3, H, W],
    [K, H, W, 3], [K, 3, H, W] (K stacked frames), [H, W, 3 K] or [3 K, H, W] (stacked channels).
    Keys are left out in whose name a word says depth, segmentation, mask, normal or flow, unless
    ``any_name``.

    Example:
        >>> box = spaces.Box(0, 255, (84, 84, 3), np.uint8)
        >>> list(find_images(spaces.Dict(front=box, arm=spaces.Box(-1, 1, (7,)))))
        [('front',)]
    """
    if isinstance(space, spaces.Dict):
        children: Any = space.spaces.items()
    elif isinstance(space, spaces.Tuple):
        children = enumerate(space.spaces)
    else:
        layout = image_layout(space)
        return {} if layout is None else {(): layout}
    return {
        (key, *path): layout
        for key, child in children
        if any_name or not named_as_no_colour(str(key))
        for path, layout in find_images(child, any_name).items()
    }


def image_layout(space: spaces.Space) -> FrameLayout | None:
    """Return how RGB frames lie in a Box, or None where it is no RGB image.

    Example:
        >>> image_layout(spaces.Box(0, 255, (12, 84, 84), np.uint8)).count
        4
    """
    if not isinstance(space, spaces.Box):
        return None
    layout = find_layout(space.shape, space.dtype)
    if layout is None or not np.all(space.low == 0):
        return None
    return layout if np.all(space.high == (1.0 if layout.floating else 255)) else None


def get(observation: Any, path: Path) -> Any:
    """Return the part of an observation at a path."""
    for key in path:
        observation = observation[key]
    return observation


def replace(observation: Any, parts: Mapping[Path, Any]) -> Any:
    """Return an observation with parts exchanged or, in a dict, added; nothing is mutated.

    Example:
        >>> replace({"a": 1, "b": (2, 3)}, {("b", 0): 9, ("c",): 4})
        {'a': 1, 'b': (9, 3), 'c': 4}
    """
    if () in parts:
        return parts[()]
    if not parts:
        return observation
    keys = dict.fromkeys(path[0] for path in parts)  # once each, in the order given
    if isinstance(observation, tuple):
        return tuple(
            replace(child, below(parts, key)) if key in keys else child
            for key, child in enumerate(observation)
        )
    result = dict(observation)
    for key in keys:
        inner = below(parts, key)
        result[key] = inner[()] if () in inner else replace(observation[key], inner)
    return result


def name(path: Path) -> str:
    """Return a path as users write it, ``"images/front"``.

    Example:
        >>> name(("images", 0))
        'images/0'
    """
    return "/".join(map(str, path))


def all_names(space: spaces.Space) -> list[str]:
    """Return every leaf of a space with its shape, for error messages.

    Example:
        >>> all_names(spaces.Dict(arm=spaces.Box(-1, 1, (7,))))
        ['arm: float32 (7,)']
    """
    if isinstance(space, spaces.Dict):
        children: Any = space.spaces.items()
    elif isinstance(space, spaces.Tuple):
        children = enumerate(space.spaces)
    else:
        return [f"{space.dtype} {space.shape}"]
    result = []
    for key, child in children:
        leaf = not isinstance(child, spaces.Dict | spaces.Tuple)
        result += [f"{key}{': ' if leaf else '/'}{text}" for text in all_names(child)]
    return result


def below(parts: Mapping[Path, Any], key: str | int) -> dict[Path, Any]:
    """Return the parts whose path starts with a key, by the rest of their paths."""
    return {path[1:]: part for path, part in parts.items() if path[0] == key}
