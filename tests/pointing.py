"""A fast task for policies that see: point at the bright square; ``import pointing`` in tests."""

from __future__ import annotations

import os
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

SIZE = 48


class PointingEnv(gym.Env[Any, Any]):
    """A bright square on grey; an action is a guess of its centre, in [-1, 1] as (x, y).

    The square moves a little at each step, by the reset's seed. An episode ends when a guess is
    right and is cut off after ``horizon`` steps.

    Args:
        horizon: steps of an episode at most.
        success_key: what info calls success; None does not tell.
        fault: ``"exit"`` ends the process at the third step, None nothing.
        distance: whether the reward of a step is how far the guess was off, instead of a hit.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 (as Gymnasium has it)

    def __init__(
        self,
        horizon: int = 6,
        success_key: str | None = "success",
        fault: str | None = None,
        distance: bool = False,
    ) -> None:
        self.observation_space = spaces.Dict(
            {
                "front_image": spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8),
                "proprio": spaces.Box(-1, 1, (1,), np.float32),
            }
        )
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)
        self.horizon, self.success_key = horizon, success_key
        self.fault, self.distance = fault, distance

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        self._centre = self.np_random.uniform(-0.7, 0.7, 2)
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        if self.fault == "exit" and self._steps == 3:
            os._exit(3)
        # Guesses of the first two steps count for nothing, so that every episode has some steps.
        off = float(np.abs(action - self._centre).max())
        hit = self._steps > 2 and off < 0.15
        self._centre = np.clip(self._centre + self.np_random.uniform(-0.1, 0.1, 2), -0.8, 0.8)
        info = {} if self.success_key is None else {self.success_key: hit}
        reward = off if self.distance else float(hit)
        return self._observe(), reward, hit, self._steps >= self.horizon, info

    def _observe(self) -> dict[str, NDArray[Any]]:
        image = np.full((SIZE, SIZE, 3), 70, np.uint8)
        column, row = ((self._centre + 1) / 2 * SIZE).astype(int)
        image[max(row - 4, 0) : row + 4, max(column - 4, 0) : column + 4] = (250, 200, 40)
        return {"front_image": image, "proprio": np.zeros(1, np.float32)}


def look(observation: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Point at the brightest pixels: [N, 2]."""
    bright = observation["front_image"].astype(np.float32).mean(-1)
    bright = (bright > bright.mean((1, 2), keepdims=True) + 40).astype(np.float32) + 1e-6
    axis = (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE * 2 - 1
    total = bright.sum((1, 2))
    x = (bright.sum(1) * axis).sum(1) / total
    y = (bright.sum(2) * axis).sum(1) / total
    return np.stack([x, y], 1)


def guess(observation: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Point at the middle, whatever there is to see: [N, 2]."""
    return np.zeros((len(observation["proprio"]), 2), np.float32)


class Watcher:
    """A policy that remembers all it was given: observations, and the masks of new episodes.

    Args:
        policy: what acts.
    """

    def __init__(self, policy: Any = look) -> None:
        self.policy = policy
        self.images: list[NDArray[np.uint8]] = []
        self.masks: list[NDArray[np.bool_]] = []
        self.first: list[NDArray[np.uint8]] = []  # of each episode
        self._begun: NDArray[np.bool_] | None = None

    def reset(self, mask: NDArray[np.bool_]) -> None:
        self.masks.append(mask)
        self._begun = mask

    def __call__(self, observation: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
        image = observation["front_image"]
        self.images.append(image.copy())
        if self._begun is not None:
            self.first += list(image[self._begun])
            self._begun = None
        return self.policy(observation)


if "fake/Pointing-v0" not in gym.registry:
    gym.register("fake/Pointing-v0", entry_point="pointing:PointingEnv")
