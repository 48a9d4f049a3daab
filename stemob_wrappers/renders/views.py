"""Files of rendered views to train on: which scenes there are, and how a folder is filled.

    python -m stemob_wrappers.renders.views --out DIR --num-scenes 400 --workers 2

Each file holds the G-buffers (`gbuffer`) of the views of one scene. Files that are there and whole
are kept, so that an interrupted run goes on; the bytes do not depend on the number of workers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from stemob_wrappers.extras import needs

with needs("mujoco"):
    import mujoco
    from rich.progress import Progress

from stemob_wrappers.renders.files import default_scenes_dir
from stemob_wrappers.renders.gbuffer import BufferRenderer, Buffers, looking_through
from stemob_wrappers.renders.paint import Painter, add_paint, surfaces
from stemob_wrappers.renders.stages.crowded import STRANGER, crowded_stage
from stemob_wrappers.renders.stages.metaworld import metaworld_stage
from stemob_wrappers.renders.stages.sources import build_stage
from stemob_wrappers.renders.stages.stage import Stage, State, move_to
from stemob_wrappers.scene.gl import ensure_gl
from stemob_wrappers.scene.surfaces import Role
from stemob_wrappers.splits import METAWORLD_SCENES, TRAIN_ROBOTS, TRAIN_TASKS, draw_seed
from stemob_wrappers.work import spawn_pool, whole_file

FORMAT = 2
PATTERN = "views-*.safetensors"
ROLES: tuple[Role, ...] = ("floor", "wall", "table", "object", "robot")  # as files count them
FLAT_FRAME = 6.0  # grey levels: a frame that varies less shows nothing
TRIES = 5  # draws of a state before a flat frame is taken as it is
SCENES_A_WORKER = 10  # robosuite and OpenGL give back little of what a scene takes
SHADOWED = 0.4  # share of views whose lights are rendered with shadows
SOURCES = {"robosuite": 0.35, "metaworld": 0.25, "procedural": 0.35, "gymnasium": 0.05}
VIEWS = {"robosuite": 96, "metaworld": 64, "procedural": 32, "gymnasium": 32}  # a scene
TASKS = {**TRAIN_TASKS, "metaworld": METAWORLD_SCENES}


@dataclass(frozen=True)
class ViewsPlan:
    """All that decides the bytes of one file."""

    seed: int
    index: int
    source: str
    task: str
    robot: str
    size: int
    views: int
    format: int = FORMAT

    @property
    def file_name(self) -> str:
        return f"views-{self.seed}-{self.index:05d}-{self.task}{self.robot}.safetensors"

    def render(self) -> Buffers:
        """Render the views, stacked; with role and surface of each geom.

        Returns:
            what `BufferRenderer.buffers` gives with the views as first axis; role: int8 [G], place
            in `ROLES`, -1 for what is never drawn; surface: int16 [G], geoms that share one look;
            and what `BufferRenderer.appearance` gives, each view painted and lit by a `Painter`.
        """
        rng = np.random.default_rng([self.seed, self.index, 1])
        stage = _stage(self, rng)
        add_paint(stage.spec)
        model = stage.spec.compile()
        data = mujoco.MjData(model)
        geoms = parts(model, stage.visible_groups)  # before strangers are hidden
        renderer = BufferRenderer(model, stage.visible_groups, self.size)
        rows = []
        try:
            for _ in range(self.views):
                state = stage.draw_state(model, data, rng)
                for _ in range(TRIES):  # a camera inside a wall or an object shows nothing
                    with seen(model, data, state):
                        if renderer.nominal(data, state.view.camera).std() > FLAT_FRAME:
                            break
                    state = stage.draw_state(model, data, rng)
                with seen(model, data, state):
                    shadows = bool(rng.random() < SHADOWED)
                    towards = light_directions(rng)
                    row = renderer.buffers(data, state.view.camera, towards, shadows)
                    painter = Painter(model, stage.visible_groups, renderer.upload)
                    drawn = painter.paint("train", draw_seed("train", rng))
                    mujoco.mj_camlight(model, data)
                    rows.append(
                        row
                        | renderer.appearance(data, state.view.camera, drawn["shadows"], row["ids"])
                    )
                    painter.restore()
        finally:
            renderer.close()
        return stacked(rows) | geoms


def plan_views(
    num_scenes: int, *, seed: int = 0, size: int = 128, without: Sequence[str] = ()
) -> list[ViewsPlan]:
    """Decide what each scene is; the first n plans do not depend on how many follow.

    Args:
        num_scenes: how many.
        seed: base seed of all draws.
        size: side of the square frames in pixels.
        without: tasks that are left out, to choose a backbone on.

    Raises:
        ValueError: a count is below 1, or a task is unknown.
    """
    if num_scenes < 1 or size < 1:
        raise ValueError(f"Need num_scenes >= 1 and size >= 1, got {num_scenes} and {size}.")
    if unknown := sorted(set(without).difference(*TASKS.values())):
        raise ValueError(f"Unknown tasks {unknown}; choose from {TASKS}.")
    tasks = {source: [t for t in TASKS[source] if t not in without] for source in SOURCES}
    plans = []
    for index in range(num_scenes):
        rng = np.random.default_rng([seed, index, 0])
        source = str(rng.choice(list(SOURCES), p=list(SOURCES.values())))
        task = str(rng.choice(tasks[source]))
        robot = str(rng.choice(TRAIN_ROBOTS)) if source == "robosuite" else ""
        plans.append(ViewsPlan(seed, index, source, task, robot, size, VIEWS[source]))
    return plans


@contextmanager
def seen(model: mujoco.MjModel, data: mujoco.MjData, state: State) -> Iterator[None]:
    """Put things and the camera where a state has them; the camera goes back afterwards."""
    model.body_pos[:], model.body_quat[:] = state.body_pos, state.body_quat
    with looking_through(model, state.view):
        move_to(model, data, state.qpos)
        yield


def stacked(rows: Sequence[Buffers]) -> Buffers:
    """Views of a model together."""
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def parts(model: mujoco.MjModel, groups: tuple[int, ...]) -> Buffers:
    """What the geoms of a model are: role and surface, see `ViewsPlan.render`."""
    role, surface = np.full(model.ngeom, -1, np.int8), np.full(model.ngeom, -1, np.int16)
    for number, found in enumerate(surfaces(model, groups)):
        geoms = list(found.geoms)
        role[geoms], surface[geoms] = ROLES.index(found.role), number
        # Strangers have no joint to move by, and yet are no part of the table.
        if model.body(model.body_rootid[model.geom_bodyid[geoms[0]]]).name.startswith(STRANGER):
            role[geoms] = ROLES.index("object")
    return {"role": role, "surface": surface}


def _stage(plan: ViewsPlan, rng: np.random.Generator) -> Stage:
    if plan.source == "robosuite":
        return crowded_stage(plan.task, plan.robot, seed=int(rng.integers(2**31)))
    if plan.source == "metaworld":
        return metaworld_stage(plan.task)
    return build_stage(plan.source, plan.task, plan.robot, rng)


def light_directions(rng: np.random.Generator) -> NDArray[np.float64]:
    """Unit vectors towards three lights from above, [3, 3]."""
    azimuth, height = rng.uniform(-np.pi, np.pi, 3), rng.uniform(0.45, 1.4, 3)
    level = np.cos(height)
    directions = [np.cos(azimuth) * level, np.sin(azimuth) * level, np.sin(height)]
    return np.stack(directions, axis=1).astype(np.float64)


class Plan(Protocol):
    """Decides what one file of views holds: a dataclass of plain values, with a source."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def source(self) -> str: ...

    @property
    def file_name(self) -> str: ...

    def render(self) -> Buffers: ...


