"""StemObservation for many envs at once: one batch through the backbone a step."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from signal import SIGTERM
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from stemob_wrappers.cache import CacheLike
from stemob_wrappers.config import StemConfig, as_config
from stemob_wrappers.stem.pipeline import StemStats
from stemob_wrappers.wrappers.episodes import EpisodeKeys
from stemob_wrappers.wrappers.observation import refuse_robosuite_gym_wrapper
from stemob_wrappers.wrappers.transform import Keys, ObservationTransform


class StemObservation(VectorWrapper[Any, Any, Any, Any, Any]):
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
        keys: None for every image; a list of names (``"images/front"`` where nested) for just
            these; a mapping from a name to its own StemConfig fields, or to None to leave it raw.
        cache: a FrameCache to share, or the path of a folder to keep frames in; None keeps them in
            memory (or in the folder that STEMOB_CACHE names), False not at all.
        expect: fingerprint or identity of the frames that the policy was trained on, or the path of
            that data set; another one is an error that shows the differing fields.
        keep_raw: keep the untouched image too, as ``<key>_raw`` beside the stem frame; a bare image
            becomes a Dict of ``pixels`` and ``pixels_raw``.
        device: where the backbone runs; None takes CUDA where there is some, else the CPU.
        dtype: floating type that it runs in, as torch names it.
        **config_overrides: single fields of StemConfig, on top of ``config``.

    Raises:
        ValueError: no image in the observation, an unknown key or field, an unexpected fingerprint.
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
        *,
        keys: Keys = None,
        cache: CacheLike = None,
        expect: str | dict[str, Any] | None = None,
        keep_raw: bool = False,
        device: str | None = None,
        dtype: str = "float32",
        **config_overrides: Any,
    ) -> None:
        super().__init__(env)
        refuse_robosuite_gym_wrapper(env)
        self.config = as_config(config).replace(**config_overrides)
        self._autoreset_mode = _autoreset_mode(env)
        self._transform = ObservationTransform(
            env.single_observation_space,
            self.config,
            keys=keys,
            cache=cache,
            expect=expect,
            keep_raw=keep_raw,
            device=device,
            dtype=dtype,
        )
        if keep_raw:  # otherwise the spaces stay as they were
            self.single_observation_space = self._transform.observation_space
            self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self._copies = bool(getattr(env.unwrapped, "copy", True))
        self._episodes = EpisodeKeys(self.num_envs)
        self._ended = np.zeros(self.num_envs, bool)  # episodes over, the reset not yet made

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
        options = None if options is None else dict(options)  # Gymnasium takes the mask out of it
        mask = (options or {}).get("reset_mask")
        observations, infos = self._or_end_workers(self.env.reset, seed=seed, options=options)
        if isinstance(seed, int | np.integer):
            seed = [int(seed) + row for row in range(self.num_envs)]
        began = np.ones(self.num_envs, bool) if mask is None else _as_mask(mask)
        self._episodes.begin(np.flatnonzero(began), seed)
        self._ended = self._ended & ~began
        return self._transform([(self._own(observations), self._episodes.current)])[0], infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step the sub-envs; their observations and final observations are stem frames."""
        observations, rewards, terminations, truncations, infos = self._or_end_workers(
            self.env.step, actions
        )
        ended = _as_mask(terminations) | _as_mask(truncations)
        last = self._episodes.current  # whose final observations these are
        if self._autoreset_mode == AutoresetMode.SAME_STEP:
            self._episodes.begin(np.flatnonzero(ended))
        elif self._autoreset_mode == AutoresetMode.NEXT_STEP:
            self._episodes.begin(np.flatnonzero(self._ended))
        self._ended = ended

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


def _autoreset_mode(env: VectorEnv[Any, Any, Any]) -> AutoresetMode:
    mode = env.metadata.get("autoreset_mode")
    if mode is None:
        gym.logger.warn(
            f"{env} does not say in metadata['autoreset_mode'] when it resets; taken for NEXT_STEP"
        )
        return AutoresetMode.NEXT_STEP
    return AutoresetMode(mode)


def _as_mask(flags: Any) -> NDArray[np.bool_]:
    """One bool per env as numpy, from numpy or from torch on any device."""
    return np.asarray(flags.tolist(), bool)


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
