"""StemObservation: one env whose camera images are stem frames."""

from __future__ import annotations

from typing import Any, Unpack

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from stemob_wrappers.cache import recorded_cache
from stemob_wrappers.config import StemConfig
from stemob_wrappers.stem.pipeline import StemStats
from stemob_wrappers.wrappers.episodes import EpisodeKeys
from stemob_wrappers.wrappers.transform import ObservationTransform, StemOptions, read_options


class StemObservation(
    gym.ObservationWrapper[Any, Any, Any],
    RecordConstructorArgs,
):
    """Replace every RGB image of an env's observation by its stem frame (arXiv 2411.04919).

    Images are found in the observation space: Box, Dict, nested Dict and Tuple; uint8 in [0, 255]
    or float in [0, 1]; [H, W, 3] or [3, H, W]; stacked along a leading axis or along the channels.
    The space, dtype and range of the observation stay as they were. Everything else passes through
    untouched: grey, RGBA, depth and segmentation images, and keys whose name speaks of depth,
    segmentation, mask, normal or flow. A goal image (``desired_goal``) is an image like any other.
    Three grey frames stacked look like RGB: leave such a key raw with ``keys={"key": None}``.

    The backbone is loaded here, once per process; no step or reset ever loads anything.

    Args:
        env: the env to wrap.
        config: a StemConfig or its dict; None gives the defaults.
        **options: ``keys``, ``cache``, ``expect``, ``keep_raw``, ``device``, ``dtype``,
            ``engine``, ``threads`` and single fields of StemConfig: see
            `stemob_wrappers.wrappers.transform.StemOptions`.

    Raises:
        ValueError: no image in the observation, an unknown key or option, or another fingerprint
            than the expected one.
        OSError: weights that are missing or corrupt.

    Example:
        >>> import gymnasium as gym
        >>> import stemob_wrappers
        >>> env = stemob_wrappers.StemObservation(gym.make("stemob/Lift-v0"), inversion_steps=15)
        >>> observation, info = env.reset(seed=0)
        >>> observation["agentview_image"].shape
        (84, 84, 3)
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        config: StemConfig | dict[str, Any] | None = None,
        **options: Unpack[StemOptions],
    ) -> None:
        self.config, given = read_options(config, options)
        recorded: dict[str, Any] = given | {"cache": recorded_cache(given.get("cache"))}
        RecordConstructorArgs.__init__(self, config=self.config.to_dict(), **recorded)
        gym.ObservationWrapper.__init__(self, env)
        refuse_robosuite_gym_wrapper(env)
        refuse_nesting(env)
        self._transform = ObservationTransform(
            env.observation_space,
            self.config,
            **given,
        )
        self.observation_space = self._transform.observation_space
        self._episodes = EpisodeKeys(1)

    @property
    def pipelines(self) -> dict[str, Any]:
        """The StemPipeline of each image key."""
        return self._transform.pipelines

    @property
    def stats(self) -> dict[str, StemStats]:
        """What the pipeline of each image key has done so far."""
        return self._transform.stats

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the env; with the noise policies ``"episode"`` and ``"fresh"``, draw noise anew.

        The noise depends on the seed of this or the last seeded reset, and on nothing else.
        """
        self._episodes.begin([0], [seed])
        self._transform.begin(self._episodes.current)
        return super().reset(seed=seed, options=options)

    def observation(self, observation: Any) -> Any:
        """Return the observation with stem frames in place of its images."""
        return self._transform([(observation, self._episodes.current)])[0]


def refuse_nesting(env: Any) -> None:
    """Raise for an env whose frames are stem frames already; inverted twice, they are no one's.

    Args:
        env: an env, a vector env or a VecEnv, whose sub-envs are looked through where this process
            has them.
    """
    for inner in getattr(env.unwrapped, "envs", ()):
        refuse_nesting(inner)
    layer = env
    while layer is not None:
        if isinstance(vars(layer).get("_transform"), ObservationTransform):
            raise ValueError(
                f"this env gives stem frames already, by {type(layer).__name__}: wrap it once, "
                "with keys={name: fields} where images need levels of their own"
            )
        layer = getattr(layer, "env", getattr(layer, "venv", None))


def refuse_robosuite_gym_wrapper(env: Any) -> None:
    """Raise for robosuite's own GymWrapper: upside-down images, and resets without a seed.

    Args:
        env: an env, or a vector env, whose sub-envs are looked through where this process has them.
    """
    for inner in getattr(env.unwrapped, "envs", ()):
        refuse_robosuite_gym_wrapper(inner)
    layer = env
    while layer is not None:
        kind = type(layer)
        if kind.__name__ == "GymWrapper" and kind.__module__.startswith("robosuite."):
            raise ValueError(
                "this env was made by robosuite's GymWrapper, which leaves images upside down and "
                "ignores reset seeds (and flattens images, unless told not to); wrap it as "
                'stemob_wrappers.wrap_robosuite(env, cameras=["agentview"]) first, or take '
                'gym.make("stemob_wrappers:stemob/<Task>-v0", cameras=[...], robots=...) instead'
            )
        layer = getattr(layer, "env", None)
