"""Views of a user's own env: its states as G-buffers, seen through its own cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stemob_wrappers.extras import needs

with needs("mujoco"):
    import mujoco

from stemob_wrappers.renders.gbuffer import BufferRenderer, Buffers
from stemob_wrappers.renders.stages.layouts import draw_layout, lay_out
from stemob_wrappers.renders.stages.poses import grip_site
from stemob_wrappers.renders.views import FORMAT, SHADOWED, light_directions, parts, stacked
from stemob_wrappers.scene.gl import ensure_gl
from stemob_wrappers.scene.simulation import find_simulation
from stemob_wrappers.wrappers.rendering import make_frames

AT_WORK = 0.7  # share of an arm's states with the hand at an object; in the others it strays
VIEWS = 32  # a file


@dataclass(frozen=True)
class EnvViewsPlan:
    """All that decides the bytes of one file."""

    env_id: str
    camera: str | None
    seed: int
    index: int
    size: int
    views: int
    format: int = FORMAT

    @property
    def source(self) -> str:
        return "env"

    @property
    def file_name(self) -> str:
        name = "".join(c if c.isalnum() else "-" for c in f"{self.env_id}{self.camera or ''}")
        return f"views-{self.seed}-{self.index:05d}-{name}.safetensors"

    def render(self) -> Buffers:
        """Render the states, see `views.ViewsPlan.render`.

        Raises:
            ValueError: the env has no MuJoCo model, or no camera of this name.
        """
        ensure_gl()
        env: Any = make_frames(self.env_id, self.size, self.camera)
        rng = np.random.default_rng([self.seed, self.index, 4])
        env.reset(seed=int(rng.integers(2**31)))
        simulation = find_simulation(env)
        model, data = simulation.model, simulation.data
        renderer, rows = BufferRenderer(model, groups(model), self.size), []
        try:
            for _ in range(self.views):
                layout = draw_layout(env, simulation, int(rng.integers(2**31)), AT_WORK)
                if simulation.model is not model:  # a hard reset has built it anew
                    renderer.close()
                    model, data = simulation.model, simulation.data
                    renderer = BufferRenderer(model, groups(model), self.size)
                lay_out(simulation, layout)
                camera = self.camera or default_camera(env, model)
                shadows = bool(rng.random() < SHADOWED)
                rows.append(renderer.buffers(data, camera, light_directions(rng), shadows))
        finally:
            renderer.close()
            env.close()
        return stacked(rows) | parts(model, groups(model))


def plan_env_views(
    env_id: str, num_files: int, *, cameras: Sequence[str] = (), seed: int = 0
) -> list[EnvViewsPlan]:
    """Decide what each file holds; the cameras take turns.

    Args:
        env_id: a Gymnasium id with a MuJoCo model beneath.
        num_files: how many files, of 32 views each.
        cameras: to look through, by name; none for the env's own.
        seed: base seed of all draws.
    """
    turns = list(cameras) or [None]
    return [
        EnvViewsPlan(env_id, turns[index % len(turns)], seed, index, 128, VIEWS)
        for index in range(num_files)
    ]


def groups(model: mujoco.MjModel) -> tuple[int, ...]:
    """The geom groups that are drawn: robosuite keeps what is only for contacts in the first."""
    return (0, 1, 2) if grip_site(model) is None else (1, 2)


def default_camera(env: Any, model: mujoco.MjModel) -> str:
    """The camera that the env shows itself through.

    Raises:
        ValueError: the model has no camera.
    """
    own = getattr(env.unwrapped, "cameras", None)
    if own:
        return str(own[0])
    if model.ncam == 0:
        raise ValueError("the env's model has no camera, and a free one shows no fixed view")
    return str(model.cam(0).name)
