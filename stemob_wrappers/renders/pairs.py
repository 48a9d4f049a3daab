"""The same states under several appearances: rendered from an env, or two folders of images."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.extras import needs

with needs("mujoco"):
    from rich.console import Console
    from rich.progress import track

from stemob_wrappers.renders.stages.layouts import draw_layout, lay_out, positions
from stemob_wrappers.scene.gl import ensure_gl
from stemob_wrappers.splits import Split
from stemob_wrappers.work import whole_file
from stemob_wrappers.wrappers.rendering import make_frames

FACTORS = ("lighting", "texture", "colour", "background")  # what changes no layout
SPLIT: Split = "dev"  # of textures and seeds; results are reported on the other one


@dataclass(frozen=True)
class Pairs:
    """The same states under several appearances.

    Attributes:
        frames: uint8 [A, S, H, W, 3]; appearance 0 is the unchanged one.
        points: float32 [S, P, 3], positions of end effector and objects in m, or None.
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
    split: Split = SPLIT,
    camera: str | None = None,
    manipulating: float = 0.0,
) -> Pairs:
    """Render states of a MuJoCo env, each under its own appearance and under changed ones.

    Args:
        env_id: a Gymnasium id with a MuJoCo model beneath, with or without ``module:`` before it.
        states: how many layouts.
        appearances: how many, the unchanged one included.
        size: side of the frames in pixels.
        severity: of the changes, 1 to 5.
        seed: of layouts and appearances.
        split: of textures, colours and seeds.
        camera: by name; the env's own unless told otherwise.
        manipulating: share of the states in which an arm is at an object, with coloured boxes
            beside it, see `stemob_wrappers.renders.stages.poses`; in the others it strays.

    Raises:
        ValueError: the env has no MuJoCo model, or a count is too small.
        GLError: no OpenGL backend renders here.

    Example:
        >>> render_pairs("InvertedPendulum-v5", states=4, appearances=2, size=16).frames.shape
        (2, 4, 16, 16, 3)
    """
    from stemob_wrappers.perturb import ScenePerturbation
    from stemob_wrappers.scene.simulation import find_simulation

    if states < 4 or appearances < 2:
        raise ValueError(
            f"need at least 4 states and 2 appearances, received {states} and {appearances}"
        )
    ensure_gl()
    env = make_frames(env_id, size, camera, disable_env_checker=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what this env has nothing of is left out
        perturbed = ScenePerturbation(env, list(FACTORS), severity, seed, split=split)
    console = Console(stderr=True)
    try:
        simulation = find_simulation(env)
        layouts = [
            draw_layout(env, simulation, seed * 1_000_003 + index, manipulating)
            for index in track(range(states), "states", transient=True, console=console)
        ]
        names, points = positions(simulation, layouts)
        frames = np.empty((appearances, states, size, size, 3), np.uint8)
        for appearance in range(appearances):
            # The reset draws an appearance, and puts it into the model until the next one.
            perturbed.reset(seed=seed * 1_000_003 + appearance)
            if appearance == 0:
                perturbed.restore()
                simulation.edit = simulation.new_edit()  # carries what stands beside
            edit = simulation.edit
            assert edit is not None, "a reset puts one in force"
            shown = track(layouts, f"appearance {appearance}", transient=True, console=console)
            for index, layout in enumerate(shown):
                lay_out(simulation, layout)
                edit.geoms[:] = layout.beside
                frames[appearance, index] = env.render()
    finally:
        perturbed.close()
    return Pairs(frames, points, names)


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
    with whole_file(path) as temporary:
        save_file(tensors, temporary, metadata={"names": json.dumps(pairs.names)})


def load_pairs(path: Path) -> Pairs:
    """Read what :func:`save_pairs` wrote."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        points = file.get_tensor("points") if "points" in file.keys() else None  # noqa: SIM118
        names = tuple(json.loads((file.metadata() or {})["names"]))
        return Pairs(file.get_tensor("frames"), points, names)
