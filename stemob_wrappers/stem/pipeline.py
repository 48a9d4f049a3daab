"""StemPipeline: deduplicate, look in the cache, invert the misses in one call."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from stemob_wrappers.backbones.card import expected_psnr, psnr, warn_if_unknown
from stemob_wrappers.backbones.load import load_backbone
from stemob_wrappers.cache import CacheLike, as_cache
from stemob_wrappers.config import StemConfig, as_config
from stemob_wrappers.diffusion.noise import draw_noise, noise_key
from stemob_wrappers.stem.frames import check_frames
from stemob_wrappers.stem.identity import fingerprint, frame_digest, identity
from stemob_wrappers.stem.inverter import FrameInverter

Frames = TypeVar("Frames", NDArray[np.uint8], torch.Tensor)
CACHE_FORMAT = 1


@dataclass
class StemStats:
    """What a pipeline has done so far.

    Attributes:
        frames: frames asked for.
        hits: of them, found in the cache or twice in one batch.
        misses: of them, computed.
        inverter_calls: calls of the inverter, which cuts long batches.
        psnr_db: how well the first computed frames came back, in dB; None before there were any.
        seconds: time by stage: hash, cache, noise, encode, invert, decode.
    """

    frames: int = 0
    hits: int = 0
    misses: int = 0
    inverter_calls: int = 0
    psnr_db: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)


class StemPipeline:
    """Frames in, stem frames out: the one way of a frame, live or recorded.

    Args:
        config: a StemConfig, its dict, or None for the defaults.
        cache: a FrameCache to share, or the path of a folder to keep frames in; None keeps them in
            memory (or in the folder that STEMOB_CACHE names), False not at all.
        device: where the backbone runs; None takes CUDA where there is some, else the CPU.
        dtype: floating type that it runs in, as torch names it.
        max_batch: the largest batch that is sent to the network, a power of two.

    Attributes:
        config: the StemConfig.
        stats: a StemStats.

    Raises:
        ValueError: a bad config, an unknown backbone or method.
        OSError: weights that are missing or corrupt.

    Example:
        >>> pipeline = StemPipeline(StemConfig(inversion_steps=5))
        >>> pipeline(np.zeros((2, 84, 84, 3), np.uint8)).shape
        (2, 84, 84, 3)
    """

    def __init__(
        self,
        config: StemConfig | dict[str, Any] | None = None,
        cache: CacheLike = None,
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "float32",
        max_batch: int = 64,
    ) -> None:
        self.config = as_config(config)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.dtype = _as_dtype(dtype)
        self.cache = as_cache(cache)
        backbone = load_backbone(
            self.config.backbone,
            codec=self.config.codec,
            revision=self.config.revision,
            denoiser=self.config.method != "ddpm",
            device=str(self.device),
            dtype=self.dtype,
        )
        self.inverter = FrameInverter(backbone, self.config, max_batch=max_batch)
        self.identity = identity(self.inverter.config, backbone.digest)
        self.fingerprint = fingerprint(self.identity)
        self.stats = StemStats(seconds=self.inverter.seconds)  # shared: one table for all stages
        self._lock = self.inverter.lock  # of the statistics and of the count below
        self._count = 0  # frames seen, which names the draws of the policy "fresh"

    def __call__(
        self,
        frames: Frames,
        *,
        episodes: Sequence[bytes] | None = None,
        noise: torch.Tensor | NDArray[np.float32] | None = None,
    ) -> Frames:
        """Return the stem frames of a batch of frames of one size.

        Args:
            frames: uint8 [N, H, W, 3], RGB, numpy or torch.
            episodes: one key per frame that names its episode, for the noise policy ``"episode"``;
                None puts all frames into one episode.
            noise: float [N, C, h, w], the noise fields to use in place of the policy's (shape: see
                :meth:`noise_shape`); such frames are neither looked up nor stored.

        Returns:
            uint8 [N, H, W, 3] of the same kind, on the same device.

        Raises:
            TypeError, ValueError: frames, episodes or noise of another type, shape or length.

        Example:
            >>> pipeline = StemPipeline(StemConfig(inversion_steps=0))
            >>> pipeline(torch.zeros(2, 32, 32, 3, dtype=torch.uint8)).dtype
            torch.uint8
        """
        check_frames(frames)
        if episodes is not None and len(episodes) != len(frames):
            raise ValueError(
                f"episodes must name one key per frame ({len(frames)}), received {len(episodes)}"
            )
        if noise is not None:
            noise = self._check_noise(frames, noise)
            self._count_up(frames=len(frames))
            return _like(frames, self._invert(frames, noise))
        with self._lock:  # two calls never share a draw
            first_count = self._count
            self._count += len(frames)
        self._count_up(frames=len(frames))
        policy = self.config.noise
        needs_content = policy == "frame" or (policy != "fresh" and self.cache is not None)
        digests = self._digests(frames) if needs_content else [b""] * len(frames)
        keys = [
            noise_key(policy, frame=digest, episode=episode, count=first_count + row)
            for row, (digest, episode) in enumerate(
                zip(digests, episodes or [b""] * len(frames), strict=True)
            )
        ]
        if not needs_content:
            return _like(frames, self._invert(frames, self._draw(frames, keys)))
        return _like(frames, self._look_up_or_invert(frames, digests, keys))

    def noise_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Shape [C, h, w] of the noise field of a frame of the given size.

        Example:
            >>> StemPipeline().noise_shape(84, 84)
            (28, 22, 22)
        """
        return self.inverter.latent_shape(height, width)

    def warmup(self, shape: tuple[int, ...]) -> None:
        """Run a batch of black frames, so that the first real ones meet no set-up cost.

        Args:
            shape: (H, W), (H, W, 3) or (N, H, W, 3); statistics and cache are left alone.

        Raises:
            ValueError: a shape of another form.

        Example:
            >>> StemPipeline().warmup((84, 84))
        """
        shape = (*shape, 3) if len(shape) == 2 else tuple(shape)
        shape = (1, *shape) if len(shape) == 3 else shape
        frames = np.zeros(shape, np.uint8)
        check_frames(frames)
        before = dict(self.stats.seconds)
        noise = np.zeros((len(frames), *self.noise_shape(*shape[1:3])), np.float32)
        self.inverter(torch.from_numpy(frames).to(self.device), self._to_device(noise))
        self.stats.seconds.clear()
        self.stats.seconds.update(before)

    def _look_up_or_invert(
        self, frames: Any, digests: list[bytes], noise_keys: list[bytes]
    ) -> torch.Tensor | NDArray[np.uint8]:
        """Take what the cache holds and compute the rest in one call, each distinct frame once."""
        started = time.perf_counter()
        keys = [self._cache_key(*pair) for pair in zip(digests, noise_keys, strict=True)]
        first_rows: dict[bytes, int] = {}
        for row, key in enumerate(keys):
            first_rows.setdefault(key, row)
        found: dict[bytes, Any] = {}
        if self.cache is not None:
            for key in first_rows:
                if (stem := self.cache.get(key)) is not None:
                    found[key] = stem
            self._took("cache", started)
        rows = [row for key, row in first_rows.items() if key not in found]
        self._count_up(hits=len(frames) - len(rows))
        if rows:
            distinct = frames if len(rows) == len(frames) else frames[rows]
            stems = self._invert(distinct, self._draw(frames, [noise_keys[row] for row in rows]))
            if self.cache is None:  # nothing leaves the device
                place = {keys[row]: index for index, row in enumerate(rows)}
                return stems if distinct is frames else stems[[place[key] for key in keys]]
            started = time.perf_counter()
            for row, stem in zip(rows, stems.numpy(force=True), strict=True):
                self.cache.put(keys[row], stem)
                found[keys[row]] = stem
            self._took("cache", started)
        return np.stack([found[key] for key in keys])

    def _invert(self, frames: Any, noise: torch.Tensor) -> torch.Tensor:
        self._count_up(inverter_calls=1, misses=len(frames))
        frames = _as_tensor(frames)
        stems = self.inverter(frames.to(self.device), noise)
        if self.stats.psnr_db is None:
            self._check_domain(frames, stems, noise)
        return stems

    def _check_domain(self, frames: torch.Tensor, stems: torch.Tensor, noise: torch.Tensor) -> None:
        """Note how well the first frames came back; warn where the backbone does not know them."""
        backbone = self.inverter.backbone
        if backbone.plain is not None:  # a canonical frame differs from its own on purpose
            backbone = dataclasses.replace(backbone.plain, denoiser=backbone.denoiser)
            stems = FrameInverter(backbone, self.config)(frames.to(self.device), noise)
        found = psnr(frames.numpy(force=True), stems.numpy(force=True)).mean()
        self.stats.psnr_db = float(found)
        if backbone.figures:
            size, level = frames.shape[1], self.inverter.alpha_bar
            expected = expected_psnr(backbone.figures, backbone.schedule, size, level)
            warn_if_unknown(self.stats.psnr_db, expected, backbone.name)

    def _draw(self, frames: Any, keys: list[bytes]) -> torch.Tensor:
        started = time.perf_counter()
        noise = draw_noise(self.config.seed, keys, self.noise_shape(*frames.shape[1:3]))
        self._took("noise", started)
        return self._to_device(noise)

    def _digests(self, frames: Any) -> list[bytes]:
        started = time.perf_counter()
        host = frames if isinstance(frames, np.ndarray) else frames.numpy(force=True)
        digests = [frame_digest(frame) for frame in host]
        self._took("hash", started)
        return digests

    def _cache_key(self, digest: bytes, noise_key: bytes) -> bytes:
        # The dtype is no part of the identity, yet what it rounds must not be taken for another's.
        text = f"{CACHE_FORMAT} {self.fingerprint} {self.dtype} ".encode() + noise_key + digest
        return hashlib.blake2b(text, digest_size=16).digest()

    def _check_noise(self, frames: Any, noise: Any) -> torch.Tensor:
        required = (len(frames), *self.noise_shape(*frames.shape[1:3]))
        if tuple(noise.shape) != required:
            raise ValueError(
                f"noise must have the latents' shape {required}, received {tuple(noise.shape)}"
            )
        return self._to_device(noise)

    def _to_device(self, noise: torch.Tensor | NDArray[np.float32]) -> torch.Tensor:
        return _as_tensor(noise).to(self.device, self.dtype)

    def _count_up(self, **counts: int) -> None:
        with self._lock:
            for name, count in counts.items():
                setattr(self.stats, name, getattr(self.stats, name) + count)

    def _took(self, stage: str, started: float) -> None:
        took = time.perf_counter() - started
        with self._lock:
            self.stats.seconds[stage] = self.stats.seconds.get(stage, 0.0) + took


def _as_dtype(dtype: str | torch.dtype) -> torch.dtype:
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ValueError(
            f"dtype must be a floating torch dtype such as 'float32', received {dtype!r}"
        )
    return found


def _as_tensor(array: Any) -> torch.Tensor:
    """Return a tensor of an array; torch refuses read-only memory and negative strides."""
    if isinstance(array, np.ndarray):
        return torch.from_numpy(np.require(array, requirements=["C", "W"]))
    return array


def _like(frames: Any, stems: Any) -> Any:
    """Return ``stems`` as the same kind, on the same device, as ``frames``."""
    if isinstance(frames, np.ndarray):
        return stems if isinstance(stems, np.ndarray) else stems.numpy(force=True)
    # A clone is an ordinary tensor, where inference mode gave one that refuses in-place changes.
    return torch.as_tensor(stems).to(frames.device).clone()
