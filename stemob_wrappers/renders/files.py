"""One safetensors file a scene: where it lies, how it is written and read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save


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
