"""When the episodes of sub-envs begin, and the keys that name them for the noise policy "episode".

:class:`EpisodeStarts` says which, :class:`EpisodeKeys` draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

Seeds = int | Sequence[int | None] | None


class EpisodeKeys:
    """Names the episodes of envs by keys drawn from the seed of their last seeded reset.

    Envs do not share a generator: one env alone and the same env among others, reset with the same
    seeds, have the same keys.

    Args:
        num_envs: how many envs there are.

    Attributes:
        current: the key of the running episode of each env, 16 bytes; empty before the first.

    Example:
        >>> alone, among = EpisodeKeys(1), EpisodeKeys(2)
        >>> alone.begin([0], [5])
        >>> among.begin([0, 1], [4, 5])
        >>> alone.current[0] == among.current[1]
        True
    """

    def __init__(self, num_envs: int) -> None:
        self.current = [b""] * num_envs
        self._rngs = [np.random.default_rng() for _ in range(num_envs)]

    def begin(self, rows: Iterable[int], seeds: Sequence[int | None] | None = None) -> None:
        """Draw the key of the episode that begins in each of some envs.

        Args:
            rows: the envs whose episode begins.
            seeds: one seed per env (those of other rows are not read); None goes on with the
                generators as they are.
        """
        current = list(self.current)  # a list that was handed out before stays as it is
        for row in rows:
            if seeds is not None and seeds[row] is not None:
                self._rngs[row] = np.random.default_rng(seeds[row])
            current[row] = self._rngs[row].bytes(16)
        self.current = current


class EpisodeStarts:
    """Says which sub-envs of a vector env begin an episode, in every autoreset mode.

    Args:
        env: the vector env; one that does not name its mode is taken for NEXT_STEP, with a warning.

    Example:
        >>> starts = EpisodeStarts(gym.make_vec("CartPole-v1", 3, vectorization_mode="sync"))
        >>> starts.reset(5, None)
        (array([0, 1, 2]), [5, 6, 7])
        >>> starts.step([False, True, False], [False] * 3)  # the reset comes a step later
        array([], dtype=int64)
        >>> starts.step([False] * 3, [False] * 3)
        array([1])
    """

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        self._num_envs = env.num_envs
        self._mode = _autoreset_mode(env)
        self._ended = np.zeros(env.num_envs, bool)  # episodes over, the reset not yet made

    def reset(
        self, seed: Seeds, options: Mapping[str, Any] | None
    ) -> tuple[NDArray[np.intp], Sequence[int | None] | None]:
        """Return the rows that a reset with these arguments begins, and the seed of every env."""
        mask = (options or {}).get("reset_mask")
        began = np.ones(self._num_envs, bool) if mask is None else _as_mask(mask)
        self._ended = self._ended & ~began
        if isinstance(seed, int | np.integer):
            seed = [int(seed) + row for row in range(self._num_envs)]
        return np.flatnonzero(began), seed

    def step(self, terminations: Any, truncations: Any) -> NDArray[np.intp]:
        """Return the rows whose observation is the first of an episode, after a step."""
        ended, before = _as_mask(terminations) | _as_mask(truncations), self._ended
        self._ended = ended
        if self._mode == AutoresetMode.SAME_STEP:
            return np.flatnonzero(ended)
        if self._mode == AutoresetMode.NEXT_STEP:
            return np.flatnonzero(before)
        return np.flatnonzero(np.zeros(self._num_envs, bool))


def _autoreset_mode(env: VectorEnv[Any, Any, Any]) -> AutoresetMode:
    mode = env.metadata.get("autoreset_mode")
    if mode is None:
        gym.logger.warn(
            f"{env} does not say in metadata['autoreset_mode'] when it resets; taken for NEXT_STEP"
        )
        return AutoresetMode.NEXT_STEP
    return AutoresetMode(mode)


def _as_mask(flags: Any) -> NDArray[np.bool_]:
    """One bool per env as numpy, from a list, numpy, or torch on any device."""
    return np.asarray(flags.tolist() if hasattr(flags, "tolist") else flags, bool)
