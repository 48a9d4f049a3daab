"""Stem frames in robomimic's own training and rollouts, as its data set has them.

Tested with robomimic 0.3.0.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from stemob_wrappers.cache import CacheLike
from stemob_wrappers.config import StemConfig
from stemob_wrappers.made_by import read_provenance
from stemob_wrappers.stem.frames import find_layout
from stemob_wrappers.stem.pipeline import StemPipeline
from stemob_wrappers.stem.provenance import check_expected
from stemob_wrappers.wrappers.episodes import EpisodeKeys

try:
    from robomimic.envs.wrappers import EnvWrapper
    from robomimic.utils import env_utils, obs_utils
except ImportError as error:
    raise ImportError(
        f"StemEnvWrapper is a wrapper of robomimic's envs, and robomimic cannot be imported "
        f"({error}): pip install robomimic==0.3.0"
    ) from error

RECORD = "stemob"  # in config.train: what the policy's data set was made by


class StemEnvWrapper(EnvWrapper):
    """Turn the images that a robomimic env observes into stem frames.

    Images are what robomimic takes for modality "rgb": uint8 [H, W, 3], or float [3, H, W] in
    [0, 1] as its envs give them to policies. They keep dtype and layout; all else stays as it was.
    It goes below robomimic's FrameStackWrapper, so that a frame is computed once.

    Args:
        env: an env of robomimic, or its wrappers around one.
        config: a StemConfig, its dict, or None for the defaults.
        keys: names of the images; None takes every one.
        cache: as in `stemob_wrappers.StemPipeline`.
        expect: fingerprint of the frames that the policy was trained on.
        device: where the backbone runs.

    Raises:
        ValueError: another fingerprint than the expected one.
    """

    def __init__(
        self,
        env: Any,
        config: StemConfig | dict[str, Any] | None = None,
        *,
        keys: Sequence[str] | None = None,
        cache: CacheLike = None,
        expect: str | None = None,
        device: str | None = None,
    ) -> None:
        super().__init__(env=env)
        self.env: Any
        self._warn_double_wrap()  # robomimic's name: it raises
        self.pipeline = StemPipeline(config, cache, device=device)
        if expect is not None:
            check_expected(self.pipeline.identity, expect)
        self.keys = None if keys is None else tuple(keys)
        self._episodes = EpisodeKeys(1)

    def reset(self) -> dict[str, Any]:
        """Start an episode, with noise of its own under the policy ``"episode"``."""
        self._episodes.begin([0])
        return self._stem(self.env.reset())

    def reset_to(self, state: dict[str, Any]) -> dict[str, Any] | None:
        """Set a state; None, as robomimic's envs, where it is only a model."""
        self._episodes.begin([0])
        observation = self.env.reset_to(state)
        return None if observation is None else self._stem(observation)

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, dict[str, Any]]:
        """Run one action."""
        observation, reward, done, info = self.env.step(action)
        return self._stem(observation), reward, done, info

    def get_observation(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The observation of the present state."""
        return self._stem(self.env.get_observation(*args, **kwargs))

    def get_goal(self) -> dict[str, Any]:
        """The goal, whose images are images like any other."""
        return self._stem(self.env.get_goal())

    def _stem(self, observation: dict[str, Any]) -> dict[str, Any]:
        """The observation with stem frames, images of one size in one call."""
        images = {key: np.asarray(observation[key]) for key in self._images(observation)}
        layouts = {key: find_layout(image.shape, image.dtype) for key, image in images.items()}
        by_size: dict[tuple[int, ...], list[str]] = {}
        for key, layout in layouts.items():
            if layout is None:
                raise ValueError(
                    f"{key} must be an RGB image, uint8 or float in [0, 1], and is "
                    f"{images[key].dtype} {images[key].shape}"
                )
            by_size.setdefault((layout.height, layout.width), []).append(key)
        result = dict(observation)
        for keys in by_size.values():
            frames = [layouts[key].to_frames(images[key]) for key in keys]  # type: ignore[union-attr]
            joined = np.concatenate(frames)
            stems = self.pipeline(joined, episodes=self._episodes.current * len(joined))
            first = 0
            for key, own in zip(keys, frames, strict=True):
                stem = stems[first : first + len(own)]
                result[key] = layouts[key].from_frames(stem, images[key])  # type: ignore[union-attr]
                first += len(own)
        return result

    def _images(self, observation: dict[str, Any]) -> list[str]:
        rgb = [
            key
            for key in observation
            if key in obs_utils.OBS_KEYS_TO_MODALITIES and obs_utils.key_is_obs_modality(key, "rgb")
        ]
        chosen = [key for key in rgb if self.keys is None or key in self.keys]
        if not chosen:
            raise KeyError(
                f"the observation has no image {', '.join(self.keys or ())}: its images are "
                f"{', '.join(rgb) or 'none'}; name them in config.observation.modalities.obs.rgb"
            )
        return chosen

    def _to_string(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.pipeline.config.to_json()


@contextlib.contextmanager
def stem_rollouts(**options: Any) -> Iterator[None]:
    """In the block, robomimic's envs show a policy the stem frames that it was trained on.

    Its training loop and its ``env_from_checkpoint`` wrap every env by
    ``EnvUtils.wrap_env_from_config``. Here this puts a StemEnvWrapper beneath, by the provenance
    of ``config.train.data``. The provenance goes into the config, and so into checkpoints, which
    therefore need their data set no more.

    Args:
        **options: ``cache`` and ``device`` of the wrappers.

    Example, with ``train`` of ``robomimic.scripts.train``::

        config.train.data = "stem-demos.hdf5"
        with stem_rollouts():
            train(config, device="cpu")
    """
    usual = env_utils.wrap_env_from_config

    def wrap(env: Any, config: Any) -> Any:
        made_by = learned_from(config)
        stem = StemEnvWrapper(
            env,
            made_by["config"],
            keys=made_by["converted"],
            expect=made_by["fingerprint"],
            **options,
        )
        return usual(stem, config=config)

    env_utils.wrap_env_from_config = wrap
    try:
        yield
    finally:
        env_utils.wrap_env_from_config = usual


def learned_from(config: Any) -> dict[str, Any]:
    """Return what made the frames that a policy is trained on, and note it in its config.

    Args:
        config: robomimic's config of the policy, or that of its checkpoint.

    Raises:
        FileNotFoundError, ValueError: the config has no note, and its data set is not there or was
            not converted.
    """
    if RECORD in config.train:
        return json.loads(config.train[RECORD])
    try:
        made_by = read_provenance(config.train.data)
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(
            f"stem_rollouts shows a policy the stem frames that it was trained on: {error}"
        ) from error
    with config.unlocked():
        config.train[RECORD] = json.dumps(made_by, sort_keys=True)
    return made_by
