"""StemProcessorStep: stem frames in the pre-processor of a LeRobot policy, saved along with it.

Tested with lerobot 0.4.4. From 0.6 on the step can also go into ``EnvConfig.get_env_processors()``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from stemob_wrappers.config import StemConfig, as_config
from stemob_wrappers.datasets.torch_transform import StemTransform
from stemob_wrappers.made_by import read_provenance
from stemob_wrappers.stem.frames import named_as_no_colour
from stemob_wrappers.stem.provenance import check_expected

try:
    from lerobot.processor import ObservationProcessorStep
except ImportError as error:
    raise ImportError(
        f"StemProcessorStep is a step of LeRobot's pipelines, and lerobot cannot be imported "
        f"({error}): pip install lerobot"
    ) from error

IMAGES = "observation.image"  # how the keys of LeRobot's cameras begin


class StemProcessorStep(ObservationProcessorStep):
    """Turn the camera images of observations into stem frames; to go first in a pre-processor.

    A policy that was trained on a converted data set gets its step by :meth:`from_dataset` before
    its pre-processor is saved; from then on the step is loaded with the policy, without an import:
    it is saved under its class path, not under a registered name. A policy that is trained on raw
    frames has it in its pre-processor from the start.

    Args:
        config: a StemConfig, its dict, or None for the defaults.
        keys: of the images; None takes every ``observation.image…`` that is not named as depth,
            segmentation, mask, normal or flow.
        expect: fingerprint of the frames that the policy was trained on.
        device, dtype: where and in what precision the backbone runs.

    Raises:
        ValueError: another fingerprint than the expected one, or noise by episode, which a step
            knows nothing of.

    Example, with ``preprocessor`` as LeRobot makes it for a policy::

        preprocessor.steps.insert(0, StemProcessorStep.from_dataset("lift-stem"))
        preprocessor.save_pretrained("policy")
    """

    def __init__(
        self,
        config: StemConfig | dict[str, Any] | None = None,
        keys: Sequence[str] | None = None,
        expect: str | None = None,
        device: str | None = None,
        dtype: str = "float32",
    ) -> None:
        self.config = as_config(config)
        if self.config.noise == "episode":
            raise ValueError(
                "a processor step sees frames, not episodes, so that noise='episode' cannot be "
                "had; take 'frame' or 'fixed' for the data set and the step"
            )
        self.keys = None if keys is None else list(keys)
        self.expect = expect
        self._transform = StemTransform(self.config, device=device, dtype=dtype)
        if expect is not None:
            check_expected(self._transform.pipeline.identity, expect)

    @classmethod
    def from_dataset(cls, path: str | os.PathLike[str], **options: Any) -> StemProcessorStep:
        """Return the step that makes live frames what a converted data set holds.

        Args:
            path: the converted data set.
            **options: ``device``, ``dtype``.

        Raises:
            FileNotFoundError, ValueError: no data set there, or none that was converted.
        """
        made_by = read_provenance(path)
        keys, expect = made_by["converted"], made_by["fingerprint"]
        return cls(made_by["config"], keys, expect, **options)

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """Return an observation with stem frames, dtype, layout and device as they came.

        Args:
            observation: holds images of shape [..., H, W, 3] or [..., 3, H, W], uint8 or float in
                [0, 1].

        Raises:
            KeyError: an image is missing, or there is none at all.
            ValueError: floats outside [0, 1]: a step before this one normalised them.
        """
        keys = self.keys
        if keys is None:
            found = (key for key in observation if key.startswith(IMAGES))
            keys = [key for key in found if not named_as_no_colour(key)]
        missing = [key for key in keys if key not in observation]
        if missing or not keys:
            raise KeyError(
                f"no image {', '.join(missing) or IMAGES} in the observation, which has "
                f"{', '.join(observation) or 'nothing'}; name the images with keys, or put the "
                "step behind the one that renames them"
            )
        return {**observation, **{key: self._transform(observation[key]) for key in keys}}

    def get_config(self) -> dict[str, Any]:
        """What the step is made of again when its policy is loaded; devices are the loader's."""
        return {"config": self.config.to_dict(), "keys": self.keys, "expect": self.expect}

    def transform_features(self, features: dict[Any, Any]) -> dict[Any, Any]:
        """Shapes and types stay as they were."""
        return features
