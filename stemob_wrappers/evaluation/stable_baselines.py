"""Policies of Stable-Baselines3: a model's file, acting on what its training's wrappers gave it."""

from __future__ import annotations

import importlib
import importlib.util
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.extras import needs

ALGORITHMS = ("A2C", "DDPG", "DQN", "PPO", "SAC", "TD3")
CONTRIB = ("ARS", "CrossQ", "MaskablePPO", "QRDQN", "RecurrentPPO", "TQC", "TRPO")


class Sb3Policy:
    """A Stable-Baselines3 model as a policy; it acts deterministically.

    Frames are stacked as VecFrameStack stacked them, wherever the model's observation space is a
    multiple of what the env gives.

    Args:
        model: any of its algorithms.
        statistics: the VecNormalize that it was trained under; None for none.

    Raises:
        ValueError: in a call, observations that neither are nor stack up to what it learned from.
    """

    def __init__(self, model: Any, statistics: Any = None) -> None:
        self.model = model
        if hasattr(model.action_space, "learned_from"):  # it was trained under StemVecEnv
            self.learned_from = model.action_space.learned_from
        self._statistics = statistics
        means = _by_key(getattr(statistics, "obs_rms", {}))
        self._normalized = {key: each.mean.shape for key, each in means.items()}
        self._state: Any = None
        self._starts: NDArray[np.bool_] | None = None
        self._stacks: dict[str, NDArray[Any]] = {}  # the latest frames of each key

    def reset(self, mask: NDArray[np.bool_]) -> None:
        """Begin episodes: a recurrent model forgets, and stacks are black before their first."""
        self._starts = mask.copy() if self._starts is None else self._starts | mask

    def __call__(self, observation: Any) -> Any:
        actions, self._state = self.model.predict(
            self._as_learned(observation),
            state=self._state,
            episode_start=self._starts,
            deterministic=True,
        )
        if self._starts is not None:
            self._starts = np.zeros_like(self._starts)
        return actions

    def _as_learned(self, observation: Any) -> Any:
        """What VecNormalize and VecFrameStack make of it, whichever stood within the other."""
        if self._statistics is None:
            return self._stacked(observation)
        if self._fits(observation):
            return self._stacked(self._statistics.normalize_obs(observation))
        stacked = self._stacked(observation)
        if not self._fits(stacked):
            raise ValueError(
                f"the statistics of VecNormalize are of shape {self._normalized}, which neither "
                "this env's observations nor stacks of them have: name the model's own, as in "
                "'PPO:path.zip:statistics.pkl'"
            )
        return self._statistics.normalize_obs(stacked)

    def _fits(self, observation: Any) -> bool:
        """Whether an observation has the shapes that VecNormalize has statistics of."""
        parts = _by_key(observation)
        return all(parts[key].shape[1:] == shape for key, shape in self._normalized.items())

    def _stacked(self, observation: Any) -> Any:
        learned = _by_key(self.model.observation_space)
        parts = _by_key(observation)
        for key in parts.keys() & learned.keys():
            growth = _growth(key, parts[key].shape[1:], learned[key].shape)
            if growth is not None:
                parts[key] = self._push(key, parts[key], *growth)
        return parts if isinstance(observation, dict) else parts[""]

    def _push(self, key: str, newest: NDArray[Any], axis: int, count: int) -> NDArray[Any]:
        """Add the newest frames behind those before and drop the oldest."""
        stack = self._stacks.get(key)
        if stack is None or len(stack) != len(newest):
            stack = np.concatenate([np.zeros_like(newest)] * count, axis + 1)
        elif self._starts is not None:
            stack[self._starts] = 0
        kept = range(newest.shape[axis + 1], stack.shape[axis + 1])
        self._stacks[key] = np.concatenate([stack.take(kept, axis + 1), newest], axis + 1)
        return self._stacks[key]


