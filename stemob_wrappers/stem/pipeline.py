"""StemPipeline: deduplicate, look in the cache, invert the misses in one call."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.backbones.card import expected_psnr, psnr, warn_if_unknown
from stemob_wrappers.backbones.engines import (
    Engine,
    ForeignGraphError,
    GraphEngine,
    choose_engine,
    default_device,
    let_torch_wait_asleep,
)
from stemob_wrappers.backbones.folder import StemFolder
from stemob_wrappers.cache import CacheLike, as_cache
from stemob_wrappers.config import StemConfig, as_config
from stemob_wrappers.diffusion.noise import draw_noise, noise_key
from stemob_wrappers.stem.frames import as_numpy, check_frames
from stemob_wrappers.stem.identity import fingerprint, frame_digest, identity
from stemob_wrappers.stem.resize import give_back, given_size, make_small, small_size

if TYPE_CHECKING:
    import torch  # PyTorch is imported by whoever needs it: ONNX Runtime runs without

Frames = TypeVar("Frames", NDArray[np.uint8], "torch.Tensor")
CACHE_FORMAT = 1
MOST_EPISODES = 65_536  # whose frames are counted; an episode that was not seen for longest is left
log = logging.getLogger(__name__)


@dataclass
class StemStats:
    """What a pipeline has done so far.

    Attributes:
        frames: frames asked for.
        hits: of them, found in the cache or twice in one batch.
        misses: of them, computed.
        inverter_calls: calls of the inverter, which cuts long batches.
        psnr_db: how well the first computed frames came back, in dB; None before there were any.
        seconds: time by stage: resize, hash, cache, noise, and encode, invert, decode; ONNX Runtime
            and CUDA do these three in one, network.
    """

    frames: int = 0
    hits: int = 0
    misses: int = 0
    inverter_calls: int = 0
    psnr_db: float | None = None
    seconds: dict[str, float] = field(default_factory=dict[str, float])


class StemPipeline:
    """Frames in, stem frames out: the one way of a frame, live or recorded.

    Args:
        config: a StemConfig, its dict, or None for the defaults.
        cache: a FrameCache to share, or the path of a folder to keep frames in; None keeps them in
            memory (or in the folder that STEMOB_CACHE names), False not at all.
        device: where the backbone runs; None takes CUDA where there is some, else the CPU.
        dtype: floating type that it runs in, as torch names it.
        max_batch: the largest batch that is sent to the network, a power of two.
        engine: ``"onnxruntime"`` runs the package's own backbones on a CPU, 84-pixel frames three
            times as fast as ``"torch"``, which runs everything; ``"auto"`` takes the first where it
            can. They agree within one grey level.
        threads: processor threads that it uses; None is what STEMOB_THREADS says, or as many as
            this process has processors, 4 at most.

    Attributes:
        config: the StemConfig.
        engine: the name of the engine that runs it.
        stats: a StemStats.

    Raises:
        ValueError: a bad config, an unknown backbone or method, an engine that cannot run it.
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
        engine: str = "auto",
        threads: int | None = None,
    ) -> None:
        self.config = as_config(config)
        self.device = str(device or default_device())
        self.dtype = str(dtype).removeprefix("torch.")
        self.cache = as_cache(cache)
        self.engine = choose_engine(engine, self.config, self.device, self.dtype)
        sizes: dict[str, Any] = {"threads": threads, "max_batch": max_batch}
        try:
            self.inverter: Engine = self._open(**sizes)
        except ForeignGraphError as error:
            if engine != "auto":
                raise
            warnings.warn(f"PyTorch runs it, at a third of the speed: {error}", stacklevel=2)
            self.engine = "torch"
            self.inverter = self._open(**sizes)
        self.identity = identity(self.inverter.config, self.inverter.digest)
        self.fingerprint = fingerprint(self.identity)
        self.stats = StemStats(seconds=self.inverter.seconds)  # shared: one table for all stages
        log.info(
            "%s, %s at step %d of %d, by %s on %s: fingerprint %s",
            *(self.config.backbone, self.config.method),
            *(self.config.inversion_steps, self.config.num_steps),
            *(self.engine, self.device, self.fingerprint),
        )
        # The dtype is no part of the identity, yet what it rounds must not be taken for another's.
        self._key_prefix = f"{CACHE_FORMAT} {self.fingerprint} torch.{self.dtype} ".encode()
        self._lock = self.inverter.lock  # of the statistics and of the count below
        self._turn = threading.Lock()  # at the network: two calls at once take twice its memory
        self._seen: dict[bytes, int] = {}  # frames by episode: names the draws of "fresh"

    def _open(self, **sizes: Any) -> Engine:
        """Load the backbone into the engine that was chosen."""
        if self.engine == "onnxruntime":
            return GraphEngine(StemFolder.named(self.config.backbone), self.config, **sizes)
        let_torch_wait_asleep()
        from stemob_wrappers.stem.inverter import load_inverter

        return load_inverter(self.config, self.device, self.dtype, **sizes)

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
            uint8 [N, H, W, 3] of the same kind, on the same device; of the size that a config with
            ``output="small"`` makes of it.

        Raises:
            TypeError, ValueError: frames, episodes or noise of another type, shape or length.

        Example:
            >>> import torch
            >>> pipeline = StemPipeline(StemConfig(inversion_steps=0))
            >>> pipeline(torch.zeros(2, 32, 32, 3, dtype=torch.uint8)).dtype
            torch.uint8
        """
        check_frames(frames)
        height, width = frames.shape[1:3]
        started = time.perf_counter()
        small = make_small(self.config, frames)
        if small is not frames:
            self._took("resize", started)
        stems = self._of_small(small, episodes, noise)
        return _like(frames, give_back(self.config, stems, height, width))

    def _of_small(
        self, frames: Any, episodes: Sequence[bytes] | None, noise: torch.Tensor | Any | None
    ) -> Any:
        """Return the stem frames of frames of the size that they are inverted at."""
        if episodes is not None and len(episodes) != len(frames):
            raise ValueError(
                f"episodes must name one key per frame ({len(frames)}), received {len(episodes)}"
            )
        if noise is not None:
            noise = self._check_noise(frames, noise)
            self._count_up(frames=len(frames))
            return self._invert(frames, noise)
        episodes = episodes or [b""] * len(frames)
        policy = self.config.noise
        counts = self._counts_of(episodes) if policy == "fresh" else [0] * len(frames)
        needs_content = policy == "frame" or (policy != "fresh" and self.cache is not None)
        digests = self._digests(frames) if needs_content else [b""] * len(frames)
        keys = [
            noise_key(policy, frame=digest, episode=episode, count=count)
            for digest, episode, count in zip(digests, episodes, counts, strict=True)
        ]
        if not needs_content:
            self._count_up(frames=len(frames))
            return self._invert(frames, self._draw(frames, keys))
        return self._look_up_or_invert(frames, digests, keys)

    def noise_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Shape [C, h, w] of the noise field of a frame of the given size.

        Example:
            >>> StemPipeline().noise_shape(84, 84)
            (28, 22, 22)
        """
        return self.inverter.latent_shape(*small_size(self.config, height, width))

    def given_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the stem frame of a frame of the given size.

        Example:
            >>> config = StemConfig(resize=(96, 96), output="small")
            >>> StemPipeline(config).given_size(480, 640)
            (72, 96)
        """
        return given_size(self.config, height, width)

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
        self.inverter(make_small(self.config, frames), noise)
        self.stats.seconds.clear()
        self.stats.seconds.update(before)

    def _look_up_or_invert(self, frames: Any, digests: list[bytes], noise_keys: list[bytes]) -> Any:
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
        self._count_up(frames=len(frames), hits=len(frames) - len(rows))
        if rows:
            distinct = frames if len(rows) == len(frames) else frames[rows]
            stems = self._invert(distinct, self._draw(frames, [noise_keys[row] for row in rows]))
            if self.cache is None:  # nothing leaves the device
                place = {keys[row]: index for index, row in enumerate(rows)}
                return stems if distinct is frames else stems[[place[key] for key in keys]]
            started = time.perf_counter()
            for row, stem in zip(rows, as_numpy(stems), strict=True):
                self.cache.put(keys[row], stem)
                found[keys[row]] = stem
            self._took("cache", started)
        # A frame that was found is a copy already, which a lone one need not be stacked for.
        return found[keys[0]][None] if len(keys) == 1 else np.stack([found[key] for key in keys])

    def _invert(self, frames: Any, noise: Any) -> Any:
        self._count_up(misses=len(frames), calls=1)
        with self._turn:
            stems = self.inverter(frames, noise)
            if self.stats.psnr_db is None:
                self._check_domain(frames, stems, noise)
        return stems

    def _check_domain(self, frames: Any, stems: Any, noise: Any) -> None:
        """Note how well the first frames came back; warn where the backbone does not know them."""
        stems = self.inverter.faithful(frames, noise, stems)
        found = psnr(as_numpy(frames), as_numpy(stems)).mean()
        self.stats.psnr_db = float(found)
        backbone = self.inverter.backbone
        backbone = backbone.plain or backbone
        if backbone.figures:
            size, level = frames.shape[1], self.inverter.alpha_bar
            expected = expected_psnr(backbone.figures, backbone.schedule, size, level)
            warn_if_unknown(self.stats.psnr_db, expected, backbone.name)

    def _draw(self, frames: Any, keys: list[bytes]) -> Any:
        """The noise fields of keys; frames that share one get it without a copy for each."""
        started = time.perf_counter()
        distinct = list(dict.fromkeys(keys))
        noise: Any = draw_noise(
            self.config.seed, distinct, self.inverter.latent_shape(*frames.shape[1:3])
        )
        if len(distinct) == 1:
            if not isinstance(frames, np.ndarray):
                import torch

                noise = torch.as_tensor(noise, device=frames.device).expand(len(keys), -1, -1, -1)
            else:
                noise = np.broadcast_to(noise, (len(keys), *noise.shape[1:]))
        elif len(distinct) < len(keys):
            noise = noise[[distinct.index(key) for key in keys]]
        self._took("noise", started)
        return noise

    def _digests(self, frames: Any) -> list[bytes]:
        started = time.perf_counter()
        digests = [frame_digest(frame) for frame in as_numpy(frames)]
        self._took("hash", started)
        return digests

    def _cache_key(self, digest: bytes, noise_key: bytes) -> bytes:
        return hashlib.blake2b(self._key_prefix + noise_key + digest, digest_size=16).digest()

    def _check_noise(self, frames: Any, noise: Any) -> Any:
        required = (len(frames), *self.inverter.latent_shape(*frames.shape[1:3]))
        if tuple(noise.shape) != required:
            raise ValueError(
                f"noise must have the latents' shape {required}, received {tuple(noise.shape)}"
            )
        return noise

    def begin(self, episodes: Sequence[bytes]) -> None:
        """Begin episodes: the policy "fresh" draws for each as if it had not been seen before."""
        with self._lock:
            for episode in episodes:
                self._seen.pop(episode, None)

    def _counts_of(self, episodes: Sequence[bytes]) -> list[int]:
        """How many frames of its episode were seen before each frame; two calls share none."""
        counts: list[int] = []
        with self._lock:
            for episode in episodes:
                counts.append(self._seen.pop(episode, 0))
                self._seen[episode] = counts[-1] + 1
            while len(self._seen) > MOST_EPISODES:
                del self._seen[next(iter(self._seen))]
        return counts

    def _count_up(self, frames: int = 0, hits: int = 0, misses: int = 0, calls: int = 0) -> None:
        with self._lock:
            self.stats.frames += frames
            self.stats.hits += hits
            self.stats.misses += misses
            self.stats.inverter_calls += calls

    def _took(self, stage: str, started: float) -> None:
        took = time.perf_counter() - started
        with self._lock:
            self.stats.seconds[stage] = self.stats.seconds.get(stage, 0.0) + took


def _like(frames: Any, stems: Any) -> Any:
    """Return ``stems`` as the same kind, on the same device, as ``frames``."""
    if isinstance(frames, np.ndarray):
        return as_numpy(stems)
    import torch

    # A clone is an ordinary tensor, where inference mode gave one that refuses in-place changes.
    return torch.as_tensor(stems).to(frames.device).clone()
