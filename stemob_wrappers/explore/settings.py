"""The values of the page's controls, and what they show."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from stemob_wrappers.config import Method, NoisePolicy, StemConfig
from stemob_wrappers.explore.shown import Change, Picture, RecordedFrame, Shown, Source
from stemob_wrappers.explore.studio import Studio

UPLOAD = "A picture"  # among the sources; the others are ids of envs and the data set's name
NOTHING = "Nothing"  # among the factors
OWN_SIZE = "The frame's own"
SIZES = ("84", "128", "256", "512")
LARGE = 512  # pixels a side, from which on an uploaded picture is shrunk unless told otherwise
SHRUNK = "256"


class Settings(NamedTuple):
    """The controls by name, in the order in which the page hands them over."""

    source: str
    picture: Picture | None
    seed: int
    steps: int
    track: str | None
    row: int
    factor: str
    severity: int
    draw: int
    level: int
    backbone: str
    method: Method
    noise: NoisePolicy
    noise_seed: int
    size: str

    def shown(self, studio: Studio, base: StemConfig) -> Shown:
        """What they show.

        Args:
            studio: has the envs, the data set and the pictures.
            base: gives the fields of the config that no control is for.

        Raises:
            ValueError: there is nothing to show yet, or a value that cannot be used.
        """
        source = self.chosen(studio)
        change = None
        if self.factor in studio.factors(source):
            change = Change(self.factor, self.severity, self.draw)
        config = with_size(base, self.size).replace(
            backbone=self.backbone,
            method=self.method,
            inversion_steps=self.level,
            noise=self.noise,
            seed=self.noise_seed,
        )
        return Shown(source, change, config)

    def chosen(self, studio: Studio) -> Source:
        """The source that is chosen; raises ValueError where there is none yet."""
        if self.source in studio.envs:
            return dataclasses.replace(studio.envs[self.source], seed=self.seed, steps=self.steps)
        if self.source != UPLOAD and studio.recordings is not None:
            recordings, track = studio.recordings, str(self.track)
            last = recordings.tracks[track].count - 1 if track in recordings.tracks else self.row
            return RecordedFrame(recordings.path, track, min(self.row, last))
        if self.picture is None:
            raise ValueError("There is no picture yet: choose one on the left.")
        return self.picture


def with_size(config: StemConfig, size: str) -> StemConfig:
    """A config whose frames are inverted at a size, as the control names it.

    Example:
        >>> with_size(StemConfig(), "128").resize, with_size(StemConfig(), OWN_SIZE).resize
        ((128, 128), None)
    """
    if size == size_of(config):
        return config
    if size == OWN_SIZE:
        return config.replace(resize=None, aspect="keep", output="frame")
    return config.replace(resize=(int(size), int(size)), aspect="keep", output="small")


def size_of(config: StemConfig) -> str:
    """What the control calls the size of a config.

    Example:
        >>> size_of(StemConfig(resize=(96, 128)))
        '96x128'
    """
    return OWN_SIZE if config.resize is None else "x".join(map(str, config.resize))
