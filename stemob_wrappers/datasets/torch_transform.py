"""StemTransform: stem frames made inside a data loader, with new noise every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from stemob_wrappers.cache import CacheLike
from stemob_wrappers.config import StemConfig, as_config
from stemob_wrappers.diffusion.noise import draw_noise
from stemob_wrappers.stem.frames import FrameLayout
from stemob_wrappers.stem.pipeline import StemPipeline


class StemTransform:
    """Turn the images of a sample into stem frames.

    With the noise policy ``"fresh"``, which is the default here, every call draws anew: other noise
    in every epoch and in every worker of a ``DataLoader``, and the same again after
    ``torch.manual_seed``. With the other policies the frames are those of ``StemPipeline``.

    The backbone is loaded at the first call, so in each worker by itself; a transform can be
    pickled.

    Args:
        config: a StemConfig or its dict; None gives ``StemConfig(noise="fresh")``.
        keys: names of the images where samples are dicts; None takes the sample for an image.
        cache: as for StemPipeline; not used by the policy ``"fresh"``.
        device, dtype: where and in what precision the backbone runs.

    Example:
        >>> transform = StemTransform()
        >>> transform(torch.zeros(3, 32, 32, dtype=torch.uint8)).shape
        torch.Size([3, 32, 32])
    """

    def __init__(
        self,
        config: StemConfig | dict[str, Any] | None = None,
        *,
        keys: Sequence[str] | None = None,
        cache: CacheLike = None,
        device: str | None = None,
        dtype: str = "float32",
    ) -> None:
        self.config = StemConfig(noise="fresh") if config is None else as_config(config)
        self.keys = None if keys is None else tuple(keys)
        self.cache: CacheLike = cache
        self.device = device
        self.dtype = dtype
        self._pipeline: StemPipeline | None = None
        self._drawn = 0

    def __call__(self, sample: Any) -> Any:
        """Return a sample of the same form; the one given is not changed.

        Args:
            sample: image of shape [..., H, W, 3] or [..., 3, H, W], uint8 or float in [0, 1], numpy
                or torch; or, with ``keys``, a dict that holds such images.

        Raises:
            TypeError, ValueError: an image of another dtype, range or shape.
            KeyError: a key that the sample does not have.
        """
        if self.keys is None:
            return self._transform(sample)
        return {**sample, **{key: self._transform(sample[key]) for key in self.keys}}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pipeline": None}

    @property
    def pipeline(self) -> StemPipeline:
        """The pipeline, loaded when it is first asked for."""
        if self._pipeline is None:
            self._pipeline = StemPipeline(
                self.config, self.cache, device=self.device, dtype=self.dtype
            )
        return self._pipeline

    def _transform(self, image: Any) -> Any:
        layout = _layout(image)
        frames: Any = layout.to_frames(image)
        pipeline = self.pipeline
        if self.config.noise != "fresh":
            return layout.from_frames(pipeline(frames), image)
        # The initial seed differs between workers, and between epochs unless workers persist;
        # there, the count goes on.
        stream = f"loader {torch.initial_seed()}"
        keys = [f"{stream} {self._drawn + row}".encode() for row in range(len(frames))]
        self._drawn += len(frames)
        noise = draw_noise(self.config.seed, keys, pipeline.noise_shape(*frames.shape[1:3]))
        return layout.from_frames(pipeline(frames, noise=noise), image)


class StemBatchTransform(StemTransform):
    """Turn the images of whole batches into stem frames, in the training loop, on the device.

    A loader's workers run on the CPU, and with heavy transforms in them a GPU waits for data. Here
    they send raw frames, uint8 for the least traffic; the batch goes to the device, its images
    become stem frames there and stay there. All arguments are those of :class:`StemTransform`.

    Example:
        >>> transform = StemBatchTransform(keys=["observation.images.front"])
        >>> batch = {"observation.images.front": torch.zeros(4, 2, 3, 32, 32, dtype=torch.uint8)}
        >>> transform(batch)["observation.images.front"].shape
        torch.Size([4, 2, 3, 32, 32])
    """

    def __call__(self, sample: Any) -> Any:
        """Return a batch of the same form, with its images on the device.

        Args:
            sample: images of shape [B, ..., H, W, 3] or [B, ..., 3, H, W], uint8 or float in
                [0, 1], on any device; or, with ``keys``, a dict that holds such images.

        Raises:
            TypeError, ValueError: an image of another dtype, range or shape, or no tensor.
            KeyError: a key that the batch does not have.
        """
        return super().__call__(sample)

    def _transform(self, image: Any) -> Any:
        if not isinstance(image, torch.Tensor):
            raise TypeError(
                f"a batch holds tensors, received {type(image).__name__}; for single items and "
                "arrays take StemTransform"
            )
        return super()._transform(image.to(self.pipeline.device, non_blocking=True))


def _layout(image: Any) -> FrameLayout:
    shape: tuple[int, ...] = tuple(getattr(image, "shape", ()))
    if len(shape) < 3 or 3 not in (shape[-1], shape[-3]):
        raise ValueError(
            f"an image has shape [..., H, W, 3] or [..., 3, H, W], received {shape}; with samples "
            "that are dicts, name their images: StemTransform(keys=[...])"
        )
    channels_first = shape[-1] != 3
    height, width = (shape[-2], shape[-1]) if channels_first else (shape[-3], shape[-2])
    return FrameLayout(height, width, channels_first, floating="float" in str(image.dtype))
