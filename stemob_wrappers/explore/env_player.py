"""An env that is taken to one state after another, under one look after another."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.explore.shown import Change, EnvFrame
from stemob_wrappers.perturb.factors import FACTORS
from stemob_wrappers.perturb.scene import ScenePerturbation
from stemob_wrappers.scene.simulation import find_simulation
from stemob_wrappers.wrappers.rendering import make_frames


class EnvPlayer:
    """Gives the frames of one env; a state further on in the same episode costs only the steps.

    OpenGL binds what it draws to the thread that drew first: call it from one thread alone.

    Args:
        frame: names the env, the size and the camera; of its state nothing is used.

    Raises:
        ValueError, gymnasium.error.Error: no such env, or one that renders no pictures.

    Example:
        >>> player = EnvPlayer(EnvFrame("HalfCheetah-v5", size=64))
        >>> player.frame(seed=0, steps=2, change=Change("light_colour", 4)).shape
        (64, 64, 3)
        >>> player.close()
    """

    def __init__(self, frame: EnvFrame) -> None:
        self.env_id = frame.env_id
        self._made_of = (frame.env_id, frame.size, frame.camera)
        self._bare = self._make()
        self._env: gym.Env[Any, Any] = self._bare
        self._episode: tuple[int, Change | None] | None = None
        self._steps = 0
        self._ended = False

    def factors(self) -> list[str]:
        """The scene factors that this env has what they need for; none without a MuJoCo model."""
        try:
            simulation = find_simulation(self._bare)
        except ValueError:
            return []
        edit = simulation.new_edit()
        return [name for name, factor in FACTORS.items() if factor.missing(edit) is None]

    def frame(self, *, seed: int, steps: int, change: Change | None = None) -> NDArray[np.uint8]:
        """The frame of a state: uint8 [H, W, 3].

        Args:
            seed: of the reset, and of the random actions.
            steps: actions taken since the reset.
            change: of the scene, or None.

        Raises:
            ValueError: the episode ends before so many steps, or the env lacks what is changed.
        """
        if self._episode != (seed, change) or steps < self._steps:
            self._begin(seed, change)
        while self._steps < steps and not self._ended:
            *_, terminated, truncated, _ = self._env.step(self._env.action_space.sample())
            self._steps += 1
            self._ended = bool(terminated or truncated)
        if self._steps < steps:
            raise ValueError(
                f"this episode of {self.env_id} (seed {seed}) ends after {self._steps} steps; "
                f"received {steps}: take fewer, or another seed"
            )
        return np.asarray(self._env.render())

    def close(self) -> None:
        """Free the env and what it renders with."""
        self._env.close()

    def _make(self) -> gym.Env[Any, Any]:
        """Make the env; nobody looks at its observations on the way to a state."""
        env = make_frames(*self._made_of)
        inner: Any = env.unwrapped
        if hasattr(inner, "renders") and hasattr(inner, "observe"):
            inner.renders = False
        return env

    def _begin(self, seed: int, change: Change | None) -> None:
        self._episode = None
        if looks_from_first_picture(self._bare):
            self._bare.close()
            self._env = self._bare = self._make()
        if change is None:
            if isinstance(self._env, ScenePerturbation):
                self._env.restore()
            self._env = self._bare
            self._env.reset(seed=seed)
        else:
            # Of a texture that two looks change, the original between them is not sent.
            with find_simulation(self._bare).uploads_at_the_end():
                self._env = ScenePerturbation(
                    self._bare, change.factor, severity=change.severity, seed=change.draw
                )
                self._env.reset(seed=seed)
        if looks_from_first_picture(self._bare):
            self._env.render()
        self._env.action_space.seed(seed)
        self._episode, self._steps, self._ended = (seed, change), 0, False


def looks_from_first_picture(env: Any) -> bool:
    """Whether an env's camera stays where its first picture was taken from.

    Gymnasium places the free camera of a MuJoCo env by the state that is rendered first, so that
    the same state is another picture in an env that has a past.
    """
    renderer = getattr(env.unwrapped, "mujoco_renderer", None)
    return getattr(renderer, "camera_id", None) == -1
