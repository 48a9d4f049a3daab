"""What a Minari data set says of itself: its spaces, its env and its name."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stemob_wrappers.config import StemConfig
from stemob_wrappers.stem.frames import FrameLayout, find_layout, named_as_no_colour
from stemob_wrappers.stem.resize import given_layout

MAIN_FILE, METADATA = "data/main_data.hdf5", "data/metadata.json"
JPEG_SIDE = 32  # Minari takes no smaller array for an image that it compresses
WRAPPER = "stemob_wrappers.wrappers.observation:StemObservation"
DATASET_ID = re.compile(r"([-\w]+/)*[-\w]+-v\d+")


class Leaf(NamedTuple):
    """A Box of a space.

    Attributes:
        key: as users write it, ``"images/0"``; empty for a space that is a lone Box.
        path: where its values lie below an episode.
        shape, dtype: of one of them.
        levels: whether it spans uint8 [0, 255], or floats [0, 1].
    """

    key: str
    path: str
    shape: tuple[int, ...]
    dtype: str
    levels: bool

    @property
    def layout(self) -> FrameLayout | None:
        """How RGB frames lie in it, or None where it is no image."""
        return find_layout(self.shape, self.dtype) if self.levels else None

    @property
    def is_compressed(self) -> bool:
        """Whether Minari stores it as JPEG when it is told to compress images."""
        sides = len(self.shape) in (2, 3) and min(self.shape[:2]) >= JPEG_SIDE
        return sides and self.dtype == "uint8" and self.levels


def is_minari(path: Path) -> bool:
    """Whether a folder is a Minari data set, in whatever format.

    Example:
        >>> is_minari(Path("nowhere"))
        False
    """
    metadata = path / METADATA
    return metadata.is_file() and '"minari_version"' in metadata.read_text(errors="replace")


def read_metadata(path: Path) -> dict[str, Any]:
    """Read what a data set says of itself.

    Raises:
        ValueError: it cannot be read, lies in Arrow or Parquet files, or holds stem frames already.
    """
    try:
        metadata = json.loads((path / METADATA).read_text(encoding="utf-8"))
        kind = metadata.get("data_format", "hdf5")
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f"{path / METADATA} cannot be read ({error})") from error
    if kind != "hdf5":
        raise ValueError(
            f"{path} is a Minari data set in {kind} files, and hdf5 is needed; write it again with "
            'data_format="hdf5"'
        )
    if WRAPPER.split(":")[1] in str(metadata.get("env_spec", "")):
        raise ValueError(
            f"{path} was recorded from an env with StemObservation, so it holds stem frames already"
        )
    return metadata


def leaves(metadata: dict[str, Any], name: str) -> list[Leaf]:
    """Return the Boxes of a space.

    Args:
        metadata: of the data set.
        name: ``observation`` or ``action``.

    Raises:
        ValueError: the metadata have no such space.

    Example:
        >>> box = {"type": "Box", "dtype": "uint8", "shape": [2, 2], "low": [[0, 0], [0, 0]],
        ...        "high": [[255, 255], [255, 255]]}
        >>> leaves({"observation_space": json.dumps(box)}, "observation")[0].levels
        True
    """
    try:
        space = json.loads(metadata[f"{name}_space"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"the Minari metadata have no {name}_space ({error!r}); load and save the data set "
            "once with a newer Minari"
        ) from error
    return _leaves(space, (), f"{name}s")


def _leaves(space: dict[str, Any], keys: tuple[str, ...], path: str) -> list[Leaf]:
    found = [
        leaf
        for key, name, child in _children(space)
        for leaf in _leaves(child, (*keys, key), f"{path}/{name}")
    ]
    if space.get("type") == "Box":
        low, high = np.asarray(space["low"]), np.asarray(space["high"])
        top = 255 if space["dtype"] == "uint8" else 1
        levels = bool(np.all(low == 0) and np.all(high == top))
        found.append(Leaf("/".join(keys), path, tuple(space["shape"]), space["dtype"], levels))
    return found


def _children(space: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """What a space consists of: the key of each, its name in the file, and itself."""
    subspaces = space.get("subspaces", {})
    if isinstance(subspaces, list):  # of a Tuple
        return [(str(n), f"_index_{n}", child) for n, child in enumerate(subspaces)]
    return [(key, key, child) for key, child in subspaces.items()]


def given_leaf(leaf: Leaf, config: StemConfig) -> Leaf:
    """Return an image's Box of the stem frames that a config gives back.

    Raises:
        ValueError: its frames are smaller than the config makes them.
    """
    assert leaf.layout is not None, "an image"
    return leaf._replace(shape=given_layout(config, leaf.layout).shape)


def given_space(space: str, images: Iterable[Leaf]) -> str:
    """Return an observation space, as JSON in a text, with the Boxes of images at their shapes.

    Args:
        space: of the metadata.
        images: with their new shapes.
    """
    shapes = {image.path: image.shape for image in images}
    return json.dumps(_reshaped(json.loads(space), "observations", shapes))


def _reshaped(
    space: dict[str, Any], path: str, shapes: dict[str, tuple[int, ...]]
) -> dict[str, Any]:
    inner = [_reshaped(child, f"{path}/{name}", shapes) for _, name, child in _children(space)]
    if inner:
        listed = isinstance(space["subspaces"], list)
        subspaces = inner if listed else dict(zip(space["subspaces"], inner, strict=True))
        return space | {"subspaces": subspaces}
    shape = shapes.get(path)
    if shape is None or shape == tuple(space["shape"]):
        return space
    ends = {name: np.ravel(space[name])[0].item() for name in ("low", "high")}
    filled = {name: np.full(shape, end, space["dtype"]).tolist() for name, end in ends.items()}
    return space | filled | {"shape": list(shape)}


def is_named_otherwise(key: str) -> bool:
    """Whether a part of a key says depth, segmentation, mask, normal or flow."""
    return any(map(named_as_no_colour, key.split("/")))


def new_metadata(
    metadata: dict[str, Any],
    target: Path,
    made_by: dict[str, Any],
    keys: list[str] | None,
    images: Iterable[Leaf],
) -> dict[str, Any]:
    """Return the metadata of a converted data set.

    Its env is recovered with StemObservation around it, which refuses other frames than these.

    Args:
        metadata: of the source.
        target: where the data set will lie; names it if it is a name that Minari takes.
        made_by: the provenance.
        keys: of the images that StemObservation is to touch, or None for all.
        images: the stem frames, at their shapes.
    """
    wrapper = {
        "name": WRAPPER.split(":")[1],
        "entry_point": WRAPPER,
        "kwargs": {
            "config": made_by["config"],
            "keys": keys,
            "expect": made_by["fingerprint"],
        },
    }
    changed: dict[str, Any] = {
        "jpeg_encoding": False,
        "observation_space": given_space(metadata["observation_space"], images),
        "stemob": {"fingerprint": made_by["fingerprint"]},
    }
    for name in ("env_spec", "eval_env_spec"):
        if metadata.get(name):
            spec = json.loads(metadata[name])
            spec["additional_wrappers"] = [*spec.get("additional_wrappers", ()), wrapper]
            changed[name] = json.dumps(spec)
    dataset_id = dataset_id_of(target, metadata.get("dataset_id", ""))
    return metadata | changed | {"dataset_id": dataset_id}


def dataset_id_of(target: Path, before: str) -> str:
    """Name a data set after the folder it lies in, as Minari looks for it there.

    Outside of Minari's own folder it keeps the namespace that it had.

    Example:
        >>> dataset_id_of(Path("lift-stem-v0"), "robots/lift-v0")
        'robots/lift-stem-v0'
    """
    home = os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets"
    try:
        name = target.resolve().relative_to(Path(home).resolve()).as_posix()
    except ValueError:
        namespace = before.rpartition("/")[0]
        name = f"{namespace}/{target.name}" if namespace else target.name
    return name if DATASET_ID.fullmatch(name) else before
