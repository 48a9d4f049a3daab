"""What an evaluation runs in: cells, paired seeds, and the env of one cell.

Worker processes import this module, so it loads neither torch nor a simulator before use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from stemob_wrappers.perturb.suites import SUITES, Cell, suite
from stemob_wrappers.report.pairing import CLEAN
from stemob_wrappers.splits import EVALUATION_SEEDS, SPLITS, Split

SuiteLike = str | Sequence[str | Cell]

# Keeps reset seeds apart from other draws of the same seed.
_STREAM = 0xE7A1


def choose_cells(chosen: SuiteLike, severities: Sequence[int]) -> dict[str, Cell | None]:
    """The cells by name, the nominal scene (None) first.

    Args:
        chosen: a suite's name, or a sequence of groups and of single cells.
        severities: of the groups, each 1 to 5.

    Raises:
        ValueError: an unknown name, or a severity out of range.

    Example:
        >>> list(choose_cells(["lighting", Cell("texture", 2)], [4]))
        ['clean', 'lighting-4', 'texture-2']
    """
    parts = [chosen] if isinstance(chosen, str) else list(chosen)
    cells: dict[str, Cell | None] = {CLEAN: None}
    for part in parts:
        if isinstance(part, str):
            cells.update({cell.name: cell for cell in suite(part, severities)})
        else:
            part.check()
            cells[part.name] = part
    return cells


def episode_seeds(seed: int, split: Split, episodes: int) -> list[int]:
    """The reset seed of each episode, the same for every condition and cell; splits share none.

    A reset seed decides the task's randomness and, in a perturbed cell, the perturbation. More
    episodes begin with the same ones. All lie in `splits.EVALUATION_SEEDS`, which has none of
    `splits.DEMONSTRATION_SEEDS`.

    Args:
        seed: of the evaluation, 0 or more.
        split: what the results are for: "dev" to choose settings, "test" to report.
        episodes: how many.

    Raises:
        ValueError: an unknown split, a negative seed, or no episodes.

    Example:
        >>> episode_seeds(0, "test", 5)[:2] == episode_seeds(0, "test", 2)
        True
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}; received {split!r}")
    if seed < 0 or episodes < 1:
        raise ValueError(
            f"seed must be 0 or more and episodes 1 or more, received {seed} and {episodes}"
        )
    rng = np.random.default_rng([_STREAM, seed])
    share, count = list(SPLITS).index(split), len(SPLITS)
    first, last = EVALUATION_SEEDS.start // count, EVALUATION_SEEDS.stop // count
    return [count * int(number) + share for number in rng.integers(first, last, episodes)]


def short_name(env_id: str) -> str:
    """A name for folders and tables.

    Example:
        >>> short_name("stemob_wrappers:stemob/Lift-v0")
        'Lift-v0'
    """
    return env_id.rsplit(":")[-1].rsplit("/")[-1]


def make_env(
    env_id: str, env_kwargs: dict[str, Any], cell: Cell | None, split: Split, chunk: int = 1
) -> gym.Env[Any, Any]:
    """Build the env of one cell; a reset without a seed lets it rest.

    An env that observes no image is rendered: ``size`` and ``camera`` among its arguments are then
    those of `stemob_wrappers.make`.

    Args:
        env_id: a registered env, with or without ``module:`` before it.
        env_kwargs: arguments of `gymnasium.make`.
        cell: what is changed; None is the nominal scene.
        split: the textures and seeds that a perturbation draws from.
        chunk: actions a step; more than one are an `ActionChunk`, which renders the last frame.

    Raises:
        ValueError: the env lacks what the cell changes.
        gymnasium.error.Error: an unknown env, or arguments that it does not take.
    """
    from stemob_wrappers.wrappers.chunk import ActionChunk
    from stemob_wrappers.wrappers.rendering import make_images

    env = make_images(env_id, **env_kwargs)
    try:
        if chunk > 1:  # below what perturbs pixels, which wants to see no others either
            env = ActionChunk(env, chunk)
        return Resting(env if cell is None else cell.wrap(env, seed=0, split=split))
    except BaseException:
        env.close()
        raise


def check_cells(
    env_id: str, env_kwargs: dict[str, Any], cells: dict[str, Cell | None], split: Split
) -> None:
    """Build the env once and try every cell on it, before hours are spent on the first ones.

    Raises:
        ValueError: a cell that this env lacks the means for.
        gymnasium.error.Error: an unknown env, or arguments that it does not take.
    """
    env = make_env(env_id, env_kwargs, None, split)
    try:
        for cell in cells.values():
            if cell is None:
                continue
            try:
                perturbed = cell.wrap(env, seed=0, split=split)
            except ValueError as error:
                raise ValueError(
                    f"{env_id} cannot be evaluated in the cell {cell.name}: {error} Name the cells "
                    f"that it can, from {', '.join(SUITES)}."
                ) from error
            if hasattr(perturbed, "restore"):
                perturbed.get_wrapper_attr("restore")()
    finally:
        env.close()


class Resting(gym.Wrapper[Any, Any, Any, Any]):
    """A reset without a seed begins no episode: the env rests and simulates nothing.

    A vector env steps all its envs, also those that have no more episodes to play.

    Args:
        env: any env.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self._last: Any = None  # the latest observation
        self._rests = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode, or a rest if there is no seed."""
        self._rests = seed is None
        if self._rests and self._last is not None:
            return self._last, {}
        self._last, info = self.env.reset(seed=seed, options=options)
        return self._last, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the env, or give the last observation again."""
        if self._rests:
            return self._last, 0.0, False, False, {}
        step = self.env.step(action)
        self._last = step[0]
        return step
