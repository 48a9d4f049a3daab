"""Frames of a user's own env: the same states under its nominal look and under changed ones."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from stemob_wrappers.renders.stages.poses import GRIP_SITE
from stemob_wrappers.scene.gl import ensure_gl
from stemob_wrappers.splits import Split

REACH = 0.25  # m from where a reset leaves the hand; farther off, cameras lose sight of it
TRIES = 20
FACTORS = ("lighting", "texture", "colour", "background")  # what changes a look and no layout


class EnvFrames(NamedTuple):
    """Rendered states of an env.

    Attributes:
        frames: uint8 [A, S, H, W, 3]; appearance 0 is the unchanged one.
        points: float32 [S, P, 3], positions of objects and end effector in m.
        names: what the P points are.
    """

    frames: NDArray[np.uint8]
    points: NDArray[np.float32]
    names: tuple[str, ...]


def render_env(
    env_id: str,
    *,
    states: int,
    appearances: int,
    size: int,
    severity: int,
    seed: int,
    split: Split,
    camera: str | None = None,
    at_work: float = 0.0,
) -> EnvFrames:
    """Render states of a MuJoCo env, each under its own look and under changed ones.

    Args:
        env_id: a Gymnasium id with a MuJoCo model beneath, with or without ``module:`` before it.
        states: how many layouts.
        appearances: how many looks, the unchanged one included.
        size: side of the frames in pixels.
        severity: of the changes, 1 to 5.
        seed: of layouts and looks.
        split: of textures, colours and seeds.
        camera: by name; the env's own unless told otherwise.
        at_work: share of the states in which an arm is at an object, with coloured boxes beside it,
            see `stemob_wrappers.renders.stages.poses`; in the others it strays.

    Raises:
        ValueError: the env has no MuJoCo model, or a count is too small.
        GLError: no OpenGL backend renders here.

    Example:
        >>> settings = {"size": 84, "severity": 3, "seed": 0, "split": "train"}
        >>> settings |= {"states": 4, "appearances": 2}
        >>> render_env("stemob/Lift-v0", **settings).frames.shape # doctest: +SKIP
        (2, 4, 84, 84, 3)
    """
    from stemob_wrappers.perturb import ScenePerturbation
    from stemob_wrappers.scene.simulation import find_simulation

    if states < 4 or appearances < 2:
        raise ValueError(
            f"need at least 4 states and 2 appearances, received {states} and {appearances}"
        )
    ensure_gl()
    env = _make(env_id, size, camera)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what this env has nothing of is left out
        perturbed = ScenePerturbation(env, list(FACTORS), severity, seed, split=split)
    try:
        simulation = find_simulation(env)
        layouts = [
            _draw_layout(env, simulation, seed * 1_000_003 + index, at_work)
            for index in track(range(states), "states", transient=True)
        ]
        names, points = _points(simulation, layouts)
        frames = np.empty((appearances, states, size, size, 3), np.uint8)
        for look in range(appearances):
            # The reset draws a look, and puts it into the model until the next one.
            perturbed.reset(seed=seed * 1_000_003 + look)
            if look == 0:
                perturbed.restore()
                simulation.edit = simulation.new_edit()  # carries what stands beside
            edit = simulation.edit
            assert edit is not None, "a reset puts one in force"
            for index, layout in enumerate(track(layouts, f"look {look}", transient=True)):
                _move_to(simulation, layout)
                edit.geoms[:] = layout.beside
                frames[look, index] = env.render()
    finally:
        perturbed.close()
    return EnvFrames(frames, points, names)


def _make(env_id: str, size: int, camera: str | None) -> gym.Env[Any, Any]:
    """The env with frames of this size from this camera: our ids and MuJoCo's differ in names."""
    ours = env_id.rsplit(":")[-1].startswith("stemob/")
    settings: dict[str, Any] = {"size": size} if ours else {"width": size, "height": size}
    if camera is not None:
        settings |= {"cameras": [camera]} if ours else {"camera_name": camera}
    return gym.make(env_id, render_mode="rgb_array", disable_env_checker=True, **settings)


# --- layouts -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Layout:
    qpos: NDArray[np.float64]
    body_pos: NDArray[np.float64]
    body_quat: NDArray[np.float64]
    beside: list[dict[str, Any]]  # drawn and nothing else, as `SceneEdit.geoms`


def _draw_layout(env: Any, simulation: Any, seed: int, at_work: float) -> _Layout:
    """A reset, then away from it: an arm works or strays, other envs act at random."""
    env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    model, data = simulation.model, simulation.data
    beside: list[dict[str, Any]] = []
    if _site(model, GRIP_SITE) is None:
        env.action_space.seed(seed)
        for _ in range(int(rng.integers(1, 30))):
            env.step(env.action_space.sample())
        qpos = np.array(data.qpos)
    else:
        from stemob_wrappers.renders.stages.poses import bring_to_work, coloured_boxes, stray

        home, site = np.array(data.qpos), _site(model, GRIP_SITE)
        start, qpos = np.array(data.site_xpos[site]), home
        worked = None
        if at_work and rng.random() < at_work:
            beside = coloured_boxes(model, home, rng)
            worked = bring_to_work(model, data, home, rng)
        for _ in range(TRIES if worked is None else 0):
            qpos = stray(model, data, home, rng)
            if np.linalg.norm(data.site_xpos[site] - start) < REACH:
                break
        qpos = qpos if worked is None else worked
    return _Layout(qpos, np.array(model.body_pos), np.array(model.body_quat), beside)


