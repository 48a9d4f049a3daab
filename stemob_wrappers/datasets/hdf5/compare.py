"""Compare HDF5 trees object by object: what :func:`copy_tree` wrote against what it read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import h5py
import numpy as np

from stemob_wrappers.datasets.hdf5.copy import address

BLOCK_ROWS = 1024


def compare_trees(
    before: Any,
    after: Any,
    *,
    images: Iterable[h5py.Dataset] = (),
    added: Collection[str] = (),
    changed: Collection[str] = (),
    left_out: Collection[str] = (),
) -> Iterator[str]:
    """Yield what differs between a group and its copy.

    Names, attributes in their stored types, soft and external links, names of one object, storage
    (chunks, filters) and bytes are compared.

    Args:
        images: data sets of the source whose copies have other bytes.
        added: names of attributes of the group that the copy has on top.
        changed: names of attributes of the group that are not compared.
        left_out: members that are not compared.

    Example:
        >>> list(compare_trees(source["data/demo_0"], target["data/demo_0"])) # doctest: +SKIP
        []
    """
    yield from _compare_attributes(before, after, added, changed)
    same = {address(before): address(after)}
    yield from _compare_members(before, after, {*map(address, images)}, {*left_out}, same)


def _compare_attributes(
    before: Any, after: Any, added: Collection[str] = (), changed: Collection[str] = ()
) -> Iterator[str]:
    for name in before.attrs:
        if name not in changed and (
            name not in after.attrs or not _same_attribute(before.attrs, after.attrs, name)
        ):
            yield f"attribute {name!r} of {after.name} differs from the source"
    for name in set(after.attrs) - set(before.attrs) - set(added):
        yield f"attribute {name!r} of {after.name} is not in the source"


def _compare_members(
    before: Any, after: Any, images: set[int], left_out: set[str], same: dict[int, int]
) -> Iterator[str]:
    for name in set(map(str, after)) - set(map(str, before)) - left_out:
        yield f"{_join(after, name)} is not in the source"
    for name in map(str, before):
        if name in left_out:
            continue
        where = _join(after, name)
        link, copied = (group.get(name, getlink=True) for group in (before, after))
        if copied is None:
            yield f"{where} is missing"
        elif not isinstance(link, h5py.HardLink):
            if _as_text(link) != _as_text(copied):
                yield f"{where} is {_as_text(copied)}, but in the source {_as_text(link)}"
        elif not isinstance(copied, h5py.HardLink):
            yield f"{where} is {_as_text(copied)}, but an object in the source"
        else:
            yield from _compare_objects(before[name], after[name], where, images, same)


def _compare_objects(
    before: Any, after: Any, where: str, images: set[int], same: dict[int, int]
) -> Iterator[str]:
    if address(before) in same:
        if same[address(before)] != address(after):
            yield f"{where} is no longer another name of the same object"
        return
    same[address(before)] = address(after)
    if type(before) is not type(after):
        yield f"{where} is a {type(after).__name__}, but in the source a {type(before).__name__}"
        return
    yield from _compare_attributes(before, after)
    if isinstance(before, h5py.Group):
        yield from _compare_members(before, after, images, set(), same)
    elif isinstance(before, h5py.Dataset):
        if before.shape != after.shape or before.id.get_type() != after.id.get_type():
            yield f"{where} is {after}, but the source has {before}"
            return
        if _storage(before) != _storage(after):
            yield f"{where} is stored in other chunks or with other filters than in the source"
        if address(before) not in images and not _same_values(before, after):
            yield f"{where} differs from the source"


def _same_attribute(before: Any, after: Any, name: str) -> bool:
    stored, copied = before.get_id(name), after.get_id(name)
    if stored.get_type() != copied.get_type() or stored.shape != copied.shape:
        return False
    kinds = {one.get_space().get_simple_extent_type() for one in (stored, copied)}
    return kinds == {h5py.h5s.NULL} or _same_bytes(_values(stored), _values(copied))


def _values(attribute: Any) -> Any:
    values = np.empty(attribute.shape, attribute.dtype)
    attribute.read(values)
    return values


def _same_values(before: Any, after: Any) -> bool:
    if before.shape is None:  # a data set without values
        return True
    if not before.shape:
        return _same_bytes(before[()], after[()])
    return all(
        _same_bytes(before[start : start + BLOCK_ROWS], after[start : start + BLOCK_ROWS])
        for start in range(0, len(before), BLOCK_ROWS)
    )


def _same_bytes(before: Any, after: Any) -> bool:
    before, after = np.asarray(before), np.asarray(after)
    if before.dtype != object:
        return before.tobytes() == after.tobytes()
    # Texts and arrays of varying length: the array holds but pointers to them.
    pairs = zip(before.ravel(), after.ravel(), strict=True)
    return all(np.asarray(one).tobytes() == np.asarray(other).tobytes() for one, other in pairs)


def _storage(dataset: Any) -> tuple[Any, ...]:
    created = dataset.id.get_create_plist()
    filters = [created.get_filter(index) for index in range(created.get_nfilters())]
    return dataset.chunks, dataset.maxshape, filters


def _as_text(link: Any) -> str:
    if isinstance(link, h5py.SoftLink):
        return f"a link to {link.path}"
    if isinstance(link, h5py.ExternalLink):
        return f"a link to {link.path} in {link.filename}"
    return "an object"


def _join(group: Any, name: str) -> str:
    return f"{group.name.rstrip('/')}/{name}"
