"""One safetensors file a scene: where it lies, how it is written and read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from stemob_wrappers.renders.plans import ScenePlan
from stemob_wrappers.work import whole_file


@dataclass(frozen=True)
class Scene:
    """One scene as read from its file.

    Attributes:
        frames: uint8 ``[S, A, H, W, 3]``, RGB: by state and appearance; appearance 0 is the
            nominal one.
        states: float32 ``[S, D]``: camera (position, quaternion, fovy in degrees), then qpos; of an
            env the positions of hand and objects in m.
        metadata: the plan's fields and what was drawn.
    """

    frames: NDArray[np.uint8]
    states: NDArray[np.float32]
    metadata: dict[str, Any]


def scene_path(plan: ScenePlan, folder: Path) -> Path:
    """Where a folder has the scene of a plan.

    Example:
        >>> from stemob_wrappers.renders.plans import plan_scenes
        >>> scene_path(plan_scenes(1)[0], Path("scenes")).name
        'scene-00000.safetensors'
    """
    return folder / f"scene-{plan.index:05d}.safetensors"


def write_scene(scene: Scene, path: Path) -> None:
    """Write a scene's file whole or not at all.

    Example:
        >>> scene = Scene(np.zeros((2, 3, 8, 8, 3), np.uint8), np.zeros((2, 9), np.float32), {})
        >>> write_scene(scene, Path("scenes/scene-00000.safetensors"))
        >>> load_scene("scenes/scene-00000.safetensors").frames.shape
        (2, 3, 8, 8, 3)
    """
    # One metadata entry, so that the bytes do not depend on the order of a hash map.
    payload = save(
        {"frames": scene.frames, "states": scene.states},
        metadata={"scene": json.dumps(scene.metadata, sort_keys=True)},
    )
    with whole_file(path) as temporary:
        temporary.write_bytes(payload)


def is_done(plan: ScenePlan, folder: Path) -> bool:
    """Whether the plan's file is there and whole.

    Raises:
        ValueError: the file is whole, but of another plan or of another format.
    """
    path = scene_path(plan, folder)
    if not path.exists():
        return False
    try:
        found = _read_metadata(path)
    except SafetensorError:
        return False  # cut short: render it again
    advice = f"choose another folder, or remove the scenes in {folder}"
    if found.get("format") != plan.format:
        raise ValueError(
            f"{path} was drawn by code of format {found.get('format', 'unknown')}, this version "
            f"draws format {plan.format}, which looks different: {advice}"
        )
    wanted = asdict(plan)
    if other := {name: found.get(name) for name in wanted if found.get(name) != wanted[name]}:
        raise ValueError(
            f"{path} was rendered with other settings: it has {other}, the run asks for "
            f"{ {name: wanted[name] for name in other} }; {advice}"
        )
    return True


def load_scenes(folder: str | Path) -> Iterator[Scene]:
    """The scenes of a folder in order of their index, one in memory at a time.

    Raises:
        ValueError: the folder holds no scene, or a file is damaged.

    Example:
        >>> still = Scene(np.zeros((2, 3, 8, 8, 3), np.uint8), np.zeros((2, 9), np.float32), {})
        >>> write_scene(still, Path("scenes/scene-00000.safetensors"))
        >>> for scene in load_scenes("scenes"):
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
