"""ObservationView: render what the policy sees, for videos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from stemob_wrappers.wrappers.spaces import all_names, find_images, get, name


class ObservationView(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Let `render` give the images of the last observation, side by side.

    Put it around `StemObservation` and inside `gymnasium.wrappers.RecordVideo`, which records what
    `render` gives. Observations pass through untouched; the env needs no render mode of its own.

    Args:
        env: an env that observes images.
        keys: names of the images from left to right (``"images/front"`` where nested); None shows
            all of them. Of stacked frames the last is shown.

    Raises:
        ValueError: the observation has no image, or none of a name in ``keys``.

    Example:
        >>> import stemob_wrappers
        >>> from stemob_wrappers.wrappers.view import ObservationView
        >>> env = stemob_wrappers.make("HalfCheetah-v5", size=84, keep_raw=True)
        >>> env = ObservationView(env, keys=["pixels_raw", "pixels"])
        >>> _ = env.reset(seed=0)
        >>> env.render().shape
        (84, 168, 3)
    """

    def __init__(self, env: gym.Env[Any, Any], keys: Sequence[str] | None = None) -> None:
        RecordConstructorArgs.__init__(self, keys=keys)
        gym.Wrapper.__init__(self, env)
        self.metadata = {**env.metadata, "render_modes": ["rgb_array"]}
        images = {
            name(path): (path, layout)
            for path, layout in find_images(env.observation_space).items()
        }
        unknown = set(keys or ()) - set(images)
        if unknown or not images:
            raise ValueError(
                f"ObservationView shows RGB images of the observation, not {sorted(unknown)}; its "
                f"images are {sorted(images)}, out of {', '.join(all_names(env.observation_space))}"
            )
        self._images = [images[key] for key in (images if keys is None else keys)]
        self._observation: Any = None

    @property
    def render_mode(self) -> str:
        """Always ``"rgb_array"``."""
        return "rgb_array"

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the env and keep its observation for `render`."""
        self._observation, info = self.env.reset(seed=seed, options=options)
        return self._observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the env and keep its observation for `render`."""
        self._observation, reward, terminated, truncated, info = self.env.step(action)
        return self._observation, reward, terminated, truncated, info

    def render(self) -> NDArray[np.uint8]:  # type: ignore[override]
        """The images of the last observation: uint8 [H, W, 3], the lower ones padded with black.

        Raises:
            RuntimeError: before the first reset.
        """
        if self._observation is None:
            raise RuntimeError("there is no observation to show yet: call reset() first")
        frames = [
            layout.to_frames(get(self._observation, path))[-1] for path, layout in self._images
        ]
        height = max(len(frame) for frame in frames)
        return np.concatenate(
            [np.pad(frame, ((0, height - len(frame)), (0, 0), (0, 0))) for frame in frames], axis=1
        )
