"""`stemob demo`: two real envs wrapped in one line each, timed, and drawn as a policy sees them."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from stemob_wrappers.extras import needs

with needs("cli"):
    from rich.console import Console
    from rich.table import Table

from stemob_wrappers.config import StemConfig
from stemob_wrappers.pictures import Image, grid, write_image
from stemob_wrappers.scene.gl import ensure_gl
from stemob_wrappers.stem.pipeline import StemPipeline
from stemob_wrappers.wrappers.observation import StemObservation
from stemob_wrappers.wrappers.rendering import make_rendered

SIZE = 84
LEVELS = (5, 10, 15)  # inversion steps of 50


def run_demo(out: Path, steps: int = 60) -> Path:
    """Step Lift and HalfCheetah on stem frames, print their speed and draw ``out/demo.png``.

    Args:
        out: folder for the picture.
        steps: control steps that are timed per env.

    Returns:
        the picture's path.

    Raises:
        ImportError: robosuite is not installed.
        RuntimeError: no OpenGL backend works here.
    """
    console = Console()
    console.print(f"MUJOCO_GL={ensure_gl()}, {SIZE} px, embedded backbone, one env, no GPU needed")
    table = Table("env", "control steps/s", "ms a step", "of it stem", "stem frames/s")
    rows, labels = [], []
    pipelines = [StemPipeline(StemConfig(inversion_steps=n)) for n in LEVELS]
    for name, env in (
        ("Lift", gym.make("stemob/Lift-v0", size=SIZE, render_mode="rgb_array")),
        ("HalfCheetah", make_rendered("HalfCheetah-v5", size=SIZE)),
    ):
        wrapped = StemObservation(env)
        table.add_row(name, *_time_steps(wrapped, steps))
        for appearance, change in APPEARANCES.items():
            frame = _render_as(env, change)
            rows.append([frame, *(pipeline(frame[None])[0] for pipeline in pipelines)])
            labels.append(f"{name}, {appearance}")
        wrapped.close()
    console.print(table)
    picture = out / "demo.png"
    columns = [
        f"{p.config.inversion_steps} steps, ab={p.inverter.alpha_bar:.2f}" for p in pipelines
    ]
    write_image(picture, grid(rows, labels, ["raw", *columns], cell=2 * SIZE))
    console.print(f"picture: {picture} (ab: the share of signal variance that is left)")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    console.print(f"peak resident memory: {peak:.2f} GiB")
    return picture


def _time_steps(env: StemObservation, steps: int) -> tuple[str, str, str, str]:
    env.reset(seed=0)
    env.action_space.seed(0)
    (stats,) = env.stats.values()
    stem_before, frames_before = sum(stats.seconds.values()), stats.frames
    started = time.perf_counter()
    for _ in range(steps):
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()
    total = time.perf_counter() - started
    stem = sum(stats.seconds.values()) - stem_before
    frames = stats.frames - frames_before
    return (
        f"{steps / total:.0f}",
        f"{1e3 * total / steps:.1f}",
        f"{1e3 * stem / steps:.1f} ({stem / total:.0%})",
        f"{frames / stem:.0f}",
    )


def _render_as(env: gym.Env[Any, Any], change: Callable[[Any], None]) -> Image:
    """Render the env's state with its model changed, and give the model back as it was."""
    model: Any = env.unwrapped.model  # pyright: ignore[reportAttributeAccessIssue]
    fields = [model.light_diffuse, model.light_ambient, model.mat_rgba, model.geom_rgba]
    fields += [model.vis.headlight.diffuse, model.vis.headlight.ambient]
    saved = [field.copy() for field in fields]
    change(model)
    frame: Any = env.render()
    frame = np.array(frame)
    for field, values in zip(fields, saved, strict=True):
        field[:] = values
    return frame


def _clean(model: Any) -> None:
    pass


def _dimmed(model: Any) -> None:
    headlight = model.vis.headlight
    for light in (model.light_diffuse, model.light_ambient, headlight.diffuse, headlight.ambient):
        np.multiply(light, 0.3, out=light)


def _recoloured(model: Any) -> None:
    tint = np.random.default_rng(1)
    for colours in (model.mat_rgba, model.geom_rgba):
        colours[:, :3] *= tint.uniform(0.2, 1.0, (len(colours), 3))


APPEARANCES = {"clean": _clean, "dimmed": _dimmed, "recoloured": _recoloured}
