"""PixelPerturbation: change the pictures of any env, for one env and for vector envs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from stemob_wrappers.generic import AnyVectorWrapper
from stemob_wrappers.perturb.corruptions import CORRUPTION_GROUPS, CORRUPTIONS
from stemob_wrappers.perturb.names import Choice, FactorNames, choose, plain
from stemob_wrappers.scene.textures import SPLITS
from stemob_wrappers.splits import Split, draw_seed
from stemob_wrappers.wrappers.episodes import EpisodeStarts
from stemob_wrappers.wrappers.spaces import all_names, find_images, get, replace

# Keeps this wrapper's draws apart from the env's own, which get the same seed.
_STREAM = 0x91BE1


class PixelPerturbation(gym.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Change every RGB image of an env's observation, by one draw an episode.

    Images are found as `StemObservation` finds them, stacked frames included; everything else
    passes through. Sides, hues, directions and places stay the same through an episode and are the
    same for all images of it; noise differs from frame to frame. ``info["perturbation"]`` says what
    is applied, in numbers. Wrap before `StemObservation`.

    Args:
        env: an env with an image in its observation.
        factors: ``brightness``, ``contrast``, ``gamma``, ``hue``, ``saturation``, ``colour_cast``,
            ``gaussian_noise``, ``shot_noise``, ``blur``, ``motion_blur``, ``jpeg``, ``occlusion``;
            several of them, one on top of the other; a mapping from these to severities; or the
            group ``corruption``, which is another one of them in each episode.
        severity: 1 (slight) to 5 (severe), for all that have none of their own.
        seed: of the draws; ``reset(seed=)`` starts them anew from both seeds.
        split: the seeds to draw from, as in `ScenePerturbation`.

    Raises:
        ValueError: no image in the observation, an unknown factor, severity or split.

    Example:
        >>> from stemob_wrappers.perturb import PixelPerturbation
        >>> from stemob_wrappers.wrappers.rendering import make_rendered
        >>> env = make_rendered("HalfCheetah-v5", size=64)
        >>> env = PixelPerturbation(env, factors={"gamma": 2, "gaussian_noise": 3})
        >>> observation, info = env.reset(seed=0)
        >>> sorted(info["perturbation"])
        ['episode', 'gamma', 'gaussian_noise']
        >>> env.close()
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        factors: FactorNames = "corruption",
        severity: int = 3,
        seed: int | None = None,
        split: Split = "test",
    ) -> None:
        RecordConstructorArgs.__init__(
            self, factors=plain(factors), severity=severity, seed=seed, split=split
        )
        gym.ObservationWrapper.__init__(self, env)
        self._images = _find_images(env.observation_space)
        self._draws = _Draws(factors, severity, seed, split)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Draw the changes of the episode that begins and reset the env with the same seed."""
        self._draws.begin(seed)
        observation, info = self.env.reset(seed=seed, options=options)
        return self.observation(observation), self._with_report(info)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the env and change what it observes."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        changed = self.observation(observation)
        return changed, reward, terminated, truncated, self._with_report(info)

    def observation(self, observation: Any) -> Any:
        """The observation with its images changed; the one given is left as it is."""
        return _change(observation, self._images, [self._draws])

    def _with_report(self, info: dict[str, Any]) -> dict[str, Any]:
        return {**info, "perturbation": self._draws.report()}


