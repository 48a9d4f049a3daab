"""Frames for training a backbone: the same states of many scenes, each under several looks.

A scene is one compiled MuJoCo model. Its states (poses of objects and arm, camera) are rendered
under every appearance, and appearance 0 is the look that the scene came with, so that the files
serve both plain reconstruction and training on pairs. Everything follows from ``(seed, index)``.

    python -m stemob_wrappers.training.scenes --out DIR --num-scenes 220 --workers 2
"""

# pyright: reportAttributeAccessIssue=false
# (MuJoCo ships no complete type stubs.)

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from stemob_wrappers.gl import ensure_gl
from stemob_wrappers.perturb.textures import Split, draw_seed
from stemob_wrappers.training.appearance import Painter, add_paint
from stemob_wrappers.training.sources import (
    HOLDOUT_SCENES,
    TRAIN_ROBOTS,
    TRAIN_TASKS,
    build_stage,
)
from stemob_wrappers.training.stage import State, move_to

FORMAT = 1
DEFAULT_SOURCES = {"robosuite": 0.5, "procedural": 0.35, "gymnasium": 0.15}
FLAT_FRAME = 6.0  # grey levels: a frame that varies less shows nothing


@dataclass(frozen=True)
class ScenePlan:
    """All that decides the bytes of one scene file."""

    seed: int
    index: int
    source: str
    task: str
    robot: str
    split: Split
    size: int
    states: int
    appearances: int
    format: int = FORMAT

    def render(self) -> Scene:
        """Render the scene: see `render_scene`."""
        return render_scene(self)