def load_sb3(algorithm: str, named: str) -> Sb3Policy:
    """Load a model, and the statistics of its VecNormalize where there are some.

    Args:
        algorithm: the name of its class.
        named: ``"path.zip"``, or ``"path.zip:statistics.pkl"``; see `files_of`.

    Raises:
        ValueError: an unknown algorithm, or a file that is no model's.
        FileNotFoundError: no file at a path.
        ModuleNotFoundError: the model's library is missing.
    """
    if algorithm not in (*ALGORITHMS, *CONTRIB):
        raise ValueError(
            "a Stable-Baselines3 model needs its algorithm, one of "
            f"{', '.join((*ALGORITHMS, *CONTRIB))}, before the path, as in 'PPO:{named}'; received "
            f"{algorithm!r}"
        )
    path, *statistics = files_of(named)
    with needs("sb3", f"{algorithm}:{path}"):
        from stable_baselines3.common.save_util import load_from_pkl

    in_contrib = algorithm in CONTRIB
    if (in_contrib or _names_contrib(path)) and importlib.util.find_spec("sb3_contrib") is None:
        raise ModuleNotFoundError(
            f"{algorithm}:{path} needs sb3_contrib, which is not installed: "
            "pip install sb3-contrib",
            name="sb3_contrib",
        )
    library = importlib.import_module("sb3_contrib" if in_contrib else "stable_baselines3")
    model = getattr(library, algorithm).load(path)
    return Sb3Policy(model, load_from_pkl(statistics[0]) if statistics else None)


def files_of(named: str) -> list[Path]:
    """The files of a model: its zip and, where there are some, its VecNormalize's statistics.

    Without a name these are ``NAME.pkl`` or ``NAME_vecnormalize.pkl`` beside ``NAME.zip``,
    ``P_vecnormalize_N_steps.pkl`` beside a checkpoint ``P_N_steps.zip``, or ``vecnormalize.pkl`` or
    ``vec_normalize.pkl`` in its folder.

    Raises:
        FileNotFoundError: no file at a path.

    Example:
        >>> Path("model.zip").touch(), Path("vecnormalize.pkl").touch()
        (None, None)
        >>> [str(path) for path in files_of("model.zip")]
        ['model.zip', 'vecnormalize.pkl']
    """
    name, _, statistics = named.partition(":")
    path = Path(name)
    if not path.is_file():
        raise FileNotFoundError(f"no Stable-Baselines3 model at {path}")
    if statistics:
        if not Path(statistics).is_file():
            raise FileNotFoundError(f"no statistics of VecNormalize at {statistics}")
        return [path, Path(statistics)]
    checkpoint = re.sub(r"_(\d+)_steps$", r"_vecnormalize_\1_steps", path.stem)
    names = (path.stem, f"{path.stem}_vecnormalize", checkpoint, "vecnormalize", "vec_normalize")
    beside = (path.with_name(f"{name}.pkl") for name in names)
    return [path, *[file for file in beside if file.is_file()][:1]]


def _names_contrib(path: Path) -> bool:
    """Whether a model's file has parts of sb3_contrib, which are needed to load it."""
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is no Stable-Baselines3 model: it is no zip file")
    with zipfile.ZipFile(path) as archive:
        return "data" in archive.namelist() and b"sb3_contrib" in archive.read("data")


def _by_key(observation: Any) -> dict[str, Any]:
    """The parts of an observation, or of a space; a single one has the key "" ."""
    if isinstance(observation, dict):
        return dict(observation)
    return dict(getattr(observation, "spaces", {"": observation}))


def _growth(key: str, given: tuple[int, ...], learned: tuple[int, ...]) -> tuple[int, int] | None:
    """Along which axis a model learned from more than the env gives, and how often as much.

    The model's images may have their channels first, as VecTransposeImage puts them.
    """
    layouts = [learned, (*learned[1:], learned[0])] if len(learned) == 3 else [learned]
    for layout in layouts:
        if len(layout) != len(given):
            continue
        longer = [axis for axis, size in enumerate(layout) if size != given[axis]]
        if not longer:
            return None
        if len(longer) == 1 and layout[longer[0]] % given[longer[0]] == 0:
            return longer[0], layout[longer[0]] // given[longer[0]]
    raise ValueError(
        f"the model learned from {key or 'an observation'} of shape {learned}, and this env gives "
        f"{given}, which does not stack up to it: evaluate it in the env that it was trained in"
    )
