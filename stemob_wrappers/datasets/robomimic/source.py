"""robomimic and MimicGen HDF5: ``data/demo_N/obs/<image>`` of shape [T, H, W, 3].

Every trajectory's stem frames are first written to a file of their own, a *part*; the target is
then assembled from the source and the parts by copying raw chunks. So a run that was cut short
goes on with the parts that it finds, and workers and shards are no special case.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.config import StemConfig
from stemob_wrappers.extras import needs

with needs("datasets"):
    import h5py

from stemob_wrappers.datasets.hdf5.copy import (
    address,
    copy_tree,
    create_group_like,
    create_like,
)
from stemob_wrappers.datasets.hdf5.outside import outside_files
from stemob_wrappers.datasets.hdf5.write import new_file
from stemob_wrappers.datasets.robomimic.images import (
    UNREADABLE,
    DemoImages,
    find_demo_images,
    invert_block,
    key_of,
    read_rows,
    same_frames,
)
from stemob_wrappers.datasets.robomimic.survey import Survey, survey_demos
from stemob_wrappers.datasets.stems import CorruptSourceError, Item, Stems, file_stamp
from stemob_wrappers.made_by import open_hdf5
from stemob_wrappers.stem.frames import FrameLayout, find_layout
from stemob_wrappers.stem.provenance import write_attributes

SOURCE_ATTRIBUTE = "stemob_source"  # on an extra demo: which one it was made from
DRAW_ATTRIBUTE = "stemob_draw"


@dataclass(frozen=True)
class RobomimicSource:
    """A robomimic file and what of it is to be converted.

    Args:
        path: the file; it is only ever read.
        keys: names below ``obs``, or None for every image.
        filter_key: name of a mask that lists the demos to take, or None.
        num_trajs: take the first so many of them, or None for all.
        draws: noise draws a frame; those after the first become extra demos.

    Raises:
        OSError: no HDF5 file.
        ValueError: no robomimic file, or an unknown filter key or image.

    Example:
        >>> with h5py.File("demo.hdf5", "w") as file:
        ...     file["data/demo_0/obs/front"] = np.zeros((5, 84, 84, 3), np.uint8)
        >>> RobomimicSource(Path("demo.hdf5")).items()
        [Item(name='demo_0', source='demo_0', draw=0)]
    """

    path: Path
    keys: Sequence[str] | None = None
    filter_key: str | None = None
    num_trajs: int | None = None
    draws: int = 1

    part_suffix = ".hdf5"
    has_shards = True
    has_lanes = True

    def items(self) -> list[Item]:
        """The demos of the result: those of the source first, then those of the other draws."""
        with self._opened() as file:
            demos = self._selected(file)
            last = max(map(demo_number, demo_names(file)))
        self._check_keys()
        first = [Item(demo, demo) for demo in demos]
        more = [
            Item(f"demo_{last + 1 + (draw - 1) * len(demos) + rank}", demo, draw)
            for draw in range(1, self.draws)
            for rank, demo in enumerate(demos)
        ]
        return first + more

    def selection(self) -> dict[str, Any]:
        """What of the source is converted, as JSON values."""
        return {
            "keys": None if self.keys is None else list(self.keys),
            "filter_key": self.filter_key,
            "num_trajs": self.num_trajs,
        }

    def converted(self) -> list[str]:
        """Names below ``obs`` of what becomes stem frames."""
        return sorted(self._survey.converted)

    def left_out(self) -> dict[str, str]:
        """What looks like pictures and is left as it is, with the reason."""
        return self._survey.left_out

    def check_sizes(self, config: StemConfig) -> None:
        """Refuse sizes that cannot be written: HDF5 takes them all."""

    def failed(self) -> list[str]:
        """What could not even be looked at: nothing here, a demo fails as an item."""
        return []

    def stamps(self) -> dict[str, str]:
        """Size, time and, of small ones, digest of every file that images come from."""
        return {str(path): file_stamp(path) for path in (self.path, *self._survey.other_files)}

    def stamp(self, item: Item, *, content: bool = True) -> str:
        """Of which state of its source an item is; here :meth:`stamps` says it for all."""
        return ""

    def is_whole(self) -> bool:
        """Whether the result has just the demos of the source."""
        with self._opened() as file:
            return self.draws == 1 and len(self._selected(file)) == len(demo_names(file))

    def count(self, item: Item) -> int:
        """Number of frames of an item; 0 where it cannot be read."""
        try:
            with h5py.File(self.path, "r") as file:
                images = self.images(file, item.source)
                return sum(image.shape[0] * layout.count for image, layout in images.values())
        except OSError:
            return 0

    @cached_property
    def _survey(self) -> Survey:
        with self._opened() as file:
            demos = dict.fromkeys(self._selected(file), file["data"])
            return survey_demos(demos, self.path, self.keys)

    def convert(
        self, item: Item, stems: Stems, part: Path, advance: Callable[[int], None]
    ) -> list[str]:
        """Write the stem frames of a demo to a file of its own; return what is to be said of it.

        Raises:
            CorruptSourceError: the demo cannot be read.
            OSError: the part cannot be written.
        """
        stems.begin()
        with h5py.File(self.path, "r") as source, new_file(part) as (target, check):
            images = self.images(source, item.source)
            shapes = {
                path: (image.shape[0], *stems.given(layout).shape)
                for path, (image, layout) in images.items()
            }
            try:
                made: dict[str, h5py.Dataset] = {
                    path: create_like(image, target, path, shapes[path])
                    for path, (image, _) in images.items()
                }
            except UNREADABLE as error:
                raise CorruptSourceError(f"cannot be read ({error})") from error
            for paths in same_frames(images).values():
                block = stems.batch_size // images[paths[0]][1].count or 1
                length = max(images[path][0].shape[0] for path in paths)
                for start in range(0, length, block):
                    read = {
                        path: read_rows(images[path][0], start, start + block) for path in paths
                    }
                    for path, stem in invert_block(item, stems, images, read, start).items():
                        made[path][start : start + len(stem)] = stem
                    check()
                    advance(
                        sum(len(frames) * images[path][1].count for path, frames in read.items())
                    )
        return []

    def assemble(
        self, target: Path, items: list[Item], parts: Mapping[Item, Path], made_by: dict[str, Any]
    ) -> list[str]:
        """Write the target of the source's untouched data and the parts; return failed items."""
        failed = []
        with self._opened() as source, new_file(target) as (file, check):
            source_data: Any = source["data"]
            data = create_group_like(source_data, file, "data")
            for item in items:
                try:
                    self._assemble_demo(source_data, data, item, parts)
                    check()
                except CorruptSourceError as error:
                    failed.append(f"{item.name}: {error}")
                    if item.name in data:
                        del data[item.name]
            copy_tree(source_data, data, left_out=demo_names(source))
            copy_tree(source, file, left_out=("data",))
            if "shard" not in made_by and (failed or not self.is_whole()):
                restrict_metadata(file)
            write_attributes(data, made_by)
        return failed

    def sample_pairs(
        self, target: Path, demos: int = 3, frames: int = 4
    ) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.uint8]]]:
        """Yield label, frame before and frame after for a few frames of a few demos."""
        with h5py.File(self.path, "r") as source, h5py.File(target, "r") as file:
            for name in sorted(demo_names(file), key=demo_number)[:demos]:
                before = str(_group(file, f"data/{name}").attrs.get(SOURCE_ATTRIBUTE, name))
                for path, (image, layout) in self.images(source, before).items():
                    if not path.startswith("obs/") or not len(image):
                        continue
                    for row in np.linspace(0, len(image) - 1, frames).astype(int):
                        raw = layout.to_frames(np.asarray(image[row]))[0]
                        stem = np.asarray(_dataset(file, f"data/{name}/{path}")[row])
                        after = find_layout(stem.shape, stem.dtype)
                        assert after is not None, "an image, as its source is"
                        yield f"{name} {path} [{row}]", raw, after.to_frames(stem)[0]

    def _assemble_demo(
        self, source_data: Any, data: h5py.Group, item: Item, parts: Mapping[Item, Path]
    ) -> None:
        if item not in parts:
            raise CorruptSourceError("not converted")
        with h5py.File(parts[item], "r") as part:
            found = self.demo(source_data.file, item.source)
            replaced = {
                address(image): _dataset(part, path) for path, (image, _) in found.images.items()
            }
            try:
                demo = source_data[item.source]
                group = create_group_like(demo, data, item.name)
                copy_tree(
                    demo,
                    group,
                    replaced=replaced,
                    followed=found.links,
                    follow_all=is_linked(source_data.file, item.source),
                )
            except UNREADABLE as error:
                raise CorruptSourceError(str(error)) from error
        if item.draw:
            group.attrs[SOURCE_ATTRIBUTE] = item.source
            group.attrs[DRAW_ATTRIBUTE] = item.draw

    @contextlib.contextmanager
    def _opened(self) -> Iterator[h5py.File]:
        """Open the source; what HDF5 raises of damage outside the demos is an OSError with a name.

        Raises:
            OSError: it cannot be read.
        """
        with open_hdf5(self.path) as file:
            try:
                yield file
            except (KeyError, RuntimeError) as error:
                raise OSError(
                    f"{self.path} is damaged outside its demos ({error}); restore it, or copy its "
                    "demos to a new file"
                ) from error

    def _selected(self, file: h5py.File) -> list[str]:
        demos = demo_names(file)
        if self.filter_key is not None:
            masks: Any = file.get("mask", {})
            if self.filter_key not in masks:
                raise ValueError(
                    f"{self.path} has no filter key {self.filter_key!r}; it has "
                    f"{', '.join(map(repr, masks)) or 'none'}"
                )
            listed = set(_texts(masks[self.filter_key]))
            demos = [demo for demo in demos if demo in listed]
        demos = sorted(demos, key=demo_number)[: self.num_trajs]
        if not demos:
            raise ValueError(f"{self.path} has no demo to convert (groups data/demo_0, …)")
        return demos

    def _check_keys(self) -> None:
        found = self._survey
        for key in self.keys or ():
            if key not in found.converted:
                raise ValueError(
                    f"{self.path} has no image {key!r} in obs; its images are "
                    f"{', '.join(map(repr, sorted(found.names))) or 'none'}{_reasons(found)}"
                )
        if not found.converted and not found.unreadable:
            raise ValueError(
                f"{self.path} has no image to convert in obs (uint8, or float in [0, 1], of shape "
                f"[T, H, W, 3]){_reasons(found)}"
            )

    def demo(self, file: h5py.File, demo: str) -> DemoImages:
        """The images of a demo that are converted.

        Raises:
            CorruptSourceError: it cannot be read, has none, or one that should be converted cannot.
        """
        try:
            found = find_demo_images(_group(file, f"data/{demo}"), self.keys or ())
            for image, _ in found.images.values():
                outside_files(image)  # all there, or an error
        except UNREADABLE as error:
            raise CorruptSourceError(f"cannot be read ({error})") from error
        converted = self._survey.converted
        for path, reason in found.left_out.items():
            if key_of(path) in converted:
                raise CorruptSourceError(f"{path} is converted elsewhere, but here {reason}")
        found.images = {
            path: image for path, image in found.images.items() if key_of(path) in converted
        }
        if not any(path.startswith("obs/") for path in found.images):
            raise CorruptSourceError("has no image to convert in obs")
        return found

    def images(self, file: h5py.File, demo: str) -> dict[str, tuple[h5py.Dataset, FrameLayout]]:
        """The images of a demo that are converted, by path below it."""
        return self.demo(file, demo).images


