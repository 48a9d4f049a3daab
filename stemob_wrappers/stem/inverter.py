"""Encode, invert, decode: a batch of frames through the backbone, in PyTorch."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from stemob_wrappers.backbones.engines import torch_threads
from stemob_wrappers.backbones.load import Backbone, load_backbone
from stemob_wrappers.config import StemConfig
from stemob_wrappers.diffusion import inversion
from stemob_wrappers.diffusion.flow import FlowSchedule, sigma_at
from stemob_wrappers.stem.captured import CapturedFunction
from stemob_wrappers.stem.frames import round_up

# How much of the whole process ddim-warm covers with forward noise (arXiv 2410.23530).
WARM_SHARE = 0.04


def load_inverter(
    config: StemConfig, device: str, dtype: str, *, threads: int | None, max_batch: int
) -> FrameInverter:
    """Load the backbone of a config, and return what inverts frames with it.

    Raises:
        ValueError, OSError: as ``load_backbone`` and :class:`FrameInverter`, or no floating dtype.
    """
    floating = _as_dtype(dtype)
    backbone = load_backbone(
        config.backbone,
        codec=config.codec,
        revision=config.revision,
        denoiser=config.method != "ddpm",
        device=device,
        dtype=floating,
    )
    return FrameInverter(
        backbone, config, max_batch=max_batch, device=device, dtype=floating, threads=threads
    )


class FrameInverter:
    """Take frames up to a config's noise level and decode them again.

    Batches are padded to a power of two from 2 to ``max_batch`` and longer ones are cut, so that
    few shapes ever reach the network; the smallest bucket is 2 because convolution libraries round
    a batch of one differently. On CUDA each of them is recorded once as a graph, and then replayed.

    Args:
        backbone: what ``load_backbone`` returned.
        config: gives method, level and resolution; methods other than ``"ddpm"`` need a backbone
            that was loaded with its denoiser.
        max_batch: the largest batch that is sent to the network, a power of two from 2.
        device, dtype: where frames and noise are taken first; None leaves them as they are.
        threads: processor threads that PyTorch uses meanwhile; None is what STEMOB_THREADS says,
            or else one less than PyTorch would, where its threads wait for each other by spinning.
        capture: whether CUDA graphs are recorded; ``"ddim-fixed-point"`` looks at values between
            its calls and is never.

    Attributes:
        config: the same with ``resolution="model"`` put in numbers.
        alpha_bar: the share of signal variance that is left at the config's level.
        seconds: time spent so far in ``"encode"``, ``"invert"`` and ``"decode"``, or in all of a
            graph as ``"network"``.
        captured: what records and replays graphs, or None.
        lock: held while ``seconds`` change; threads may share an inverter.

    Raises:
        ValueError: a method or resolution that this backbone has not what it takes for, or a bad
            ``max_batch``.

    Example:
        >>> from stemob_wrappers.backbones.load import load_backbone
        >>> inverter = FrameInverter(load_backbone("embedded"), StemConfig())
        >>> frames = torch.zeros(2, 84, 84, 3, dtype=torch.uint8)
        >>> inverter(frames, torch.zeros(2, *inverter.latent_shape(84, 84))).shape
        torch.Size([2, 84, 84, 3])
    """

    name = "torch"

    def __init__(
        self,
        backbone: Backbone,
        config: StemConfig,
        *,
        max_batch: int = 64,
        device: str | None = None,
        dtype: torch.dtype | None = None,
        threads: int | None = None,
        capture: bool = True,
    ) -> None:
        if config.method != "ddpm" and backbone.denoiser is None:
            raise ValueError(
                f"method {config.method!r} asks a denoiser, and backbone {backbone.name!r} was "
                "loaded without one; use load_backbone(..., denoiser=True), or method='ddpm'"
            )
        if max_batch < 2 or max_batch & (max_batch - 1):
            raise ValueError(f"max_batch must be a power of two from 2, received {max_batch}")
        self.backbone = backbone
        self.config = _resolve(config, backbone)
        self.digest = backbone.digest
        self.max_batch = max_batch
        self._device, self._dtype, self._threads = device, dtype, threads
        self._stride = _network_stride(config.method, backbone)
        timestep = backbone.schedule.timestep(config.num_steps, config.inversion_steps)
        self.alpha_bar = backbone.schedule.alpha_bar(timestep)
        self.seconds = {"encode": 0.0, "invert": 0.0, "decode": 0.0}
        self.lock = threading.Lock()
        capture = capture and config.method != "ddim-fixed-point"
        self.captured = CapturedFunction(self._compute) if capture else None

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Shape of the latent, and so of the noise, of a frame: [channels, h, w]."""
        codec = self.backbone.codec
        height, width = self._network_size(height, width)
        return (codec.channels, height // codec.latent_stride, width // codec.latent_stride)

    @torch.inference_mode()
    def __call__(self, frames: Any, noise: Any) -> torch.Tensor:
        """Return the stem frames of uint8 ``frames`` [N, H, W, 3] under ``noise`` [N, C, h, w]."""
        frames = _as_tensor(frames).to(self._device)
        noise = _as_tensor(noise).to(self._device, self._dtype)
        chunks = self._chunks(frames, noise)
        with _torch_threads(self._threads):
            return torch.cat([self._invert_chunk(*chunk) for chunk in chunks])

    def faithful(self, frames: Any, noise: Any, stems: Any) -> Any:
        """Return the stem frames that are meant to look like ``frames``.

        These are ``stems``, save for a canonical backbone: then those of its plain decoder.
        """
        if self.backbone.plain is None:
            return stems
        plain = dataclasses.replace(self.backbone.plain, denoiser=self.backbone.denoiser)
        inverter = FrameInverter(
            plain, self.config, device=self._device, dtype=self._dtype, threads=self._threads
        )
        return inverter(frames, noise)

    @torch.inference_mode()
    def latents(self, frames: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Return what would be decoded: the inverted latents of uint8 frames, [N, C, h, w]."""
        chunks = self._chunks(frames, noise)
        encode = self.backbone.codec.encode
        return torch.cat(
            [
                self._invert(encode(self._to_images(part, field.dtype)), field)
                for part, field in chunks
            ]
        )

    def _chunks(
        self, frames: torch.Tensor, noise: torch.Tensor
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for start in range(0, len(frames), self.max_batch):
            rows = slice(start, start + self.max_batch)
            yield frames[rows], noise[rows]

    def _invert_chunk(self, frames: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        count = len(frames)
        bucket = max(2, 1 << (count - 1).bit_length())
        frames, noise = _pad_batch(frames, bucket), _pad_batch(noise, bucket)
        laps = _Laps(frames.device)
        if self.captured is not None and frames.is_cuda:
            stems = self.captured(frames, noise)
            laps("network")
        else:
            stems = self._compute(frames, noise, laps)
        with self.lock:
            for stage, seconds in laps.seconds.items():
                self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
        return stems[:count]

    def _compute(
        self,
        frames: torch.Tensor,
        noise: torch.Tensor,
        ended: Callable[[str], None] = lambda stage: None,
    ) -> torch.Tensor:
        """The way of a batch on its device; ``ended`` is told of each stage."""
        codec = self.backbone.codec
        latents = codec.encode(self._to_images(frames, noise.dtype))
        ended("encode")
        latents = self._invert(latents, noise)
        ended("invert")
        stems = self._to_frames(codec.decode(latents, self.alpha_bar), *frames.shape[1:3])
        ended("decode")
        return stems

    def _invert(self, latents: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        config, schedule, denoiser = self.config, self.backbone.schedule, self.backbone.denoiser
        if config.method == "ddpm":
            if isinstance(schedule, FlowSchedule):
                return inversion.flow(latents, noise, sigma_at(self.alpha_bar))
            return inversion.ddpm(latents, noise, self.alpha_bar)
        steps = schedule.climb(config.num_steps, config.inversion_steps)
        if config.method == "ddim":
            return inversion.ddim(latents, denoiser, steps)
        if config.method == "ddim-renoise":
            return inversion.ddim_renoise(latents, denoiser, steps)
        if config.method == "ddim-fixed-point":
            return inversion.ddim_fixed_point(latents, denoiser, steps)
        warm_steps = max(1, round(WARM_SHARE * config.num_steps))
        return inversion.ddim_warm(latents, noise, denoiser, steps, warm_steps)

    def _network_size(self, height: int, width: int) -> tuple[int, int]:
        if self._resolution is not None:
            height = width = self._resolution
        return round_up(height, self._stride), round_up(width, self._stride)

    @property
    def _resolution(self) -> int | None:
        resolution = self.config.resolution
        return resolution if isinstance(resolution, int) else None

    def _to_images(self, frames: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Turn uint8 [N, H, W, 3] into floats in [-1, 1], channels last, at the network's size."""
        images = frames.permute(0, 3, 1, 2)
        if self._resolution is not None:
            # "nearest" takes the pixel at floor(i * scale), as torchvision's resize does.
            images = F.interpolate(images, (self._resolution,) * 2, mode="nearest")
        images = images.to(dtype).mul_(1 / 127.5).sub_(1)
        height, width = images.shape[2:]
        padded_height, padded_width = self._network_size(*frames.shape[1:3])
        if (padded_height, padded_width) != (height, width):
            padding = (0, padded_width - width, 0, padded_height - height)
            images = F.pad(images, padding, mode="replicate")
        return images.contiguous(memory_format=torch.channels_last)

    def _to_frames(self, images: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Floats in [-1, 1] back to uint8 [N, height, width, 3]."""
        if self._resolution is not None:
            images = images[:, :, : self._resolution, : self._resolution]
            levels = (images / 2 + 0.5).clamp_(0, 1).mul_(255).to(torch.uint8)  # truncates
            frames = F.interpolate(levels, (height, width), mode="nearest")
            return frames.permute(0, 2, 3, 1).contiguous()
        pixels = images[:, :, :height, :width].permute(0, 2, 3, 1)
        # Rounded to nearest: without noise, pixels come back as they were.
        return pixels.mul(127.5).add_(128.0).clamp_(0, 255).to(torch.uint8).contiguous()


def _resolve(config: StemConfig, backbone: Backbone) -> StemConfig:
    """Put ``resolution="model"`` in numbers."""
    if config.resolution != "model":
        return config
    if backbone.image_size is None:
        raise ValueError(
            f"resolution='model' needs the size that backbone {backbone.name!r} was trained at, "
            "which its unet/config.json does not state; give it in pixels, or None for the frame's "
            "own size"
        )
    return config.replace(resolution=backbone.image_size)


def _network_stride(method: str, backbone: Backbone) -> int:
    """The multiple that frames are padded to, so that codec and denoiser can halve them."""
    codec = backbone.codec
    if method == "ddpm":
        return codec.stride
    return math.lcm(codec.stride, codec.latent_stride * backbone.denoiser.stride)


class _Laps:
    """Seconds by stage, from one call to the next."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = {}
        self._device = device
        self._last = _now(device)

    def __call__(self, stage: str) -> None:
        now = _now(self._device)
        self.seconds[stage] = now - self._last
        self._last = now


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # so far its kernels are only queued
    return time.perf_counter()


def _pad_batch(batch: torch.Tensor, size: int) -> torch.Tensor:
    missing = size - len(batch)
    if missing == 0:
        return batch
    return torch.cat([batch, batch.new_zeros(missing, *batch.shape[1:])])


def _as_dtype(dtype: str) -> torch.dtype:
    found = getattr(torch, dtype, None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ValueError(
            f"dtype must be a floating torch dtype such as 'float32', received {dtype!r}"
        )
    return found


def _as_tensor(array: Any) -> torch.Tensor:
    """Return a tensor of an array; torch refuses read-only memory and negative strides."""
    if isinstance(array, torch.Tensor):
        return array
    return torch.as_tensor(np.require(array, requirements=["C", "W"]))


@contextlib.contextmanager
def _torch_threads(threads: int | None) -> Generator[None]:
    """Let PyTorch use so many threads within; the number is the process's, so it is put back."""
    before = torch.get_num_threads()
    wanted = torch_threads(threads, before)
    if wanted == before:
        yield
        return
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)
