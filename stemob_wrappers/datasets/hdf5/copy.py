"""Copy HDF5 trees object by object: raw chunks, attributes in their own types, links as links.

The copy stands by itself: no data set of it has its values in another file.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

import numpy as np

from stemob_wrappers.extras import needs

with needs("datasets"):
    import h5py
    import h5py.h5o

from stemob_wrappers.datasets.hdf5.outside import is_plain, outside_files

Address: TypeAlias = tuple[int, int]
BLOCK_ROWS = 1024


def copy_tree(
    source: h5py.Group,
    target: h5py.Group,
    *,
    replaced: Mapping[Address, h5py.Dataset] | None = None,
    left_out: Collection[str] = (),
    followed: Collection[str] = (),
    follow_all: bool = False,
) -> None:
    """Copy attributes and members of a group into an empty group.

    Data sets are copied by the library chunk by chunk, without decompressing; those whose values
    lie in other files become ordinary ones. An object that several names lead to is copied once and
    linked again. Links are copied as links, save those to follow: what they lead to is copied.

    Args:
        replaced: data sets to copy in place of the source's, by their :func:`address`.
        left_out: paths below ``source`` that are not copied.
        followed: paths below ``source`` of links to follow, and all links below what they lead to.
        follow_all: follow every link.

    Raises:
        KeyError: a link to follow leads nowhere.
        OSError: values cannot be read.

    Example:
        >>> with h5py.File("a.hdf5", "w") as source, h5py.File("b.hdf5", "w") as target:
        ...     source["data/states"] = [1, 2]
        ...     copy_tree(source, target)
        ...     target["data/states"][:].tolist()
        [1, 2]
    """
    _Copy(replaced or {}, left_out, followed).members(source, target, "", follow_all)


def copy_attributes(source: h5py.HLObject, target: h5py.HLObject) -> None:
    """Copy every attribute with its stored type and shape, over those that are there."""
    for name in source.attrs:
        stored = source.attrs.get_id(name)
        if name in target.attrs:
            del target.attrs[name]
        raw = name if isinstance(name, bytes) else name.encode()  # bytes where it is no UTF-8
        copy = h5py.h5a.create(target.id, raw, stored.get_type(), stored.get_space())
        if stored.get_space().get_simple_extent_type() != h5py.h5s.NULL:
            values = np.empty(stored.shape, stored.dtype)
            stored.read(values)
            copy.write(values)


def create_like(
    source: h5py.Dataset, target: h5py.Group, name: str, shape: tuple[int, ...] | None = None
) -> h5py.Dataset:
    """Create an empty data set of the same type, shape, chunking, filters and attributes.

    One whose values lie in other files becomes an ordinary one: nothing is ever written to those.

    Args:
        shape: another one; the chunks are no larger then.
    """
    shape = source.shape if shape is None else shape
    links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    links.set_create_intermediate_group(True)
    plain = is_plain(source)
    space = h5py.h5s.create_simple(shape)
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    if plain:
        space, properties = source.id.get_space(), source.id.get_create_plist()
        if shape != source.shape:
            most = largest_shape(source, shape)
            space = h5py.h5s.create_simple(
                shape, tuple(h5py.h5s.UNLIMITED if side is None else side for side in most)
            )
            if source.chunks is not None:
                properties.set_chunk(chunks_of(source, shape))
    properties.set_obj_track_times(False)  # or the bytes would depend on the second
    made = h5py.h5d.create(
        target.id, name.encode(), source.id.get_type(), space, dcpl=properties, lcpl=links
    )
    dataset = h5py.Dataset(made)
    copy_attributes(source, dataset)
    return dataset


def chunks_of(source: h5py.Dataset, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The chunks of a data set like another one, but of a shape."""
    if source.chunks is None or shape == source.shape:
        return source.chunks
    return tuple(max(1, min(pair)) for pair in zip(source.chunks, shape, strict=True))


def largest_shape(source: h5py.Dataset, shape: tuple[int, ...]) -> tuple[int | None, ...]:
    """How far a data set like another one, but of a shape, can grow: where the other one can."""
    pairs = zip(source.shape, source.maxshape or (), shape, strict=True)
    return tuple(size if most == before else most for before, most, size in pairs)


def create_group_like(source: h5py.Group, target: h5py.Group, name: str) -> h5py.Group:
    """Create an empty group that tracks the order of its members like another one."""
    theirs = source.id.get_create_plist()
    # Not their list itself: HDF5 2.0 crashes when it lists a group that was made with it.
    properties = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    properties.set_link_creation_order(theirs.get_link_creation_order())
    properties.set_attr_creation_order(theirs.get_attr_creation_order())
    properties.set_obj_track_times(False)
    return h5py.Group(h5py.h5g.create(target.id, name.encode(), gcpl=properties))


def address(item: h5py.HLObject) -> Address:
    """Which file an object lies in, and where: equal for two names of the same object.

    It holds while the object, or another one of its file, is open.
    """
    info = h5py.h5o.get_info(item.id)
    return info.fileno, info.addr


class _Copy:
    """One copy of a tree: what to copy otherwise, and what is copied already."""

    def __init__(
        self,
        replaced: Mapping[Address, h5py.Dataset],
        left_out: Collection[str],
        followed: Collection[str],
    ) -> None:
        self.replaced = replaced
        self.left_out = left_out
        self.followed = followed
        self.copied: dict[Address, str] = {}
        self.kept: list[Any] = []  # open, so that addresses stay

    def members(self, source: h5py.Group, target: h5py.Group, above: str, follow_all: bool) -> None:
        self.copied[address(source)] = str(target.name)
        self.kept.append(source)
        copy_attributes(source, target)
        for name in map(str, source):
            path = f"{above}{name}"
            if path in self.left_out:
                continue
            link = source.get(name, getlink=True)
            if link is None:
                raise KeyError(f"{source.name} lists {name!r}, which is not there")
            is_link = not isinstance(link, h5py.HardLink)
            if is_link and not follow_all and path not in self.followed:
                target[name] = link
                continue
            item: Any = source[name]
            before = self.copied.get(address(item))
            if before is not None:
                target[name] = target.file[before]
            elif isinstance(item, h5py.Group):
                group = create_group_like(item, target, name)
                self.members(item, group, f"{path}/", follow_all or is_link)
            else:
                _copy_object(self.replaced.get(address(item), item), target, name)
                self.copied[address(item)] = str(target[name].name)
                self.kept.append(item)


def _copy_object(source: Any, target: h5py.Group, name: str) -> None:
    if isinstance(source, h5py.Datatype):
        # Not by the library, which crashes on some that damage has made of data sets.
        copied = source.id.copy()
        copied.commit(target.id, name.encode())
        copy_attributes(source, h5py.Datatype(copied))
        return
    if is_plain(source):
        h5py.h5o.copy(source.id, b".", target.id, name.encode())
        return
    outside_files(source)  # all there, or an error
    made = create_like(source, target, name)
    if not source.shape:
        made[()] = source[()]
        return
    for start in range(0, len(source), BLOCK_ROWS):
        made[start : start + BLOCK_ROWS] = source[start : start + BLOCK_ROWS]
