"""Compare HDF5 trees object by object: what :func:`copy_tree` wrote against what it read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np

from stemob_wrappers.extras import needs

with needs("datasets"):
    import h5py

from stemob_wrappers.datasets.hdf5.copy import (
    BLOCK_ROWS,
    Address,
    address,
    chunks_of,
    largest_shape,
)
from stemob_wrappers.datasets.hdf5.outside import is_plain


def compare_trees(
    before: Any,
    after: Any,
    *,
    images: Iterable[tuple[h5py.Dataset, tuple[int, ...]]] = (),
    added: Collection[str] = (),
    changed: Collection[str] = (),
    left_out: Collection[str] = (),
    followed: Collection[str] = (),
    follow_all: bool = False,
) -> Iterator[str]:
    """Yield what differs between a group and its copy.

    Names, attributes in their stored types, soft and external links, names of one object, storage
    (chunks, filters) and bytes are compared.

    Args:
        images: data sets of the source whose copies have other bytes, and the shape of each copy.
        added: names of attributes of the group that the copy has on top.
        changed: names of attributes of the group that are not compared.
        left_out: paths below the group that are not compared.
        followed, follow_all: links in whose place the copy has what they lead to, as for
            ``copy_tree``.

    Example:
        >>> with h5py.File("a.hdf5", "w") as source, h5py.File("b.hdf5", "w") as target:
        ...     source["data/states"], target["data/states"] = [1, 2], [1, 3]
        ...     list(compare_trees(source, target))
        ['/data/states differs from the source']
    """
    yield from _compare_attributes(before, after, added, changed)
    shapes = {address(image): shape for image, shape in images}
    comparison = _Comparison(shapes, {*left_out}, {*followed})
    comparison.same[address(before)] = address(after)
    yield from comparison.members(before, after, "", follow_all)


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


class _Comparison:
    """One comparison of two trees, and which objects were found to be the same."""

    def __init__(
        self, images: dict[Address, tuple[int, ...]], left_out: set[str], followed: set[str]
    ) -> None:
        self.images = images
        self.left_out = left_out
        self.followed = followed
        self.same: dict[Address, Address] = {}
        self.kept: list[Any] = []  # open, so that addresses stay

    def members(self, before: Any, after: Any, above: str, follow_all: bool) -> Iterator[str]:
        names = [name for name in map(str, before) if f"{above}{name}" not in self.left_out]
        for name in set(map(str, after)) - set(names):
            if f"{above}{name}" not in self.left_out:
                yield f"{_join(after, name)} is not in the source"
        for name in names:
            where, path = _join(after, name), f"{above}{name}"
            link, copied = (group.get(name, getlink=True) for group in (before, after))
            is_link = not isinstance(link, h5py.HardLink)
            if copied is None:
                yield f"{where} is missing"
            elif is_link and not follow_all and path not in self.followed:
                if _as_text(link) != _as_text(copied):
                    yield f"{where} is {_as_text(copied)}, but in the source {_as_text(link)}"
            elif not isinstance(copied, h5py.HardLink):
                yield f"{where} is {_as_text(copied)}, but an object in the source"
            else:
                inner = (f"{path}/", follow_all or is_link)
                yield from self.objects(before[name], after[name], where, *inner)

    def objects(
        self, before: Any, after: Any, where: str, above: str, follow_all: bool
    ) -> Iterator[str]:
        self.kept.append(before)
        if address(before) in self.same:
            if self.same[address(before)] != address(after):
                yield f"{where} is no longer another name of the same object"
            return
        self.same[address(before)] = address(after)
        if type(before) is not type(after):
            kinds = type(after).__name__, type(before).__name__
            yield f"{where} is a {kinds[0]}, but in the source a {kinds[1]}"
            return
        yield from _compare_attributes(before, after)
        if isinstance(before, h5py.Group):
            yield from self.members(before, after, above, follow_all)
        elif isinstance(before, h5py.Dataset):
            yield from self.datasets(before, after, where)

    def datasets(self, before: Any, after: Any, where: str) -> Iterator[str]:
        shape = self.images.get(address(before), before.shape)
        if shape != after.shape or before.id.get_type() != after.id.get_type():
            wanted = "" if shape == before.shape else f", which becomes {shape}"
            yield f"{where} is {after}, but the source has {before}{wanted}"
            return
        if not is_plain(after):
            yield f"{where} has its values in another file"
        elif _storage(before, shape) != _storage(after, shape):
            yield f"{where} is stored in other chunks or with other filters than in the source"
        if address(before) not in self.images and not _same_values(before, after):
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


def _storage(dataset: Any, shape: Any) -> tuple[Any, ...]:
    """How the copy of a data set is stored that has a shape."""
    if not is_plain(dataset):
        return None, shape, []  # its copy is contiguous
    created = dataset.id.get_create_plist()
    filters = [created.get_filter(index) for index in range(created.get_nfilters())]
    if not shape:
        return None, dataset.maxshape, filters
    return chunks_of(dataset, shape), largest_shape(dataset, shape), filters


def _as_text(link: Any) -> str:
    if isinstance(link, h5py.SoftLink):
        return f"a link to {link.path}"
    if isinstance(link, h5py.ExternalLink):
        return f"a link to {link.path} in {link.filename}"
    return "an object"


def _join(group: Any, name: str) -> str:
    return f"{group.name.rstrip('/')}/{name}"
