"""Blocks of recorded frames through one pipeline per noise draw."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.cache import CacheLike, as_cache
from stemob_wrappers.config import StemConfig
from stemob_wrappers.diffusion.noise import draw_noise
from stemob_wrappers.stem.frames import FrameLayout
from stemob_wrappers.stem.pipeline import StemPipeline
from stemob_wrappers.stem.resize import given_layout
from stemob_wrappers.work import file_digest

SMALL_FILE = 2**20  # bytes: files up to this are known by their content, too


class CorruptSourceError(OSError):
    """A trajectory, or a picture, that cannot be converted; the rest can."""


@dataclass(frozen=True)
class Item:
    """A unit of work: one draw of one trajectory, or of one group of files.

    Attributes:
        name: of the result.
        source: name in the source.
        draw: which noise draw; draw d uses the config's seed + d.
    """

    name: str
    source: str
    draw: int = 0


def file_stamp(path: Path, *, content: bool = True) -> str:
    """Say which state of a file this is: its size, its time and, of a small one, its content.

    One without ``content`` is how one with it begins.

    Raises:
        OSError: it cannot be read.
    """
    status = path.stat()
    digest = file_digest(path) if content and status.st_size <= SMALL_FILE else ""
    return f"{status.st_size} bytes, changed {status.st_mtime_ns} {digest}"


class Stems:
    """The pipelines of all draws, which share backbone and cache.

    Args:
        config: what decides the frames of draw 0.
        draws: how many there are.
        cache: a FrameCache, its folder, or None for memory; of a FrameCache only the folder and
            the budgets are used.
        device, dtype: where and in what precision the backbone runs.
        batch_size: frames that are sent to the network at once, rounded up to a power of two.

    Example:
        >>> stems = Stems(StemConfig(), draws=2)
        >>> stems.pipelines[1].config.seed
        1
    """

    def __init__(
        self,
        config: StemConfig,
        *,
        draws: int = 1,
        cache: CacheLike = None,
        device: str | None = None,
        dtype: str = "float32",
        batch_size: int = 64,
    ) -> None:
        self.batch_size = max(2, 1 << (batch_size - 1).bit_length())
        given = as_cache(cache)
        # A memory of our own over the same folder: it is emptied before every item.
        self.cache = None if given is None else copy.copy(given)
        shared: Any = False if self.cache is None else self.cache
        self.pipelines = [
            StemPipeline(
                config.replace(seed=config.seed + draw),
                shared,
                device=device,
                dtype=dtype,
            )
            for draw in range(draws)
        ]

    def begin(self) -> None:
        """Forget the frames of the last item, so that batches depend on the item alone.

        The order of work, and so workers, shards and resumed runs, then cannot change a byte.
        """
        if self.cache is not None:
            self.cache.clear()

    def beside(self) -> Stems:
        """Return the same pipelines with a memory of its own, for a thread beside this one."""
        twin = copy.copy(self)
        twin.cache = copy.copy(self.cache)
        twin.pipelines = [copy.copy(pipeline) for pipeline in self.pipelines]
        for pipeline in twin.pipelines:
            pipeline.cache = twin.cache
        return twin

    @property
    def config(self) -> StemConfig:
        """What decides the frames of draw 0."""
        return self.pipelines[0].config

    def given(self, layout: FrameLayout) -> FrameLayout:
        """How the stem frames of frames lie in an array.

        Raises:
            CorruptSourceError: they are smaller than the config makes them.
        """
        try:
            return given_layout(self.config, layout)
        except ValueError as error:
            raise CorruptSourceError(str(error)) from error

    def __call__(
        self, frames: NDArray[np.uint8], draw: int, *, episode: str, rows: list[str]
    ) -> NDArray[np.uint8]:
        """Return the stem frames of uint8 [N, H, W, 3].

        They are smaller under a config with ``output="small"``.

        Args:
            draw: which draw.
            episode: names the trajectory, for the noise policy ``"episode"``.
            rows: one name per frame within the episode, for the policy ``"fresh"``: recorded frames
                get a field each that does not depend on what was converted before.

        Raises:
            CorruptSourceError: frames that are smaller than the config makes them.
        """
        try:
            self.given(FrameLayout(frames.shape[1], frames.shape[2]))
        except CorruptSourceError as error:
            raise CorruptSourceError(f"{rows[0]}: {error}") from error
        pipeline = self.pipelines[draw]
        if pipeline.config.noise == "fresh":
            keys = [_bytes(f"fresh {episode} {row}") for row in rows]
            shape = pipeline.noise_shape(*frames.shape[1:3])
            return pipeline(frames, noise=draw_noise(pipeline.config.seed, keys, shape))
        return pipeline(frames, episodes=[_bytes(episode)] * len(frames))


def _bytes(name: str) -> bytes:
    return name.encode(errors="surrogateescape")  # names of files need not be UTF-8