def write_views(plan: Plan, folder: Path) -> Path:
    """Render a plan into its file; the file appears under its name only when it is whole."""
    path = folder / plan.file_name
    buffers = {k: np.ascontiguousarray(v) for k, v in plan.render().items()}
    settings = json.dumps({**asdict(plan), "source": plan.source}, sort_keys=True)
    with whole_file(path) as temporary:
        save_file(buffers, temporary, metadata={"plan": settings})
    return path


def fill_views(plans: Iterable[Plan], folder: Path, workers: int = 1) -> list[Path]:
    """Render what a folder lacks of the planned files."""
    folder.mkdir(parents=True, exist_ok=True)
    plans = list(plans)
    missing = [plan for plan in plans if not (folder / plan.file_name).exists()]
    if missing:
        ensure_gl()
    with Progress() as progress:
        task = progress.add_task("views", total=len(missing))
        for start in range(0, len(missing), workers * SCENES_A_WORKER):
            with spawn_pool(workers) as pool:
                some = missing[start : start + workers * SCENES_A_WORKER]
                for future in as_completed([pool.submit(write_views, p, folder) for p in some]):
                    future.result()
                    progress.advance(task)
    return [folder / plan.file_name for plan in plans]


def main(arguments: list[str] | None = None) -> None:
    """The command line: ``python -m stemob_wrappers.renders.views``."""
    parser = argparse.ArgumentParser(description="Render views for training a backbone.")
    parser.add_argument("--out", type=Path, default=default_scenes_dir().parent / "views")
    parser.add_argument("--num-scenes", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--without", nargs="*", default=(), help="tasks to choose on, left out")
    given = parser.parse_args(arguments)
    plans = plan_views(given.num_scenes, seed=given.seed, size=given.size, without=given.without)
    paths = fill_views(plans, given.out, given.workers)
    print(f"{len(paths)} files of views in {given.out}")


if __name__ == "__main__":
    main()
