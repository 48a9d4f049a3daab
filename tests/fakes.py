"""A fast env of seeded random observations in any layout of spaces; ``import fakes`` in any test.

``gym.make("fakes:fake/Frame-v0", layout=...)`` works in this process and in spawned workers.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

# A layout says which space an observation has, in plain JSON: {"shape": [84, 84, 3]} is a Box of
# uint8 (fields "dtype", "low" and "high" say otherwise), any other dict a Dict of layouts by key,
# a list a Tuple of layouts.
Layout = dict[str, Any] | list[Any]

IMAGE: Layout = {"shape": [32, 32, 3]}
TWO_CAMERAS: Layout = {
    "front": {"shape": [32, 32, 3]},
    "wrist": {"shape": [16, 24, 3]},
    "arm": {"shape": [7], "dtype": "float32", "low": -1.0, "high": 1.0},
}


class FrameEnv(gym.Env[Any, Any]):
    """Observations drawn from the reset's seed: random pixels, random vectors, new at every step.

    Args:
        layout: the observation's layout, see :data:`Layout`.
        episode_length: the step of this number terminates the episode.
        render_mode: ``"rgb_array"`` renders a random frame, None nothing.
        fault: what the second step does: ``"raise"`` a RuntimeError, ``"exit"`` the process, None.

    Attributes:
        given: the very observation, not a copy, that reset or step last returned.
        given_info: the very info.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (as Gymnasium has it)

    def __init__(
        self,
        layout: Layout = IMAGE,
        episode_length: int = 4,
        render_mode: str | None = None,
        fault: str | None = None,
    ) -> None:
        self.observation_space = space_of(layout)
        self.action_space = spaces.Discrete(2)
        self.render_mode = render_mode
        self.episode_length = episode_length
        self.fault = fault
        self.given: Any = None
        self.given_info: dict[str, Any] = {}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        self._step = 0
        return self._observe()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._step += 1
        if self.fault == "raise" and self._step == 2:
            raise RuntimeError("a fault of the env")
        if self.fault == "exit" and self._step == 2:
            os._exit(3)
        observation, info = self._observe()
        return observation, float(action), self._step >= self.episode_length, False, info

    def render(self) -> Any:
        if self.render_mode is None:
            return None
        return np.random.default_rng(self._step).integers(0, 256, (32, 32, 3), np.uint8)

    def has_imported(self, module: str) -> bool:
        """Whether the process that this env runs in has imported a module."""
        return module in sys.modules

    def _observe(self) -> tuple[Any, dict[str, Any]]:
        self.given = draw(self.observation_space, self.np_random)
        self.given_info = {"step": self._step}
        return self.given, self.given_info


def space_of(layout: Layout) -> spaces.Space[Any]:
    """Build the space that a layout describes."""
    if isinstance(layout, list):
        return spaces.Tuple([space_of(child) for child in layout])
    if not isinstance(layout.get("shape"), list | tuple):
        return spaces.Dict({key: space_of(child) for key, child in layout.items()})
    dtype = np.dtype(layout.get("dtype", "uint8"))
    low = layout.get("low", 0)
    high = layout.get("high", 255 if dtype == np.uint8 else 1)
    return spaces.Box(low, high, tuple(layout["shape"]), dtype.type)


def draw(space: spaces.Space[Any], rng: np.random.Generator) -> Any:
    """Draw a uniform sample of a space of Boxes, Dicts and Tuples."""
    if isinstance(space, spaces.Dict):
        return {key: draw(child, rng) for key, child in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(draw(child, rng) for child in space.spaces)
    assert isinstance(space, spaces.Box)
    if np.issubdtype(space.dtype, np.integer):
        return rng.integers(space.low, space.high, dtype=space.dtype.type, endpoint=True)
    return rng.uniform(space.low, space.high).astype(space.dtype)


if "fake/Frame-v0" not in gym.registry:
    gym.register("fake/Frame-v0", entry_point="fakes:FrameEnv")
