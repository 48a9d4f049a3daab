"""A Minari data set: the images of every episode become a part, and the rest stays as it is.

What Minari had compressed as JPEG is written plain, in the data set's own ``jpeg_encoding: false``:
JPEG would move stem frames by grey levels.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from stemob_wrappers.config import StemConfig
from stemob_wrappers.extras import needs

with needs("minari"):
    import h5py
    from PIL import Image

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.datasets.hdf5.copy import (
    address,
    copy_attributes,
    copy_tree,
    create_group_like,
    create_like,
)
from stemob_wrappers.datasets.hdf5.write import new_file
from stemob_wrappers.datasets.minari.metadata import (
    MAIN_FILE,
    METADATA,
    Leaf,
    given_leaf,
    is_named_otherwise,
    leaves,
    new_metadata,
    read_metadata,
)
from stemob_wrappers.datasets.plan import target_of
from stemob_wrappers.datasets.stems import CorruptSourceError, Item, Stems, file_stamp
from stemob_wrappers.stem.frames import find_layout
from stemob_wrappers.stem.provenance import write_sidecar

UNREADABLE = (OSError, KeyError, RuntimeError, ValueError)


@dataclass(frozen=True)
class MinariSource:
    """A Minari data set in HDF5 and what of it is converted.

    Args:
        path: the folder that holds ``data``; it is only ever read.
        keys: names of images in the observation space, ``"images/front"``, or None for all.

    Raises:
        ValueError: no image, an unknown key, another format, or stem frames already.
    """

    path: Path
    keys: tuple[str, ...] | None = None

    part_suffix = ".hdf5"
    has_shards = False
    has_lanes = True

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """What the data set says of itself."""
        return read_metadata(self.path)

    @cached_property
    def observed(self) -> list[Leaf]:
        """The Boxes of observations."""
        return leaves(self.metadata, "observation")  # a space of images takes a while to parse

    @cached_property
    def leaves(self) -> list[Leaf]:
        """The Boxes of observations and actions."""
        return self.observed + leaves(self.metadata, "action")

    @cached_property
    def images(self) -> list[Leaf]:
        """The images that become stem frames."""
        found = [leaf for leaf in self.observed if self._why_not(leaf) == ""]
        names = [leaf.key for leaf in found]
        reasons = "".join(f"; {key}: {reason}" for key, reason in self.left_out().items())
        for key in self.keys or ():
            if key not in names:
                raise ValueError(
                    f"{self.path} has no image {key!r} in its observation space; its images are "
                    f"{', '.join(map(repr, names)) or 'none'}{reasons}"
                )
        if not found:
            raise ValueError(
                f"{self.path} has no image to convert in its observation space (Box of uint8, or "
                f"of floats in [0, 1], of shape [H, W, 3]){reasons}"
            )
        return [leaf for leaf in found if self.keys is None or leaf.key in self.keys]

    def items(self) -> list[Item]:
        """A part per episode.

        Raises:
            ValueError: there is none, or other ones than the metadata say.
        """
        with self._opened() as file:
            names = _episodes(file)
        said = self.metadata.get("total_episodes", len(names))
        if not names or len(names) != said or names != [f"episode_{n}" for n in range(len(names))]:
            raise ValueError(
                f"{self.path / MAIN_FILE} holds {len(names)} episodes, but {METADATA} says {said}; "
                "the data set is empty or not whole: copy it again"
            )
        _ = self.images  # some, or an error
        return [Item(f"item_{number}", name) for number, name in enumerate(names)]

    def selection(self) -> dict[str, Any]:
        """What of the source is converted, as JSON values."""
        return {"keys": None if self.keys is None else list(self.keys)}

    def converted(self) -> list[str]:
        """Names of what becomes stem frames, as StemObservation names them."""
        return [leaf.key for leaf in self.images]

    def left_out(self) -> dict[str, str]:
        """Pictures that stay as they are, with the reason."""
        reasons = {leaf.key: self._why_not(leaf) for leaf in self.observed}
        return {key: reason for key, reason in reasons.items() if reason}

    def check_sizes(self, config: StemConfig) -> None:
        """Refuse sizes that cannot be written.

        Raises:
            ValueError: frames are smaller than the config makes them.
        """
        for leaf in self.images:
            given_leaf(leaf, config)

    def given(self, leaf: Leaf, config: StemConfig) -> Leaf:
        """What a Box becomes: another one where its stem frames have another size."""
        return given_leaf(leaf, config) if leaf in self.images else leaf

    def failed(self) -> list[str]:
        """What could not even be looked at: nothing here."""
        return []

    def stamps(self) -> dict[str, str]:
        """Which state of its files the data set is in."""
        return {name: file_stamp(self.path / name) for name in (MAIN_FILE, METADATA)}

    def stamp(self, item: Item, *, content: bool = True) -> str:
        """Of which state of its source an item is; here :meth:`stamps` says it for all."""
        return ""

    def is_whole(self) -> bool:
        """Whether the result has just the episodes of the source: always."""
        return True

    def count(self, item: Item) -> int:
        """Number of frames of an item; 0 where it cannot be read."""
        try:
            with self._opened() as file:
                episode: Any = file[item.source]
                return sum(len(episode[leaf.path]) * _frames(leaf) for leaf in self.images)
        except UNREADABLE:
            return 0

    def convert(
        self, item: Item, stems: Stems, part: Path, advance: Callable[[int], None]
    ) -> list[str]:
        """Write the images of an episode: stem frames, and what is no longer to be JPEG.

        Raises:
            CorruptSourceError: the episode cannot be read.
            OSError: the part cannot be written.
        """
        stems.begin()
        with self._opened() as file, new_file(part) as (target, check):
            for leaf, dataset in self.replaced(file, item).items():
                made = _create(target, leaf, self.given(leaf, stems.config), dataset)
                start = 0
                for rows in self.new_rows(leaf, dataset, item, stems):
                    made[start : start + len(rows)] = rows
                    start += len(rows)
                    check()
                    if leaf in self.images:
                        advance(len(rows) * _frames(leaf))
        return []

    def replaced(self, file: h5py.File, item: Item) -> dict[Leaf, h5py.Dataset]:
        """The data sets of an episode that the result has others in place of.

        Raises:
            CorruptSourceError: one is missing, or has other values than the space says.
        """
        found: dict[Leaf, h5py.Dataset] = {}
        for leaf in self.leaves:
            dataset: Any = file.get(f"{item.source}/{leaf.path}")
            if not isinstance(dataset, h5py.Dataset):
                raise CorruptSourceError(f"{item.source} has no {leaf.path}")
            if leaf in self.images or _is_jpeg(leaf, dataset):
                if dataset.shape[1:] != leaf.shape and not leaf.is_compressed:
                    raise CorruptSourceError(
                        f"{dataset.name} is {dataset.shape}, but its space {leaf.shape}"
                    )
                found[leaf] = dataset
        return found

    def new_rows(
        self, leaf: Leaf, dataset: h5py.Dataset, item: Item, stems: Stems
    ) -> Iterator[NDArray[Any]]:
        """Yield blocks of what an image becomes.

        Raises:
            CorruptSourceError: it cannot be read.
        """
        layout = leaf.layout if leaf in self.images else None
        block = max(1, stems.batch_size // _frames(leaf))
        for start in range(0, len(dataset), block):
            rows = self.rows(leaf, dataset, start, start + block)
            if layout is None:
                yield rows
                continue
            try:
                frames = layout.to_frames(rows)
            except ValueError as error:
                raise CorruptSourceError(f"{dataset.name}: {error}") from error
            names = [f"{leaf.key} {start * layout.count + row}" for row in range(len(frames))]
            yield layout.from_frames(
                stems(frames, item.draw, episode=item.source, rows=names), rows
            )

    def rows(self, leaf: Leaf, dataset: h5py.Dataset, start: int, stop: int) -> NDArray[Any]:
        """Read rows of an image of the source, decoded as Minari decodes them.

        Raises:
            CorruptSourceError: they cannot be read.
        """
        try:
            stored = dataset[start:stop]
            if not _is_jpeg(leaf, dataset):
                return stored
            return np.stack([np.asarray(Image.open(io.BytesIO(row))) for row in stored])
        except UNREADABLE as error:
            raise CorruptSourceError(
                f"{dataset.name} cannot be read at rows {start} to {stop} ({error})"
            ) from error

    def assemble(
        self, target: Path, items: list[Item], parts: Mapping[Item, Path], made_by: dict[str, Any]
    ) -> list[str]:
        """Write the target of the source's untouched data and the parts.

        Raises:
            OSError: an episode could not be converted: Minari numbers them without gaps.
        """
        lacking = [item.source for item in items if item not in parts]
        if lacking:
            raise OSError(
                f"{len(lacking)} of {len(items)} episodes cannot be read, and a Minari data set "
                f"has no gaps; the first is {lacking[0]}"
            )
        (target / MAIN_FILE).parent.mkdir(parents=True, exist_ok=True)
        with self._opened() as source, new_file(target / MAIN_FILE) as (file, check):
            for item in items:
                with h5py.File(parts[item], "r") as part:
                    replaced: Any = {
                        address(dataset): part[leaf.path]
                        for leaf, dataset in self.replaced(source, item).items()
                    }
                    group = create_group_like(source[item.source], file, item.source)
                    copy_tree(source[item.source], group, replaced=replaced)
                check()
            copy_tree(source, file, left_out=_episodes(source))
        everything = self.keys is None and not self.left_out()
        keys = None if everything else self.converted()
        config = StemConfig.from_dict(made_by["config"])
        images = [given_leaf(leaf, config) for leaf in self.images]
        metadata = new_metadata(self.metadata, target_of(target), made_by, keys, images) | {
            "dataset_size": round((target / MAIN_FILE).stat().st_size / 1e6, 1)
        }
        (target / METADATA).write_text(json.dumps(metadata))
        for name in self.copied():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.path / name, target / name)
        write_sidecar(target, made_by)
        return []

    def copied(self) -> list[Path]:
        """The files that are carried over bit for bit, below the folder."""
        files = (path.relative_to(self.path) for path in self.path.rglob("*") if path.is_file())
        return sorted(file for file in files if str(file) not in (MAIN_FILE, METADATA))

    def sample_pairs(
        self, target: Path, most: int = 12
    ) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.uint8]]]:
        """Yield label, frame before and frame after for some of the episodes."""
        items = self.items()
        with self._opened() as before, h5py.File(target / MAIN_FILE, "r") as after:
            for item in items[:: max(1, len(items) * len(self.images) // most)]:
                for leaf in self.images:
                    path, layout = f"{item.source}/{leaf.path}", leaf.layout
                    dataset, made = _dataset(before, path), _dataset(after, path)
                    given = find_layout(made.shape[1:], made.dtype)
                    assert layout is not None, "an image"
                    assert given is not None, "an image, as its source is"
                    raw = layout.to_frames(self.rows(leaf, dataset, 0, 1))[0]
                    yield f"{item.source} {leaf.key}", raw, given.to_frames(made[:1])[0]

    def _why_not(self, leaf: Leaf) -> str | None:
        """Say why a Box is no image: "" if it is one, None if nobody would think so."""
        if leaf.layout is not None:
            if is_named_otherwise(leaf.key) and leaf.key not in (self.keys or ()):
                return "its name speaks of depth, segmentation, mask, normal or flow"
            return ""
        return f"its frames are {leaf.shape}, not RGB" if leaf.is_compressed else None

    def _opened(self) -> Any:
        return h5py.File(self.path / MAIN_FILE, "r")


def _create(target: h5py.File, leaf: Leaf, given: Leaf, dataset: h5py.Dataset) -> h5py.Dataset:
    shape = (len(dataset), *given.shape)
    if not _is_jpeg(leaf, dataset):
        return create_like(dataset, target, leaf.path, shape)
    made = target.create_dataset(  # as Minari writes plain images
        leaf.path,
        shape,
        leaf.dtype,
        chunks=True,
        maxshape=(None, *given.shape),
    )
    copy_attributes(dataset, made)
    return made


def _is_jpeg(leaf: Leaf, dataset: h5py.Dataset) -> bool:
    return leaf.is_compressed and dataset.shape[1:] != leaf.shape


def _frames(leaf: Leaf) -> int:
    return 1 if leaf.layout is None else leaf.layout.count


def _episodes(file: h5py.File) -> list[str]:
    names = [name for name in map(str, file) if name.startswith("episode_")]
    return sorted(names, key=lambda name: int(name.removeprefix("episode_")))


def _dataset(file: h5py.File, path: str) -> h5py.Dataset:
    dataset = file[path]
    assert isinstance(dataset, h5py.Dataset)
    return dataset