class VectorPixelPerturbation(AnyVectorWrapper):
    """The vector twin of `PixelPerturbation`: each sub-env has draws of its own.

    A sub-env's pictures are the same as if it were wrapped by itself, and so are the final
    observations in ``info["final_obs"]``. What is applied is in the property `applied`, a list of
    one dict per sub-env.

    Args:
        env: a vector env whose sub-envs have an image in their observation.
        factors, severity, seed, split: as for `PixelPerturbation`.

    Raises:
        ValueError: as for `PixelPerturbation`.

    Example:
        >>> import gymnasium as gym
        >>> from stemob_wrappers.perturb import VectorPixelPerturbation
        >>> from stemob_wrappers.wrappers.rendering import make_rendered
        >>> def make(): return make_rendered("HalfCheetah-v5", size=64)
        >>> venv = gym.vector.SyncVectorEnv([make, make])
        >>> venv = VectorPixelPerturbation(venv, factors="blur", severity=2)
        >>> observations, infos = venv.reset(seed=0)
        >>> [sorted(applied) for applied in venv.applied]
        [['blur', 'episode'], ['blur', 'episode']]
        >>> venv.close()
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        factors: FactorNames = "corruption",
        severity: int = 3,
        seed: int | None = None,
        split: Split = "test",
    ) -> None:
        super().__init__(env)
        self._images = _find_images(env.single_observation_space)
        self._draws = [_Draws(factors, severity, seed, split) for _ in range(env.num_envs)]
        self._starts = EpisodeStarts(env)

    @property
    def applied(self) -> list[dict[str, Any]]:
        """What is applied to each sub-env, in numbers."""
        return [draws.report() for draws in self._draws]

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the sub-envs, or those in ``options["reset_mask"]``, and draw their changes."""
        own = None if options is None else dict(options)  # Gymnasium takes the mask out of it
        venv: Any = self.env  # whose reset takes one seed per env too
        observations, infos = venv.reset(seed=seed, options=own)
        self._begin(*self._starts.reset(seed, options))
        return _change(observations, self._images, self._draws), infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step the sub-envs and change what they observe, final observations included."""
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        if "final_obs" in infos:  # of the episodes that end here, so before others begin
            final = np.full(self.num_envs, None, object)
            for row, observation in enumerate(infos["final_obs"]):
                if observation is not None:
                    final[row] = _change(observation, self._images, [self._draws[row]])
            infos = {**infos, "final_obs": final}
        self._begin(self._starts.step(terminations, truncations))
        changed = _change(observations, self._images, self._draws)
        return changed, rewards, terminations, truncations, infos

    def _begin(self, rows: Iterable[int], seeds: Sequence[int | None] | None = None) -> None:
        for row in rows:
            self._draws[row].begin(None if seeds is None else seeds[row])


class _Draws:
    """The changes of one env's episodes."""

    def __init__(self, factors: FactorNames, severity: int, seed: int | None, split: Split) -> None:
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}; got {split!r}.")
        self._choices = choose(factors, severity, CORRUPTIONS, CORRUPTION_GROUPS)
        self._seed = seed
        self._split: Split = split
        self._rng = np.random.default_rng(seed)
        self._frames = np.random.default_rng(seed)
        self._episode = 0
        self._active: list[tuple[Choice, float]] = []

    def begin(self, seed: int | None) -> None:
        """Draw what an episode has."""
        if seed is not None:
            self._rng = np.random.default_rng([_STREAM, seed, self._seed or 0])
        self._episode = draw_seed(self._split, self._rng)
        self._frames = np.random.default_rng([_STREAM, self._episode])
        grouped = [choice for choice in self._choices if choice.group]
        one = grouped[int(self._rng.integers(len(grouped)))] if grouped else None
        self._active = [
            (choice, CORRUPTIONS[choice.name].magnitude(choice.severity, self._episode))
            for choice in self._choices
            if not choice.group or choice is one
        ]

    def change(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The changed frame: uint8 [H, W, 3]."""
        for choice, magnitude in self._active:
            corruption = CORRUPTIONS[choice.name]
            frame = corruption.apply(frame, magnitude, self._episode, self._frames)
        return frame

    def report(self) -> dict[str, Any]:
        """What is applied, in numbers: a dict of its own."""
        report: dict[str, Any] = {
            choice.name: {"severity": choice.severity, "magnitude": magnitude}
            for choice, magnitude in self._active
        }
        return {**report, "episode": self._episode}


def _find_images(space: spaces.Space) -> dict[Any, Any]:
    images = find_images(space)
    if not images:
        raise ValueError(
            "PixelPerturbation needs an RGB image in the observation (uint8 in [0, 255] or float "
            f"in [0, 1]); it has {', '.join(all_names(space))}. Wrap the env in "
            "stemob_wrappers.RenderObservation(env, size=84) first."
        )
    return images


def _change(observation: Any, images: dict[Any, Any], draws: list[_Draws]) -> Any:
    """An observation of one env, or of several in a batch, with its images changed."""
    changed = {}
    for path, layout in images.items():
        image = get(observation, path)
        frames = layout.to_frames(image)
        per_env = len(frames) // len(draws)
        stacked = np.stack(
            [draws[index // per_env].change(frame) for index, frame in enumerate(frames)]
        )
        changed[path] = layout.from_frames(stacked, image)
    return replace(observation, changed)
