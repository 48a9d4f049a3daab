"""EpisodeKeys: what names the running episode of each env, for the noise policy ``"episode"``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np


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
