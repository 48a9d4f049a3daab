"""Scenes of a user's own env, to train a backbone that knows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from stemob_wrappers.perturb.names import SEVERITIES
from stemob_wrappers.perturb.textures import Split
from stemob_wrappers.training.env_frames import render_env
from stemob_wrappers.training.scenes import Scene, render_plans


@dataclass(frozen=True)
class EnvPlan:
    """All that decides the bytes of one scene file; severities go round with the index."""

    env_id: str
    camera: str | None
    seed: int
    index: int
    split: Split
    size: int
    states: int
    appearances: int
    at_work: float = 0.7

    def render(self) -> Scene:
        """Render the env's states under its nominal look, look 0, and under others."""
        frames, points, names = render_env(
            self.env_id,
            states=self.states,
            appearances=self.appearances,
            size=self.size,
            severity=SEVERITIES[self.index % len(SEVERITIES)],
            seed=self.seed * 1_009 + self.index,
            split=self.split,
            camera=self.camera,
            at_work=self.at_work,
        )
        by_state = np.ascontiguousarray(frames.swapaxes(0, 1))
        return Scene(by_state, points.reshape(len(points), -1), {**asdict(self), "points": names})


def render_env_scenes(
    env_id: str,
    out: Path,
    *,
    num_scenes: int,
    cameras: Sequence[str] = (),
    seed: int = 0,
    workers: int = 1,
    size: int = 128,
    states: int = 24,
    appearances: int = 6,
    split: Split = "train",
) -> list[Path]:
    """Render scenes of an env into a folder; those that are there and whole are kept.

    Args:
        env_id: a Gymnasium id with a MuJoCo model beneath.
        out: folder of the files, made if missing.
        num_scenes: how many scenes; every severity of change gets its share.
        cameras: to look through, taken in turn; none for the env's own.
        seed: base seed of all draws.
        workers: processes that render.
        size: side of the square frames in pixels.
        states: layouts a scene.
        appearances: looks a scene; the first is the env's own.
        split: of textures, colours and seeds.

    Raises:
        ValueError: the env has no MuJoCo model, or the folder holds scenes of other settings.

    Example:
        >>> render_env_scenes("HalfCheetah-v5", Path("scenes"), num_scenes=2) # doctest: +SKIP
    """
    looked_through = list(cameras) or [None]
    plans = [
        EnvPlan(
            env_id,
            looked_through[index % len(looked_through)],
            seed,
            index,
            split,
            size,
            states,
            appearances,
        )
        for index in range(num_scenes)
    ]
    return render_plans(plans, out, workers)
