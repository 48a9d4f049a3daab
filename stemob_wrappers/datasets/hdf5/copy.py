"""Copy HDF5 trees object by object: raw chunks, attributes in their own types, links as links."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import h5py
import h5py.h5o
import numpy as np


def copy_tree(
    source: h5py.Group,
    target: h5py.Group,
    *,
    replaced: Mapping[int, h5py.Dataset] | None = None,
    left_out: tuple[str, ...] = (),
) -> None:
    """Copy attributes and members of a group into an empty group.

    Data sets are copied by the library chunk by chunk, without decompressing. An object that
    several names lead to is copied once and linked again.

    Args:
        replaced: data sets to copy in place of the source's, by their :func:`address`.
        left_out: absolute source names that are not copied.

    Example:
        >>> copy_tree(source["data/demo_0"], target.create_group("demo_0")) # doctest: +SKIP
    """
    _copy_members(source, target, replaced or {}, left_out, {})


def copy_attributes(source: h5py.HLObject, target: h5py.HLObject) -> None:
    """Copy every attribute with its stored type and shape, over those that are there."""
    for name in source.attrs:
        stored = source.attrs.get_id(name)
        if name in target.attrs:
            del target.attrs[name]
        copy = h5py.h5a.create(target.id, name.encode(), stored.get_type(), stored.get_space())
        if stored.get_space().get_simple_extent_type() != h5py.h5s.NULL:
            values = np.empty(stored.shape, stored.dtype)
            stored.read(values)
            copy.write(values)


def create_like(source: h5py.Dataset, target: h5py.Group, name: str) -> h5py.Dataset:
    """Create an empty data set of the same type, shape, chunking, filters and attributes."""
    links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    links.set_create_intermediate_group(True)
    made = h5py.h5d.create(
        target.id,
        name.encode(),
        source.id.get_type(),
        source.id.get_space(),
        dcpl=source.id.get_create_plist(),
        lcpl=links,
    )
    dataset = h5py.Dataset(made)
    copy_attributes(source, dataset)
    return dataset


def create_group_like(source: h5py.Group, target: h5py.Group, name: str) -> h5py.Group:
    """Create an empty group that tracks the order of its members like another one."""
    theirs = source.id.get_create_plist()
    # Not their list itself: HDF5 2.0 crashes when it lists a group that was made with it.
    properties = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    properties.set_link_creation_order(theirs.get_link_creation_order())
    properties.set_attr_creation_order(theirs.get_attr_creation_order())
    return h5py.Group(h5py.h5g.create(target.id, name.encode(), gcpl=properties))


def address(item: h5py.HLObject) -> int:
    """Where an object lies in its file: equal for two names of the same object."""
    return h5py.h5o.get_info(item.id).addr


def _copy_members(
    source: h5py.Group,
    target: h5py.Group,
    replaced: Mapping[int, h5py.Dataset],
    left_out: tuple[str, ...],
    copied: dict[int, str],
) -> None:
    copied[address(source)] = str(target.name)
    copy_attributes(source, target)
    for name in map(str, source):
        path = f"{str(source.name).rstrip('/')}/{name}"
        if path in left_out:
            continue
        link = source.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            target[name] = link
            continue
        item: Any = source[name]
        before = copied.get(address(item))
        if before is not None:
            target[name] = target.file[before]
        elif isinstance(item, h5py.Group):
            group = create_group_like(item, target, name)
            _copy_members(item, group, replaced, left_out, copied)
        else:
            original = replaced.get(address(item), item)
            h5py.h5o.copy(original.id, b".", target.id, name.encode())
            copied[address(item)] = str(target[name].name)