class Plan(Protocol):
    """Says what one scene file holds: a dataclass of plain values that can render it."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def index(self) -> int: ...

    def render(self) -> Scene: ...


@dataclass(frozen=True)
class Scene:
    """One scene as read from its file.

    Attributes:
        frames: uint8 ``[S, A, H, W, 3]``, RGB: by state and appearance; look 0 is the nominal.
        states: float32 ``[S, D]``: camera (position, quaternion, fovy in degrees), then qpos.
        metadata: the plan's fields, and the seed and textures of each appearance.
    """

    frames: NDArray[np.uint8]
    states: NDArray[np.float32]
    metadata: dict[str, Any]


# --- plans ---------------------------------------------------------------------------------------


def plan_scenes(
    num_scenes: int,
    *,
    seed: int = 0,
    size: int = 128,
    states: int = 24,
    appearances: int = 6,
    sources: Mapping[str, float] | None = None,
    holdout: bool = False,
) -> list[ScenePlan]:
    """Decide what each scene is; the first n plans do not depend on how many follow.

    Args:
        sources: how often each source is drawn, by name; half robosuite unless told otherwise.
        holdout: plan validation scenes instead, of tasks, robots, textures and seeds that are
            never trained on.

    Raises:
        ValueError: a count is below 1, or a source is unknown.
    """
    for name, value in (("num_scenes", num_scenes), ("size", size), ("states", states)):
        if value < 1:
            raise ValueError(f"Need {name} >= 1, got {value}.")
    if appearances < 1:
        raise ValueError(
            f"Need appearances >= 1 (the first is the nominal look), got {appearances}."
        )
    weights = dict(DEFAULT_SOURCES if sources is None else sources)
    if unknown := sorted(set(weights) - set(TRAIN_TASKS)):
        raise ValueError(f"Unknown sources {unknown}; choose from {', '.join(TRAIN_TASKS)}.")
    plans = []
    for index in range(num_scenes):
        rng = np.random.default_rng([seed, index, 0])
        if holdout:
            source, task, robot = HOLDOUT_SCENES[index % len(HOLDOUT_SCENES)]
        else:
            chances = np.array(list(weights.values())) / sum(weights.values())
            source = str(rng.choice(list(weights), p=chances))
            task = str(rng.choice(TRAIN_TASKS[source]))
            robot = str(rng.choice(TRAIN_ROBOTS)) if source == "robosuite" else ""
        split: Split = "dev" if holdout else "train"
        plans.append(ScenePlan(seed, index, source, task, robot, split, size, states, appearances))
    return plans


# --- rendering -----------------------------------------------------------------------------------


def render_scene(plan: ScenePlan) -> Scene:
    """Build the scene of a plan and render all its states under all its appearances."""
    stage = build_stage(
        plan.source, plan.task, plan.robot, np.random.default_rng([plan.seed, plan.index, 1])
    )
    add_paint(stage.spec)
    model = stage.spec.compile()
    data = mujoco.MjData(model)
    state_rng = np.random.default_rng([plan.seed, plan.index, 2])
    look_rng = np.random.default_rng([plan.seed, plan.index, 3])
    # Anti-aliasing is fixed when the render context is made.
    model.vis.quality.offsamples = 4 if look_rng.random() < 0.25 else 0
    model.vis.quality.shadowsize = 1024
    model.vis.global_.offwidth = max(plan.size, model.vis.global_.offwidth)
    model.vis.global_.offheight = max(plan.size, model.vis.global_.offheight)
    options = mujoco.MjvOption()
    options.geomgroup[:] = [group in stage.visible_groups for group in range(6)]
    options.sitegroup[:] = 0

    frames = np.zeros((plan.states, plan.appearances, plan.size, plan.size, 3), dtype=np.uint8)
    looks: list[dict[str, Any]] = [{"seed": None, "textures": [], "shadows": True}]
    renderer = mujoco.Renderer(model, plan.size, plan.size)

    def render(state: State, shadows: bool) -> NDArray[np.uint8]:
        view = state.view
        model.body_pos[:], model.body_quat[:] = state.body_pos, state.body_quat
        camera = model.cam(view.camera)
        nominal = (camera.pos.copy(), camera.quat.copy(), camera.fovy.copy())
        camera.pos[:], camera.quat[:], camera.fovy[:] = view.pos, view.quat, view.fovy
        move_to(model, data, state.qpos)
        renderer.update_scene(data, view.camera, options)
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows
        frame = renderer.render()
        camera.pos[:], camera.quat[:], camera.fovy[:] = nominal
        return frame

    def upload(texture: int) -> None:
        mujoco.mjr_uploadTexture(model, renderer._mjr_context, texture)

    states = []
    try:
        for index in range(plan.states):
            state = stage.draw_state(model, data, state_rng)
            frames[index, 0] = render(state, shadows=True)
            for _ in range(4):  # a camera inside a wall or an object shows nothing: draw again
                if frames[index, 0].std() > FLAT_FRAME:
                    break
                state = stage.draw_state(model, data, state_rng)
                frames[index, 0] = render(state, shadows=True)
            states.append(state)
        painter = Painter(model, stage.visible_groups, upload)
        for look in range(1, plan.appearances):
            looks.append(painter.paint(plan.split, draw_seed(plan.split, look_rng)))
            for index, state in enumerate(states):
                frames[index, look] = render(state, looks[look]["shadows"])
    finally:
        renderer.close()
    vectors = [[*s.view.pos, *s.view.quat, s.view.fovy, *s.qpos] for s in states]
    metadata = {
        **asdict(plan),
        "appearance_list": looks,
        "cameras": [s.view.camera for s in states],
    }
    return Scene(frames, np.array(vectors, dtype=np.float32), metadata)


def scene_path(plan: Plan, folder: Path) -> Path:
    """Where a folder has the scene of a plan."""
    return folder / f"scene-{plan.index:05d}.safetensors"


def write_scene(plan: Plan, folder: Path) -> Path:
    """Render a scene into its file; the file appears under its name only when it is whole."""
    scene = plan.render()
    # One metadata entry, so that the bytes do not depend on the order of a hash map.
    payload = save(
        {"frames": scene.frames, "states": scene.states},
        metadata={"scene": json.dumps(scene.metadata, sort_keys=True)},
    )
    path = scene_path(plan, folder)
    partial = folder / f".{path.name}.{os.getpid()}.partial"
    try:
        partial.write_bytes(payload)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def is_done(plan: Plan, folder: Path) -> bool:
    """Whether the plan's file is there and whole.

    Raises:
        ValueError: the file is whole but was rendered from another plan.
    """
    path = scene_path(plan, folder)
    if not path.exists():
        return False
    try:
        metadata = _read_metadata(path)
    except SafetensorError:
        return False  # cut short: render it again
    found = {name: metadata.get(name) for name in asdict(plan)}
    if found != asdict(plan):
        raise ValueError(
            f"{path} was rendered with other settings: it has {found}, the run asks for"
            f" {asdict(plan)}. Choose another folder or remove the files."
        )
    return True


def render_scenes(
    out: str | Path,
    *,
    num_scenes: int,
    seed: int = 0,
    workers: int = 1,
    size: int = 128,
    states: int = 24,
    appearances: int = 6,
    sources: Mapping[str, float] | None = None,
    holdout: bool = False,
) -> list[Path]:
    """Render scenes into a folder, one safetensors file each.

    Files that are there and whole are kept, so that an interrupted run goes on where it stopped.
    The bytes do not depend on the number of workers.

    Args:
        out: folder of the files, made if missing.
        num_scenes: how many scenes.
        seed: base seed of all draws.
        workers: processes that render.
        size: side of the square frames in pixels.
        states: layouts a scene.
        appearances: looks a scene; the first is the nominal one.
        sources: how often each source is drawn: names of `TRAIN_TASKS` to weights.
        holdout: render validation scenes that share no task, texture or seed with training.

    Returns:
        the paths in order of their index.

    Raises:
        ValueError: a setting is out of range, or the folder holds scenes of other settings.

    Example:
        >>> render_scenes("scenes", num_scenes=2, workers=2)  # doctest: +SKIP
        [PosixPath('scenes/scene-00000.safetensors'), PosixPath('scenes/scene-00001.safetensors')]
    """
    plans = plan_scenes(
        num_scenes,
        seed=seed,
        size=size,
        states=states,
        appearances=appearances,
        sources=sources,
        holdout=holdout,
    )
    return render_plans(plans, Path(out), workers)


def render_plans(plans: Sequence[Plan], folder: Path, workers: int) -> list[Path]:
    """Render what a folder lacks of the planned scenes, each into a file of its own.

    Raises:
        ValueError: the folder holds scenes of other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [plan for plan in plans if not is_done(plan, folder)]
    if missing:
        ensure_gl()
        # A render context does not survive a fork, hence fresh processes.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            min(workers, len(missing)), mp_context=context, initializer=_end_with_parent
        ) as pool:
            futures = [pool.submit(write_scene, plan, folder) for plan in missing]
            try:
                for future in track(as_completed(futures), "Scenes", total=len(futures)):
                    future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return [scene_path(plan, folder) for plan in plans]


