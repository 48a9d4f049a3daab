"""What the explorer shows, as plain values: a frame, how its look is changed, and a config."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from stemob_wrappers.config import StemConfig


@dataclass(frozen=True)
class EnvFrame:
    """A frame of an env: reset with a seed, then taken some random steps ahead.

    Attributes:
        env_id: a registered env, with or without ``module:`` before it.
        size: height and width of the frame in pixels.
        camera: name of the camera, or None for the env's own.
        seed: of the reset and of the actions.
        steps: actions taken since.
    """

    env_id: str
    size: int = 84
    camera: str | None = None
    seed: int = 0
    steps: int = 0


@dataclass(frozen=True)
class RecordedFrame:
    """A frame of a data set.

    Attributes:
        path: the data set.
        track: one camera of one episode, as `recordings.Recordings` names it.
        row: number of the frame in it.
    """

    path: Path
    track: str
    row: int = 0


@dataclass(frozen=True)
class Picture:
    """A picture from a file.

    Attributes:
        path: where it lies, or what it was called where it was uploaded from.
        digest: of its content, which tells two uploads of one name apart.
    """

    path: Path
    digest: str = ""


Source = EnvFrame | RecordedFrame | Picture


@dataclass(frozen=True)
class Change:
    """A change of look: of the scene for an env, of the finished picture for everything.

    Attributes:
        factor: a name in `perturb.factors.FACTORS` or `perturb.corruptions.CORRUPTIONS`.
        severity: 1 to 5.
        draw: which of its draws, from 0.
    """

    factor: str
    severity: int = 3
    draw: int = 0


@dataclass(frozen=True)
class Shown:
    """All that decides what the explorer shows.

    Attributes:
        source: where the frame comes from.
        change: how its second look differs, or None for one look alone.
        config: of the stem frames.
    """

    source: Source
    change: Change | None = None
    config: StemConfig = field(default_factory=StemConfig)
