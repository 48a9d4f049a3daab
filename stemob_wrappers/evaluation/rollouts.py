"""Roll a policy out in a vector env: a fixed list of episodes for each sub-env."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

from stemob_wrappers.config import StemConfig
from stemob_wrappers.evaluation.cells import make_env
from stemob_wrappers.evaluation.policies import Policy
from stemob_wrappers.generic import AnyVectorWrapper
from stemob_wrappers.perturb.suites import Cell
from stemob_wrappers.splits import Split

SUCCESS_KEYS = ("success", "is_success")


@dataclass
class Episodes:
    """What happened, episode by episode, and how long a step took.

    Attributes:
        successes, lengths, returns: one entry an episode; lengths in steps of the env.
        ms_per_step: milliseconds a step of one env, by part: env, stem, policy. An env may run
            several actions a step.
        seconds: how long all of it took, resets included.
    """

    successes: list[bool]
    lengths: list[int]
    returns: list[float]
    ms_per_step: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


class Stopwatch(AnyVectorWrapper):
    """Add up the seconds that a vector env's steps take, in ``seconds``.

    Args:
        env: any vector env.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env)
        self.seconds = 0.0

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        started = time.perf_counter()
        result = self.env.step(actions)
        self.seconds += time.perf_counter() - started
        return result


@contextmanager
def open_vector_env(
    env_id: str,
    env_kwargs: dict[str, Any],
    cell: Cell | None,
    split: Split,
    num_envs: int,
    chunk: int = 1,
) -> Iterator[VectorEnv[Any, Any, Any]]:
    """A vector env in one cell, closed at the end whatever happens; several envs have processes.

    Its episodes begin at resets alone. Workers are spawned: OpenGL does not survive a fork.
    """
    make = functools.partial(make_env, env_id, env_kwargs, cell, split, chunk)
    if num_envs == 1:
        with contextlib.closing(
            SyncVectorEnv([make], autoreset_mode=AutoresetMode.DISABLED)
        ) as alone:
            yield alone
        return
    venv = AsyncVectorEnv([make] * num_envs, context="spawn", autoreset_mode=AutoresetMode.DISABLED)
    try:
        yield venv
    except BaseException:
        # A worker may be dead, and `close` would wait for its answer.
        for process in venv.processes:
            process.terminate()
            process.join()
        venv.closed = True
        raise
    venv.close()


def play(
    venv: VectorEnv[Any, Any, Any],
    policy: Policy,
    seeds: Sequence[int],
    *,
    stem: StemConfig | None = None,
    keys: Sequence[str] | None = None,
    device: str | None = None,
    success_return: float | None = None,
    each_episode: Callable[[], None] | None = None,
) -> Episodes:
    """Play one episode for each reset seed.

    Sub-env i plays episodes i, i + N, i + 2 N, …, however long they are. Handing the next episode
    to whichever env is free would count short episodes first.

    Args:
        venv: a vector env of `make_env`'s envs that does not reset by itself; it stays open.
        policy: from batches of observations to actions.
        seeds: the reset seed of each episode.
        stem: what the observations go through; None leaves them raw.
        keys: names of the images that do; None for all.
        device: where the stem's backbone runs.
        success_return: an episode succeeds if its return reaches this; None asks the env's
            ``info["success"]`` (or ``"is_success"``) at the episode's last step.
        each_episode: called at every episode's end.

    Raises:
        ValueError: the policy's actions do not fit, or success cannot be told.
    """
    from stemob_wrappers.vector import StemObservation

    started = time.perf_counter()
    inner = Stopwatch(venv)
    run: Any = {"keys": keys, "cache": False, "device": device}
    outer = Stopwatch(inner if stem is None else StemObservation(inner, stem, **run))
    table = Episodes([False] * len(seeds), [0] * len(seeds), [0.0] * len(seeds))
    waiting = [list(range(row, len(seeds), venv.num_envs)) for row in range(venv.num_envs)]
    current: list[int | None] = [queue.pop(0) if queue else None for queue in waiting]
    thinking, steps = 0.0, 0

    observation = _reset(outer, policy, seeds, current, np.ones(venv.num_envs, bool))
    while any(episode is not None for episode in current):
        before = time.perf_counter()
        actions = _checked(policy(observation), outer)
        thinking += time.perf_counter() - before
        observation, rewards, terminations, truncations, infos = outer.step(actions)
        steps += 1
        ended = np.zeros(venv.num_envs, bool)
        for row, episode in enumerate(current):
            if episode is None:
                continue
            table.lengths[episode] += 1
            table.returns[episode] += float(rewards[row])
            if terminations[row] or truncations[row]:
                table.successes[episode] = (
                    _success(infos, row)
                    if success_return is None
                    else table.returns[episode] >= success_return
                )
                current[row] = waiting[row].pop(0) if waiting[row] else None
                ended[row] = True
                if each_episode is not None:
                    each_episode()
        if ended.any():
            observation = _reset(outer, policy, seeds, current, ended)

    scale = 1e3 / (steps * venv.num_envs)
    table.ms_per_step = {
        "env": scale * inner.seconds,
        "stem": 0.0 if stem is None else scale * (outer.seconds - inner.seconds),
        "policy": scale * thinking,
    }
    table.seconds = time.perf_counter() - started
    return table


def _reset(
    venv: VectorEnv[Any, Any, Any],
    policy: Policy,
    seeds: Sequence[int],
    current: Sequence[int | None],
    mask: NDArray[np.bool_],
) -> Any:
    """Begin the current episodes of the sub-envs in the mask; those that have none left rest."""
    begin = mask & np.array([episode is not None for episode in current])
    reset = getattr(policy, "reset", None)
    if reset is not None and begin.any():
        reset(begin.copy())
    chosen = [
        seeds[episode] if begins and episode is not None else None
        for episode, begins in zip(current, begin, strict=True)
    ]
    options = None if mask.all() else {"reset_mask": mask}
    resettable: Any = venv  # Gymnasium's annotation knows one seed for all only
    return resettable.reset(seed=chosen, options=options)[0]


def _checked(actions: Any, venv: VectorEnv[Any, Any, Any]) -> NDArray[Any]:
    """The actions as the vector env takes them."""
    actions = np.asarray(actions)
    space = venv.action_space
    if actions.shape != space.shape:
        raise ValueError(
            f"a policy must return actions of shape {list(space.shape or ())}, one row for each "
            f"env, received {list(actions.shape)}"
        )
    if not np.isfinite(actions).all():
        raise ValueError(f"a policy must return finite actions, received {actions.tolist()}")
    return actions.astype(space.dtype, copy=False)


def _success(infos: dict[str, Any], row: int) -> bool:
    for key in SUCCESS_KEYS:
        if key in infos and np.all(infos.get(f"_{key}", [True] * (row + 1))[row]):
            return bool(infos[key][row])
    known = ", ".join(sorted(key for key in infos if not key.startswith("_"))) or "nothing"
    raise ValueError(
        f"success is read from info['success'] or info['is_success'] at an episode's last step; "
        f"this env's info has {known}. Give success_return, the return from which on an episode "
        "counts as a success, or wrap the env so that its info says it"
    )
