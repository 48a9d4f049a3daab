"""What the page asks: the frames and stem frames of a setting, made in one thread and kept."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.explore.env_player import EnvPlayer
from stemob_wrappers.explore.looks import (
    Distances,
    Look,
    Seen,
    corrupt,
    latent_distance,
    pixel_distance,
)
from stemob_wrappers.explore.recordings import Recordings
from stemob_wrappers.explore.shown import Change, EnvFrame, Picture, RecordedFrame, Shown, Source
from stemob_wrappers.explore.stemmer import Stemmer
from stemob_wrappers.perturb.corruptions import CORRUPTIONS
from stemob_wrappers.perturb.factors import FACTORS
from stemob_wrappers.pictures import read_image

Frame = NDArray[np.uint8]
Kept = TypeVar("Kept")
FRAMES, STEMMERS = 64, 16  # that are kept


class Studio:
    """Makes what is shown. Calls may come from any thread: one thread of its own does the work.

    Only what was named is ever made or read: envs, one data set, pictures that were given to it.

    Args:
        envs: an EnvFrame for each env that may be shown.
        data: a data set that may be shown, or None.

    Raises:
        ValueError, OSError: the data set cannot be read.

    Example:
        >>> with Studio() as studio:
        ...     photo = studio.add_picture(Path("photo.png"), np.zeros((64, 64, 3), np.uint8))
        ...     seen = studio.see(Shown(photo, Change("gamma", 4)))
        >>> len(seen.looks), seen.distances is not None
        (2, True)
    """

    def __init__(self, envs: tuple[EnvFrame, ...] = (), data: Path | None = None) -> None:
        self.envs = {frame.env_id: frame for frame in envs}
        self.recordings = None if data is None else Recordings(data)
        self._pictures: OrderedDict[Picture, Frame] = OrderedDict()
        self._players: dict[tuple[str, bool], EnvPlayer] = {}
        self._frames: OrderedDict[Hashable, Any] = OrderedDict()
        self._stemmers: OrderedDict[Hashable, Any] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, "explorer")

    def __enter__(self) -> Studio:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the envs."""
        self._in_thread(lambda: [player.close() for player in self._players.values()])
        self._thread.shutdown()

    def add_picture(self, path: Path, frame: Frame) -> Picture:
        """Keep a picture, uint8 [H, W, 3]; the last few that were added stay."""
        picture = Picture(path, _digest(frame))
        _keep(self._pictures, picture, lambda: frame, FRAMES)
        return picture

    def open_picture(self, path: Path) -> Picture:
        """Read a picture from a file.

        Raises:
            FileNotFoundError, ValueError: as `pictures.read_image`.
        """
        return self.add_picture(path, read_image(path))

    def factors(self, source: Source | None) -> list[str]:
        """Names of the changes of look that a source can have; of finished pictures if None."""
        scene: list[str] = []
        if isinstance(source, EnvFrame):
            scene = self._in_thread(lambda: self._player(source, False).factors())
        return [*scene, *CORRUPTIONS]

    def see(self, shown: Shown) -> Seen:
        """Make what is shown.

        Raises:
            ValueError, OSError, ImportError: whatever is wrong with it, in words for people.
        """
        return self._in_thread(lambda: self._see(shown))

    def _see(self, shown: Shown) -> Seen:
        stemmer = _keep(
            self._stemmers, shown.config, functools.partial(Stemmer, shown.config), STEMMERS
        )
        frames = [self._frame(shown.source, None)]
        if shown.change is not None:
            frames.append(self._frame(shown.source, shown.change))
        stems = [stemmer(frame) for frame in frames]
        looks = [
            Look(stemmer.sized(frame), stem) for frame, (stem, _) in zip(frames, stems, strict=True)
        ]
        return Seen(
            tuple(looks),
            _distances(stemmer, frames, looks) if len(looks) == 2 else None,
            (shown.config.inversion_steps, shown.config.num_steps),
            stemmer.pipeline.inverter.alpha_bar,
            sum(milliseconds for _, milliseconds in stems) / len(stems),
            stemmer.pipeline.engine,
            tuple(stemmer.notes),
        )

    def _frame(self, source: Source, change: Change | None) -> Frame:
        return _keep(self._frames, (source, change), lambda: self._make(source, change), FRAMES)

    def _make(self, source: Source, change: Change | None) -> Frame:
        if change is not None and change.factor not in FACTORS:
            return corrupt(self._frame(source, None), change.factor, change.severity, change.draw)
        if isinstance(source, EnvFrame):
            player = self._player(source, change is not None)
            return player.frame(seed=source.seed, steps=source.steps, change=change)
        if change is not None:
            raise ValueError(f"{change.factor} changes the scene of an env; this is a picture")
        if isinstance(source, RecordedFrame):
            if self.recordings is None or self.recordings.path != source.path:
                raise ValueError(f"{source.path} was not named when the explorer was started")
            return self.recordings.frame(source.track, source.row)
        if source not in self._pictures:
            raise ValueError(f"{source.path} is no longer kept here; choose it again")
        return self._pictures[source]

    def _player(self, source: EnvFrame, changed: bool) -> EnvPlayer:
        """One env for each look, so that both go on from where they are."""
        if source.env_id not in self.envs:
            raise ValueError(f"{source.env_id} was not named when the explorer was started")
        key = (source.env_id, changed)
        if key not in self._players:
            self._players[key] = EnvPlayer(self.envs[source.env_id])
        return self._players[key]

    def _in_thread(self, work: Callable[[], Kept]) -> Kept:
        return self._thread.submit(work).result()


def _distances(stemmer: Stemmer, frames: list[Frame], looks: list[Look]) -> Distances:
    latents = [stemmer.latents(frame) for frame in frames]
    encoded, decoded = zip(*latents, strict=True)
    return Distances(
        pixel_distance(looks[0].raw, looks[1].raw),
        pixel_distance(looks[0].stem, looks[1].stem),
        latent_distance(encoded),
        latent_distance(decoded),
    )


def _keep(kept: OrderedDict[Any, Kept], key: Hashable, make: Callable[[], Kept], most: int) -> Kept:
    """What is kept under a key, made if it is not; the one that was not asked for longest goes."""
    value = kept.pop(key) if key in kept else make()
    kept[key] = value
    while len(kept) > most:
        kept.popitem(last=False)
    return value


def _digest(frame: Frame) -> str:
    from stemob_wrappers.stem.identity import frame_digest

    return frame_digest(frame).hex()
