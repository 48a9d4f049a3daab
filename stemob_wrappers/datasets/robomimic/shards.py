"""Put the results of ``invert_dataset(shard=…)`` together: the same data set as without shards."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stemob_wrappers.extras import needs
from stemob_wrappers.made_by import PREFIX, read_provenance
from stemob_wrappers.stem.provenance import write_attributes
from stemob_wrappers.work import whole_file


def merge_shards(
    target: str | os.PathLike[str],
    shards: Sequence[str | os.PathLike[str]],
    *,
    overwrite: bool = False,
) -> list[str]:
    """Write one HDF5 data set of all shards of a conversion, and return the demos that are missing.

    Args:
        target: where the result goes.
        shards: every shard, in any order.
        overwrite: replace a target that is there.

    Raises:
        FileExistsError: the target is there.
        ValueError: a file is no shard, shards are missing or twice there, or they are of different
            conversions.

    Example:
        >>> import h5py, numpy as np
        >>> from stemob_wrappers.datasets import invert_dataset
        >>> with h5py.File("demo.hdf5", "w") as file:
        ...     for demo in (0, 1):
        ...         file[f"data/demo_{demo}/obs/front"] = np.zeros((2, 16, 16, 3), np.uint8)
        >>> for index in (0, 1):
        ...     _ = invert_dataset("demo.hdf5", f"stem-{index}.hdf5", shard=(index, 2))
        >>> merge_shards("stem.hdf5", ["stem-0.hdf5", "stem-1.hdf5"])
        []
    """
    with needs("datasets"):
        import h5py

    from stemob_wrappers.datasets.hdf5.copy import copy_tree, create_group_like
    from stemob_wrappers.datasets.hdf5.write import new_file
    from stemob_wrappers.datasets.robomimic.source import restrict_metadata

    target = Path(target)
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} is there already; name another target or --overwrite")
    paths, shard, made_by = _check(shards)
    missing = []
    with whole_file(target, sync=True) as temporary, contextlib.ExitStack() as opened:
        file, check = opened.enter_context(new_file(temporary))
        files = [opened.enter_context(h5py.File(path, "r")) for path in paths]
        first: Any = files[0]["data"]
        data = create_group_like(first, file, "data")
        for index, name in enumerate(shard["items"]):
            source: Any = files[index % len(files)]["data"]
            if name in source:
                copy_tree(source[name], create_group_like(source[name], data, name))
            else:
                missing.append(name)
            check()
        copy_tree(first, data, left_out=shard["items"])
        del data.attrs[f"{PREFIX}shard"]
        copy_tree(files[0], file, left_out=("data",))
        if missing or not shard["whole"]:
            restrict_metadata(file)
        write_attributes(data, made_by)
    return missing


def _check(
    shards: Sequence[str | os.PathLike[str]],
) -> tuple[list[Path], dict[str, Any], dict[str, Any]]:
    """Return the shards in order, what the first says of them, and the common provenance."""
    by_index: dict[int, Path] = {}
    common: dict[str, Any] | None = None
    shard: dict[str, Any] = {}
    for path in map(Path, shards):
        if path.is_dir():
            raise ValueError(f"{path} is a folder; only shards of an HDF5 data set are merged")
        made_by = read_provenance(path)
        if "shard" not in made_by:
            raise ValueError(f"{path} is a whole data set, not a shard")
        shard = made_by.pop("shard")
        index = shard.pop("index")
        if index in by_index:
            raise ValueError(f"{path} and {by_index[index]} are the same shard, number {index}")
        if common is not None and common != {**made_by, "shard": shard}:
            raise ValueError(
                f"{path} is of another conversion than {next(iter(by_index.values()))}: convert "
                "all shards of one source with the same arguments"
            )
        common = {**made_by, "shard": shard}
        by_index[index] = path
    if common is None:
        raise ValueError("merging needs the paths of all shards, received none")
    lacking = sorted(set(range(shard["count"])) - set(by_index))
    if lacking:
        raise ValueError(f"of {shard['count']} shards, number {lacking} is missing")
    del common["shard"]
    return [by_index[index] for index in sorted(by_index)], shard, common
