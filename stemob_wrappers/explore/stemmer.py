"""Stem frames of lone frames under one config, with their latents and the time that they take."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.config import StemConfig
from stemob_wrappers.diffusion.noise import draw_noise, noise_key
from stemob_wrappers.stem.identity import frame_digest
from stemob_wrappers.stem.pipeline import StemPipeline
from stemob_wrappers.stem.resize import make_small

Frame = NDArray[np.uint8]


class Stemmer:
    """One config's pipeline, asked for one frame at a time: each is the first of an episode.

    Args:
        config: of the stem frames.

    Attributes:
        pipeline: the StemPipeline; it keeps no frames.
        notes: what it warned of so far.

    Raises:
        ValueError, OSError: as `StemPipeline`.

    Example:
        >>> stemmer = Stemmer(StemConfig(inversion_steps=8))
        >>> stem, milliseconds = stemmer(np.zeros((84, 84, 3), np.uint8))
        >>> stem.shape, milliseconds > 0
        ((84, 84, 3), True)
    """

    def __init__(self, config: StemConfig) -> None:
        self.notes: dict[str, None] = {}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.pipeline = StemPipeline(config, cache=False)
        self._note(caught)

    def __call__(self, frame: Frame) -> tuple[Frame, float]:
        """Return the stem frame of a uint8 frame [H, W, 3], and the milliseconds that it took.

        Checks that are made of a pipeline's first frames are not counted.
        """
        seconds = self.pipeline.stats.seconds
        before = sum(seconds.values())
        self.pipeline.begin([b""])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            stem = self.pipeline(frame[None])[0]
        self._note(caught)
        return stem, 1e3 * (sum(seconds.values()) - before)

    def sized(self, frame: Frame) -> Frame:
        """The frame at the size of its stem frame."""
        height, width = frame.shape[:2]
        if self.pipeline.given_size(height, width) == (height, width):
            return frame
        return make_small(self.pipeline.config, frame[None])[0]

    def latents(self, frame: Frame) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The latent of a frame as it is encoded, and as it is decoded: float32 [C, h, w] each."""
        import torch

        from stemob_wrappers.stem.inverter import FrameInverter

        config, device = self.pipeline.config, self.pipeline.device
        small = make_small(config, frame[None])
        episode = {"frame": frame_digest(small[0]), "episode": b"", "count": 0}
        shape = self.pipeline.noise_shape(*frame.shape[:2])
        noise = draw_noise(config.seed, [noise_key(config.noise, **episode)], shape)
        frames, fields = torch.from_numpy(small).to(device), torch.from_numpy(noise).to(device)
        backbone = _backbone(config, device)
        encoded, decoded = (
            FrameInverter(backbone, each).latents(frames, fields)[0].numpy(force=True)
            for each in (config.replace(method="ddpm", inversion_steps=0), config)
        )
        return encoded, decoded

    def _note(self, caught: list[warnings.WarningMessage]) -> None:
        self.notes |= dict.fromkeys(str(each.message) for each in caught)


def _backbone(config: StemConfig, device: str) -> Any:
    return _load(config.backbone, config.codec, config.revision, config.method != "ddpm", device)


@functools.lru_cache(maxsize=4)
def _load(name: str, codec: str | None, revision: str | None, denoiser: bool, device: str) -> Any:
    from stemob_wrappers.backbones.load import load_backbone

    return load_backbone(name, codec=codec, revision=revision, denoiser=denoiser, device=device)
