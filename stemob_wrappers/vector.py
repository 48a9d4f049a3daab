"""StemObservation for many envs at once: one batch through the backbone a step."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from signal import SIGTERM
from typing import Any, NoReturn, Unpack

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from stemob_wrappers.config import StemConfig
from stemob_wrappers.generic import AnyVectorWrapper
from stemob_wrappers.stem.pipeline import StemStats
from stemob_wrappers.wrappers.episodes import EpisodeKeys, EpisodeStarts
from stemob_wrappers.wrappers.observation import refuse_nesting, refuse_robosuite_gym_wrapper
from stemob_wrappers.wrappers.transform import ObservationTransform, StemOptions, read_options


class StemObservation(AnyVectorWrapper):
    """Replace every RGB image that a vector env observes by its stem frame (arXiv 2411.04919).

    The vector twin of :class:`stemob_wrappers.StemObservation`: the same images are found, and the
    frames are the same as if each sub-env were wrapped by itself. All sub-envs' frames of one size
    go through the backbone in one batch, and so do the final observations of episodes that ended
    (``info["final_obs"]``). The backbone lives in this process alone: worker processes render.
    Wrapping the sub-envs instead would load one in every worker; a worker forked from a process
    that has used torch then hangs.

    All three autoreset modes work. With the noise policy ``"episode"`` a sub-env's noise is drawn
    anew exactly when that sub-env is reset. Observations are arrays of their own, even where the
    vector env was made with ``copy=False``; torch observations stay on their device.

    The spec names the sub-envs but builds nothing: ``gym.make_vec(venv.spec)`` raises, where it
    would otherwise give the vector env without this wrapper.

    Args:
        env: the vector env to wrap.
        config: a StemConfig or its dict; None gives the defaults.
        **options: ``keys``, ``cache``, ``expect``, ``keep_raw``, ``device``, ``dtype``,
            ``engine``, ``threads`` and single fields of StemConfig: see
            `stemob_wrappers.wrappers.transform.StemOptions`.

    Raises:
        ValueError: no image in the observation, an unknown key or option, or another fingerprint
            than the expected one.
        TypeError: ``env`` is no vector env.
        OSError: weights that are missing or corrupt.

    Example:
        >>> import gymnasium as gym
        >>> from stemob_wrappers.vector import StemObservation
        >>> venv = gym.make_vec("stemob_wrappers:stemob/Lift-v0", 2, vectorization_mode="sync")
        >>> venv = StemObservation(venv, inversion_steps=15)
        >>> observations, infos = venv.reset(seed=0)
        >>> observations["agentview_image"].shape
        (2, 84, 84, 3)
        >>> venv.close()
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        config: StemConfig | dict[str, Any] | None = None,
        **options: Unpack[StemOptions],
    ) -> None:
        super().__init__(env)
        refuse_robosuite_gym_wrapper(env)
        refuse_nesting(env)
        self.config, given = read_options(config, options)
        self._starts = EpisodeStarts(env)
        self._transform = ObservationTransform(
            env.single_observation_space,
            self.config,
            **given,
        )
        if self._transform.observation_space != env.single_observation_space:
            self.single_observation_space = self._transform.observation_space
            self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self._copies = bool(getattr(env.unwrapped, "copy", True))
        self._episodes = EpisodeKeys(self.num_envs)

    @property
    def pipelines(self) -> dict[str, Any]:
        """The StemPipeline of each image key."""
        return self._transform.pipelines

    @property
    def stats(self) -> dict[str, StemStats]:
        """What the pipeline of each image key has done so far."""
        return self._transform.stats

    @property
    def spec(self) -> EnvSpec | None:
        """The wrapped vector env's spec, of which nothing can be built (see :func:`rebuild`)."""
        spec = copy.deepcopy(self.env.spec)
        if spec is not None:
            spec.entry_point = spec.vector_entry_point = f"{__name__}:rebuild"
        return spec

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the sub-envs, or those in ``options["reset_mask"]``; draw their episodes' noise.

        Args:
            seed: an int seeds sub-env i with ``seed + i``; a sequence has one seed, or None, each.
            options: handed to the vector env; the dict stays as it is.
        """
        own = None if options is None else dict(options)  # Gymnasium takes the mask out of it
        observations, infos = self._or_end_workers(self.env.reset, seed=seed, options=own)
        rows, seeds = self._starts.reset(seed, options)
        self._episodes.begin(rows, seeds)
        self._transform.begin([self._episodes.current[row] for row in rows])
        return self._transform([(self._own(observations), self._episodes.current)])[0], infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step the sub-envs; their observations and final observations are stem frames."""
        observations, rewards, terminations, truncations, infos = self._or_end_workers(
            self.env.step, actions
        )
        last = self._episodes.current  # whose final observations these are
        self._episodes.begin(self._starts.step(terminations, truncations))
        stems, *final = self._transform(
            [
                (self._own(observations), self._episodes.current),
                *_final_parts(infos.get("final_obs"), last),
            ]
        )
        return stems, rewards, terminations, truncations, _with_final(infos, final)

    def _own(self, observations: Any) -> Any:
        """Copy observations that lie in memory which the vector env will write again."""
        return observations if self._copies else copy.deepcopy(observations)

    def _or_end_workers(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call the vector env; if a worker process has died, end the others and raise.

        Gymnasium raises EOFError, but its `close` then waits for ever for the missing answer.
        """
        try:
            return call(*args, **kwargs)
        except (EOFError, ConnectionError) as error:
            venv: Any = self.env.unwrapped
            processes = getattr(venv, "processes", [])
            for process in processes:
                process.terminate()
                process.join()
            venv.closed = True
            dead = [process.name for process in processes if process.exitcode not in (0, -SIGTERM)]
            error.add_note(
                f"a worker process of the vector env died ({', '.join(dead) or 'name not known'}); "
                "the others were ended and the vector env is closed: make a new one"
            )
            raise


def rebuild(**kwargs: Any) -> NoReturn:
    """Raise: a vector env's spec does not say how it is wrapped (the entry point of such specs).

    Raises:
        gymnasium.error.Error: always, with what to do instead.
    """
    raise gym.error.Error(
        "this spec comes from a vector env wrapped by stemob_wrappers.vector.StemObservation, "
        "which it cannot describe: what it builds would give raw frames. Make the vector env as it "
        "was made first and wrap it again, or take venv.unwrapped.spec if raw frames are wanted"
    )


def _final_parts(final: Any, episodes: list[bytes]) -> list[tuple[Any, list[bytes]]]:
    """The final observations with the keys of their episodes, as ObservationTransform takes them.

    Gymnasium's vector envs give an object array with None where no episode ended; a vector env of
    its own kind may give a batch like its observations.
    """
    if final is None:
        return []
    if not _is_per_env(final):
        return [(final, episodes)]
    return [(final[row], [episodes[row]]) for row in _filled(final)]


def _with_final(infos: dict[str, Any], stems: list[Any]) -> dict[str, Any]:
    """Return the infos with the transformed final observations; those given are not touched."""
    if not stems:
        return infos
    final = infos["final_obs"]
    if not _is_per_env(final):
        return {**infos, "final_obs": stems[0]}
    replaced = np.full(len(final), None, object)
    for row, stem in zip(_filled(final), stems, strict=True):
        replaced[row] = stem
    return {**infos, "final_obs": replaced}


def _is_per_env(final: Any) -> bool:
    return isinstance(final, np.ndarray) and final.dtype == object


def _filled(final: NDArray[np.object_]) -> list[int]:
    return [row for row, observation in enumerate(final) if observation is not None]