def _move_to(simulation: Any, layout: _Layout) -> None:
    from stemob_wrappers.renders.stages.stage import move_to

    model = simulation.model
    model.body_pos[:], model.body_quat[:] = layout.body_pos, layout.body_quat
    move_to(model, simulation.data, layout.qpos)


def _points(simulation: Any, layouts: list[_Layout]) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Where the end effector and the free objects are; without those, every moving body."""
    model = simulation.model
    site = _site(model, GRIP_SITE)
    free = [int(model.jnt_bodyid[j]) for j in range(model.njnt) if model.jnt_type[j] == 0]
    bodies = (
        free if site is not None else [b for b in range(1, model.nbody) if model.body_dofnum[b]]
    )
    names = (["end effector"] if site is not None else []) + [model.body(b).name for b in bodies]
    points = np.empty((len(layouts), len(names), 3), np.float32)
    for index, layout in enumerate(layouts):
        _move_to(simulation, layout)
        data = simulation.data
        ends = [] if site is None else [data.site_xpos[site]]
        points[index] = [*ends, *(data.xpos[b] for b in bodies)]
    return tuple(names), points


def _site(model: Any, name: str) -> int | None:
    return next((i for i in range(model.nsite) if model.site(i).name == name), None)


SPLIT = "dev"  # of textures and seeds; results are reported on the other one


@dataclass(frozen=True)
class Pairs:
    """The same states, looked at under several appearances.

    Attributes:
        frames: uint8 [A, S, H, W, 3]; appearance 0 is the unchanged one.
        points: float32 [S, P, 3], positions of objects and end effector in m, or None.
        names: what the P points are.
    """

    frames: NDArray[np.uint8]
    points: NDArray[np.float32] | None
    names: tuple[str, ...] = ()


def render_pairs(
    env_id: str,
    *,
    states: int = 600,
    appearances: int = 5,
    size: int = 84,
    severity: int = 3,
    seed: int = 0,
) -> Pairs:
    """Render states of a MuJoCo env, each under its own look and under changed ones.

    Only the "dev" split of textures and seeds is seen, never the one that results are reported on.

    Args:
        env_id: a Gymnasium id with a MuJoCo model beneath, with or without ``module:`` before it.
        states: how many layouts.
        appearances: how many looks, the unchanged one included.
        size: side of the frames in pixels.
        severity: of the changes, 1 to 5.
        seed: of layouts and looks.

    Raises:
        ValueError: the env has no MuJoCo model, or a count is too small.
        GLError: no OpenGL backend renders here.

    Example:
        >>> render_pairs("stemob/Lift-v0", states=4, appearances=2).frames.shape # doctest: +SKIP
        (2, 4, 84, 84, 3)
    """
    return Pairs(
        *render_env(
            env_id,
            states=states,
            appearances=appearances,
            size=size,
            severity=severity,
            seed=seed,
            split=SPLIT,
        )
    )


def read_pairs(clean: Path, perturbed: Path) -> Pairs:
    """Read two folders of images with the same file names, of one size.

    Raises:
        ValueError: a name is in one folder only, there are fewer than four, or the sizes differ.
    """
    from stemob_wrappers.pictures import read_image

    found = [{path.name: path for path in list_images(folder)} for folder in (clean, perturbed)]
    if alone := sorted(set(found[0]) ^ set(found[1])):
        raise ValueError(
            f"{clean} and {perturbed} must hold images of the same names; only one has {alone[:5]}"
        )
    if len(found[0]) < 4:
        raise ValueError(f"need at least 4 pairs of images, {clean} holds {len(found[0])}")
    images = [[read_image(path) for path in paths.values()] for paths in found]
    shapes = {image.shape for row in images for image in row}
    if len(shapes) > 1:
        raise ValueError(f"all images must have one size, found {sorted(shapes)}")
    return Pairs(np.array(images), None)


def list_images(folder: Path) -> list[Path]:
    """Return the image files of a folder by name."""
    from stemob_wrappers.pictures import IMAGE_SUFFIXES

    return [path for path in sorted(folder.iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES]


def save_pairs(pairs: Pairs, path: Path) -> None:
    """Write pairs to one safetensors file."""
    from safetensors.numpy import save_file

    tensors: dict[str, Any] = {"frames": pairs.frames}
    if pairs.points is not None:
        tensors["points"] = pairs.points
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    save_file(tensors, temporary, metadata={"names": json.dumps(pairs.names)})
    temporary.replace(path)


def load_pairs(path: Path) -> Pairs:
    """Read what :func:`save_pairs` wrote."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        points = file.get_tensor("points") if "points" in file.keys() else None  # noqa: SIM118
        names = tuple(json.loads((file.metadata() or {})["names"]))
        return Pairs(file.get_tensor("frames"), points, names)
