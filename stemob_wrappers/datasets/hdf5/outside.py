"""Data sets whose values lie outside of their file: external storage and virtual data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stemob_wrappers.extras import needs

with needs("datasets"):
    import h5py


def is_plain(item: Any) -> bool:
    """Whether an object's values lie in its own place in its own file.

    Example:
        >>> with h5py.File("plain.hdf5", "w") as file:
        ...     is_plain(file.create_dataset("a", data=[1, 2]))
        True
    """
    return not isinstance(item, h5py.Dataset) or not (item.external or item.is_virtual)


def outside_files(dataset: h5py.Dataset) -> list[Path]:
    """The other files that hold a data set's values.

    Raises:
        OSError: one is missing or too short: HDF5 itself would give zeros in its place.
    """
    if dataset.external:
        return [_external_file(dataset, *entry) for entry in dataset.external]
    if dataset.is_virtual:
        return [
            path
            for source in dataset.virtual_sources()
            if (path := _virtual_file(dataset, source.file_name, source.dset_name))
        ]
    return []


def _external_file(dataset: h5py.Dataset, name: Any, offset: int, size: int) -> Path:
    path = Path(name if isinstance(name, str) else name.decode())
    needed = offset + (0 if size == h5py.h5f.UNLIMITED else size)
    if not path.is_file() or path.stat().st_size < needed:
        raise OSError(
            f"{dataset.name} lies in {path}, which is missing or shorter than {needed} bytes"
        )
    return path


def _virtual_file(dataset: h5py.Dataset, file_name: str, dataset_name: str) -> Path | None:
    """The file that a part of a virtual data set lies in; None for its own."""
    if file_name == ".":
        if dataset_name not in dataset.file:
            raise OSError(f"{dataset.name} maps to {dataset_name}, which is missing")
        return None
    beside = Path(dataset.file.filename).parent / file_name
    for path in (beside, Path(file_name)):
        if path.is_file():
            with h5py.File(path, "r") as file:
                if dataset_name in file:
                    return path
    raise OSError(f"{dataset.name} maps to {dataset_name} in {file_name}, which is missing")