def _reasons(found: Survey) -> str:
    reasons = [f"{name}: {reason}" for name, reason in found.left_out.items()]
    return "".join(f"; {reason}" for reason in reasons + found.unreadable)


def is_linked(file: h5py.File, demo: str) -> bool:
    """Whether a demo, or the group ``data``, is a link: then nothing below can be one."""
    data: Any = file["data"]
    links = (file.get("data", getlink=True), data.get(demo, getlink=True))
    return not all(isinstance(link, h5py.HardLink) for link in links)


def restrict_metadata(file: h5py.File) -> None:
    """Bring ``mask`` and ``total`` in line with the demos in a file, extra draws included."""
    data = _group(file, "data")
    made_from: dict[str, list[str]] = {}
    for name in sorted(demo_names(file), key=demo_number):
        made_from.setdefault(str(data[name].attrs.get(SOURCE_ATTRIBUTE, name)), []).append(name)
    if "total" in data.attrs:
        samples: list[Any] = [data[name].attrs.get("num_samples", 0) for name in demo_names(file)]
        data.attrs.modify("total", np.asarray(sum(samples), data.attrs["total"].dtype))
    masks: Any = file.get("mask", {})
    for key in list(masks):
        names = [name for entry in _texts(masks[key]) for name in made_from.get(entry, [])]
        dtype = masks[key].dtype
        if dtype.kind == "S":
            dtype = np.dtype(f"S{max(map(len, names), default=1)}")
        attributes = dict(masks[key].attrs)
        del masks[key]
        masks.create_dataset(key, data=np.asarray(names, dtype=dtype)).attrs.update(attributes)


def demo_number(name: str) -> int:
    """The number by which robomimic orders its demos: 3 for ``"demo_3"``."""
    return int(name.removeprefix("demo_"))


def demo_names(file: h5py.File) -> list[str]:
    """Names of the demos of a file, in its order.

    Raises:
        ValueError: it is no robomimic file.
    """
    data: Any = file.get("data")
    if not isinstance(data, h5py.Group):
        raise ValueError(f"{file.filename} is no robomimic file: it has no group 'data'")
    names = map(str, data)
    return [name for name in names if name.startswith("demo_") and name[5:].isdigit()]


def _texts(mask: Any) -> list[str]:
    return [entry.decode() if isinstance(entry, bytes) else str(entry) for entry in mask[:]]


def _group(file: h5py.File, path: str) -> h5py.Group:
    group = file[path]
    if not isinstance(group, h5py.Group):
        raise KeyError(f"{path} is no group")
    return group


def _dataset(file: h5py.File, path: str) -> h5py.Dataset:
    dataset = file[path]
    assert isinstance(dataset, h5py.Dataset)
    return dataset
