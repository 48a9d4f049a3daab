"""Frames of the same states under several appearances, rendered or read from folders."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.training.env_frames import render_env

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

    return [path for path in sorted(folder.iterdir()) if path.suffix in IMAGE_SUFFIXES]


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
