"""ActionChunk: several actions a step, and only the last observation is looked at."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any, Protocol

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector.utils import batch_space, iterate
from gymnasium.wrappers import (
    OrderEnforcing,
    PassiveEnvChecker,
    RecordEpisodeStatistics,
    TimeLimit,
)

# They hand on the observation as it is; others say so by an attribute `passes_observation`.
PASSING = (OrderEnforcing, PassiveEnvChecker, RecordEpisodeStatistics, TimeLimit)


class Renderer(Protocol):
    """An env or wrapper that renders what it observes, and can leave that out.

    Attributes:
        renders: False gives black frames in place of rendered ones.
    """

    renders: bool

    def observe(self) -> Any:
        """Return the observation of the present state."""
        ...


class ActionChunk(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Run ``k`` actions a step and give the observation after the last.

    For policies that plan several actions at once. Put it below the stem wrapper, so that only
    frames that the policy looks at are inverted; the package's robosuite tasks and
    `RenderObservation` do not even render the others, unless a wrapper in between wants to see
    them (frame stacking, for one).

    The action space is the env's, ``k`` times: a Box of shape [k, ...], a Discrete becomes a
    MultiDiscrete. Rewards are added up. An episode that ends within a chunk ends the step; the
    actions that are left are not run. ``info`` is that of the last action, with the number of
    actions that were run as ``"chunk_length"``.

    In a vector env each sub-env is wrapped: ``gym.make_vec(id, n, wrappers=[wrap])`` with ``wrap =
    functools.partial(ActionChunk, k=4)``.

    Args:
        env: the env to wrap.
        k: actions a step.

    Raises:
        ValueError: ``k`` is no whole number from 1.

    Example:
        >>> import gymnasium as gym
        >>> env = ActionChunk(gym.make("Hopper-v5"), k=4)
        >>> env.action_space.shape
        (4, 3)
        >>> _ = env.reset(seed=0)
        >>> env.step(env.action_space.sample())[4]["chunk_length"]
        4
    """

    def __init__(self, env: gym.Env[Any, Any], k: int) -> None:
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise ValueError(f"k must be a whole number from 1, received {k!r}")
        RecordConstructorArgs.__init__(self, k=k)
        gym.Wrapper.__init__(self, env)
        self.k = k
        self.action_space = batch_space(env.action_space, k)
        self.metadata = dict(env.metadata)
        if "render_fps" in self.metadata:
            self.metadata["render_fps"] = max(1, self.metadata["render_fps"] // k)
        self._renderer = _find_renderer(env)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Run the actions of a chunk until its last one, or until the episode ends.

        Raises:
            ValueError: the action is not in the action space, so that it cannot be taken apart.
        """
        actions = list(iterate(self.action_space, action))
        if len(actions) != self.k:
            raise ValueError(f"a chunk has {self.k} actions, received {len(actions)}")
        total: Any = 0.0
        for number, single in enumerate(actions[:-1], start=1):
            with _unseen(self._renderer):
                observation, reward, terminated, truncated, info = self.env.step(single)
            total += reward
            if terminated or truncated:
                if self._renderer is not None:
                    observation = self._renderer.observe()
                return observation, total, terminated, truncated, info | {"chunk_length": number}
        observation, reward, terminated, truncated, info = self.env.step(actions[-1])
        return observation, total + reward, terminated, truncated, info | {"chunk_length": self.k}


def _find_renderer(env: Any) -> Renderer | None:
    """What renders the observation of an env, if nothing above it looks at that."""
    while isinstance(env, PASSING) or getattr(env, "passes_observation", False):
        env = env.env
    return env if hasattr(env, "renders") and hasattr(env, "observe") else None


@contextlib.contextmanager
def _unseen(renderer: Renderer | None) -> Generator[None]:
    """Leave rendering out within."""
    if renderer is None:
        yield
        return
    renderer.renders = False
    try:
        yield
    finally:
        renderer.renders = True
