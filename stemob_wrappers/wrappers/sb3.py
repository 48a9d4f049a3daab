"""StemVecEnv: stem frames for Stable-Baselines3, one batch a step for all its envs."""

from __future__ import annotations

import copy
from typing import Any, Unpack

import numpy as np

from stemob_wrappers.config import StemConfig
from stemob_wrappers.extras import needs
from stemob_wrappers.stem.pipeline import StemStats
from stemob_wrappers.wrappers.episodes import EpisodeKeys
from stemob_wrappers.wrappers.observation import refuse_nesting, refuse_robosuite_gym_wrapper
from stemob_wrappers.wrappers.transform import ObservationTransform, StemOptions, read_options

with needs("sb3", "StemVecEnv"):
    from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
    from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn


class StemVecEnv(VecEnvWrapper):
    """Replace every RGB image of a Stable-Baselines3 VecEnv by its stem frame (arXiv 2411.04919).

    All envs' frames of one size go through the backbone in one batch, together with the
    ``terminal_observation`` of the episodes that ended. The frames are the same as if each env were
    wrapped by `stemob_wrappers.StemObservation`, which finds the same images. The backbone lives in
    this process alone: with SubprocVecEnv the workers only render.

    Where it stands among SB3's wrappers: inside VecFrameStack, whose black first frames are no
    frames of the env; on either side of VecTransposeImage, which SB3's algorithms add by
    themselves. Evaluation envs need the same wrapper with the same config: a model that was trained
    under it keeps its fingerprint, and `stemob_wrappers.evaluation` sees to it.

    Args:
        venv: the VecEnv to wrap.
        config: a StemConfig or its dict; None gives the defaults.
        **options: ``keys``, ``cache``, ``expect``, ``keep_raw``, ``device``, ``dtype``,
            ``engine``, ``threads`` and single fields of StemConfig: see
            `stemob_wrappers.wrappers.transform.StemOptions`.

    Raises:
        ImportError: Stable-Baselines3 is not installed (raised when this module is imported).
        ValueError: no image in the observation, an unknown key or option, or another fingerprint
            than the expected one.
        OSError: weights that are missing or corrupt.

    Example:
        >>> from stable_baselines3.common.env_util import make_vec_env
        >>> from stemob_wrappers.wrappers.sb3 import StemVecEnv
        >>> venv = make_vec_env("stemob_wrappers:stemob/Lift-v0", n_envs=2, seed=0)
        >>> venv = StemVecEnv(venv, inversion_steps=15)
        >>> venv.reset()["agentview_image"].shape
        (2, 84, 84, 3)
        >>> venv.close()
    """

    def __init__(
        self,
        venv: VecEnv,
        config: StemConfig | dict[str, Any] | None = None,
        **options: Unpack[StemOptions],
    ) -> None:
        refuse_robosuite_gym_wrapper(venv)
        refuse_nesting(venv)
        self.config, given = read_options(config, options)
        self._transform = ObservationTransform(
            venv.observation_space,
            self.config,
            **given,
        )
        # All that SB3 saves of an env and no other wrapper replaces: the model keeps what it saw.
        action_space: Any = copy.deepcopy(venv.action_space)
        action_space.learned_from = self._transform.learned_from
        super().__init__(venv, self._transform.observation_space, action_space)
        self._episodes = EpisodeKeys(self.num_envs)

    @property
    def pipelines(self) -> dict[str, Any]:
        """The StemPipeline of each image key."""
        return self._transform.pipelines

    @property
    def stats(self) -> dict[str, StemStats]:
        """What the pipeline of each image key has done so far."""
        return self._transform.stats

    def reset(self) -> VecEnvObs:
        """Reset every env with the seeds given to `seed`, and draw their episodes' noise."""
        # Seeds wait in the innermost VecEnv, perhaps since before it was wrapped; reset takes them.
        seeds = list(self.unwrapped._seeds)
        observations = self.venv.reset()
        self._episodes.begin(range(self.num_envs), seeds)
        self._transform.begin(self._episodes.current)
        return self._transform([(observations, self._episodes.current)])[0]

    def step_wait(self) -> VecEnvStepReturn:
        """Return the step's results with stem frames, also as ``terminal_observation``."""
        observations, rewards, dones, infos = self.venv.step_wait()
        last = self._episodes.current  # whose terminal observations these are
        self._episodes.begin(np.flatnonzero(dones))
        ended = [row for row, info in enumerate(infos) if "terminal_observation" in info]
        stems, *terminal = self._transform(
            [
                (observations, self._episodes.current),
                *((infos[row]["terminal_observation"], [last[row]]) for row in ended),
            ]
        )
        infos = list(infos)
        for row, stem in zip(ended, terminal, strict=True):
            infos[row] = {**infos[row], "terminal_observation": stem}
        return stems, rewards, dones, infos