def _end_with_parent() -> None:
    """Let a worker end when the process that started it is killed; it would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "runs in workers only"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


# --- reading -------------------------------------------------------------------------------------


def load_scenes(folder: str | Path) -> Iterator[Scene]:
    """The scenes of a folder in order of their index, one in memory at a time.

    Raises:
        ValueError: the folder holds no scene, or a file is damaged.

    Example:
        >>> for scene in load_scenes("scenes"):  # doctest: +SKIP
        ...     nominal, changed = scene.frames[:, 0], scene.frames[:, 1:]
    """
    paths = sorted(Path(folder).glob("scene-*.safetensors"))
    if not paths:
        raise ValueError(
            f"Need a folder of rendered scenes, got {folder} without any: render first."
        )
    return (load_scene(path) for path in paths)


def load_scene(path: str | Path) -> Scene:
    """Read one scene.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        metadata = _read_metadata(path)
        with safe_open(path, framework="numpy") as file:
            return Scene(file.get_tensor("frames"), file.get_tensor("states"), metadata)
    except SafetensorError as error:
        raise ValueError(f"{path} is no whole scene ({error}); render again.") from error


def _read_metadata(path: str | Path) -> dict[str, Any]:
    with safe_open(path, framework="numpy") as file:
        return json.loads((file.metadata() or {}).get("scene", "{}"))


def default_scenes_dir() -> Path:
    """Where scenes are kept: ``$STEMOB_DATA/scenes``, else a folder of the user's cache."""
    if root := os.environ.get("STEMOB_DATA"):
        return Path(root) / "scenes"
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "stemob_wrappers" / "scenes"


def main(arguments: list[str] | None = None) -> None:
    """The command line: ``python -m stemob_wrappers.training.scenes``."""
    parser = argparse.ArgumentParser(description="Render frames for training a backbone.")
    parser.add_argument("--out", type=Path, default=default_scenes_dir())
    parser.add_argument("--num-scenes", type=int, default=220)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--states", type=int, default=24)
    parser.add_argument("--appearances", type=int, default=6)
    parser.add_argument("--holdout", action="store_true", help="validation scenes instead")
    options = vars(parser.parse_args(arguments))
    paths = render_scenes(options.pop("out"), **options)
    print(f"{len(paths)} scenes in {paths[0].parent}")


if __name__ == "__main__":
    main()
