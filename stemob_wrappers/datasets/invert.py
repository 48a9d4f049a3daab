"""Convert a data set: resumable, in one or several processes, never half a result in sight.

Work goes to a folder beside the target, ``TARGET.parts``: a part per item, each renamed when it is
whole, and the assembled result, renamed to the target at the end. A run that is cut short anywhere
goes on when it is called again.
"""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any, Literal

from stemob_wrappers.cache import CacheLike, recorded_cache
from stemob_wrappers.config import StemConfig, as_config
from stemob_wrappers.datasets.formats import open_source
from stemob_wrappers.datasets.parts import Summary, convert_items, explained, printable
from stemob_wrappers.datasets.plan import (
    check_parts_folder,
    check_plan,
    finished_run,
    is_begun,
    locked_parts,
    mark_assembled,
    publish,
    remove,
    tidy,
)
from stemob_wrappers.datasets.ray import engine_at_hand, room_for
from stemob_wrappers.datasets.stems import Item, Stems
from stemob_wrappers.made_by import SIDECAR
from stemob_wrappers.report.contact_sheet import write_contact_sheet
from stemob_wrappers.stem.provenance import provenance


def invert_dataset(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    config: StemConfig | dict[str, Any] | None = None,
    *,
    keys: list[str] | None = None,
    filter_key: str | None = None,
    num_trajs: int | None = None,
    to: Literal["lerobot"] | None = None,
    draws: int = 1,
    batch_size: int = 64,
    workers: int | None = None,
    engine: str = "local",
    shard: tuple[int, int] | None = None,
    overwrite: bool = False,
    cache: CacheLike = None,
    device: str | None = None,
    dtype: str = "float32",
    progress: bool = False,
    allow_short: bool = False,
    max_pixels: int | None = None,
) -> Summary:
    """Write a copy of a data set whose camera frames are stem frames.

    The source is a robomimic or MimicGen HDF5 file, a LeRobot data set (version 3), a Minari data
    set (HDF5), a folder of images and videos, or one video.
    All but the frames is carried over bit for bit; frames that a config gives back small
    (``output="small"``) are written so, as are the sizes that a format names of them. A run that
    was cut short goes on where it stopped when it is called again with the same arguments; a
    trajectory that cannot be read is named in the summary, and the rest is finished (of a LeRobot
    or Minari data set, nothing is: it is whole or none). So is what looks like a picture and is
    none that can become a stem frame: it stays as it is.

    Args:
        source: what to convert; it is only ever read.
        target: where the result goes.
        config: a StemConfig, its dict, or None for the defaults.
        keys: names of images, or None for all: below ``obs`` (HDF5), of the space (Minari), or such
            as ``observation.images.front`` (LeRobot).
        filter_key: name of a mask in the file that lists the demos to take (HDF5).
        num_trajs: take only the first so many demos (HDF5).
        to: write another format than the source's: a LeRobot data set of an HDF5 file.
        draws: noise draws a frame; draw d has the config's seed + d, and those after the first
            become extra demos, or files (HDF5, folders and videos).
        batch_size: frames that are sent to the network at once.
        workers: processes, which share the threads of this one, or actors on Ray; None for one,
            or for one a CPU or GPU of the cluster.
        engine: ``"local"``, ``"ray"`` or ``"ray=ADDRESS"``: where the work is done; no byte of the
            result depends on it. Every node of a cluster needs the source under the same path.
        shard: (index, count) to convert only every count-th item, for ``merge_shards``.
        overwrite: replace a target that is there.
        cache: a FrameCache, its folder, or None for memory.
        device: where the backbone runs.
        dtype: in what precision.
        progress: show a bar with frames a second and the time left.
        allow_short: keep what can be read of a damaged video, and list it, in place of failing it
            (folders and videos).
        max_pixels: fail pictures that declare more, before memory is taken for them (folders and
            videos); 2^25 if None, and Pillow itself refuses more than 178 million.

    Raises:
        FileNotFoundError: no such source.
        ImportError: a library that reads the format is missing.
        FileExistsError: the target is there, or parts of another conversion to it.
        ConnectionError: no Ray cluster answers at the address.
        BlockingIOError: another process is converting to the target.
        ValueError: bad arguments, nothing to convert in the source, a source that is converted
            already, source and target within each other, or a folder in the place of the target
            or of the parts that no conversion wrote.
        OSError: the result cannot be written; what is finished is kept for the next run.

    Example:
        >>> import numpy as np
        >>> from stemob_wrappers.pictures import write_image
        >>> write_image(Path("frames/0.png"), np.zeros((32, 32, 3), np.uint8))
        >>> invert_dataset("frames", "stem", StemConfig(inversion_steps=5)).items
        1
    """
    config, source, target = as_config(config), Path(source), Path(target)
    _check_arguments(draws, workers, engine, batch_size, shard, num_trajs, max_pixels)
    _check_places(source, target)
    options = {
        "keys": keys,
        "filter_key": filter_key,
        "num_trajs": num_trajs,
        "draws": draws if draws > 1 else None,
        "to": to,
        "allow_short": allow_short or None,
        "max_pixels": max_pixels,
    }
    reader = open_source(source, options)
    reader.check_sizes(config)
    settings: dict[str, Any] = {
        "config": config,
        "draws": draws,
        "batch_size": batch_size,
        "device": device,
        "dtype": dtype,
    }
    if shard is not None and not reader.has_shards:
        raise ValueError(
            f"{source} is not converted in shards, its result is whole or none; use workers on "
            "one machine, or engine='ray' on several"
        )
    with engine_at_hand(engine), locked_parts(target) as folder:
        stems = Stems(**settings, cache=cache)
        made_by = provenance(
            stems.pipelines[0], draws, reader.selection(), reader.converted(), reader.left_out()
        )
        plan = json.loads(json.dumps(_plan(source, reader, batch_size, shard, made_by)))
        assembled = folder / f"assembled{target.suffix}"
        finished = finished_run(folder, plan, assembled, target)
        if finished is not None:
            summary = Summary(target, resumed=finished["items"], **finished)
        else:
            _check_target(target, folder, overwrite)
            if engine != "local":
                room_for(stems.pipelines[0].device)
            check_plan(folder, plan, overwrite)
            summary = Summary(target)
            everything = reader.items()
            items = everything if shard is None else everything[shard[0] :: shard[1]]
            worker_settings = {**settings, "cache": recorded_cache(cache)}
            parts = convert_items(
                reader, items, folder, stems, summary, engine, workers, worker_settings, progress
            )
            if shard is not None:
                made_by["shard"] = _shard(shard, everything, reader)
            with explained(folder):
                remove(assembled)
                late = reader.assemble(assembled, items, parts, made_by)
                _complete(summary, reader, items, late)
                finished = {
                    name: getattr(summary, name)
                    for name in ("items", "failed", "left_out", "notes")
                }
                mark_assembled(folder, plan, assembled, finished)
        with explained(folder):
            publish(assembled, target, folder)
        if shard is None:
            summary.contact_sheet = _write_contact_sheet(source, target, reader, made_by)
        tidy(folder)
    return summary


def _shard(shard: tuple[int, int], items: list[Item], reader: Any) -> dict[str, Any]:
    names = [item.name for item in items]
    return {"index": shard[0], "count": shard[1], "items": names, "whole": reader.is_whole()}


def _complete(summary: Summary, reader: Any, items: list[Item], late: list[str]) -> None:
    """Add to a summary what was found beside the items and while assembling."""
    known = {failure.split(":", 1)[0] for failure in summary.failed}
    summary.failed += [text for text in late if text.split(":", 1)[0] not in known]
    summary.items = len(items) - len({text.split(":", 1)[0] for text in late})
    summary.failed += reader.failed()
    summary.left_out = [f"{name}: {reason}" for name, reason in reader.left_out().items()]
    for texts in (summary.failed, summary.left_out, summary.notes):
        texts[:] = map(printable, texts)


def _check_target(target: Path, folder: Path, overwrite: bool) -> None:
    if target.exists() and not overwrite:
        begun = f"; {folder} holds what another conversion to it began" if is_begun(folder) else ""
        raise FileExistsError(
            f"{target} is there already; name another target or --overwrite{begun}"
        )
    if target.is_dir() and not (target / SIDECAR).is_file():
        raise ValueError(
            f"{target} is a folder without {SIDECAR}, so no conversion wrote it and it is not "
            "overwritten; name another target, or remove it yourself"
        )


def _write_contact_sheet(
    source: Path, target: Path, reader: Any, made_by: dict[str, Any]
) -> Path | None:
    """Write the page beside the target, which is whole by now: a failure here is a warning."""
    try:
        return write_contact_sheet(
            target.with_name(target.name + ".html"),
            reader.sample_pairs(target),
            title=f"{source.name} → {target.name}",
            made_by=made_by,
        )
    except Exception as error:
        warnings.warn(
            f"{target} is finished, but its page of frames before and after could not be written "
            f"({error})",
            RuntimeWarning,
            stacklevel=3,
        )
        return None


def _check_arguments(
    draws: int,
    workers: int | None,
    engine: str,
    batch_size: int,
    shard: tuple[int, int] | None,
    num_trajs: int | None,
    max_pixels: int | None,
) -> None:
    numbers = {
        "draws": draws,
        "workers": 1 if workers is None else workers,
        "batch_size": batch_size,
        "num_trajs": 1 if num_trajs is None else num_trajs,
        "max_pixels": 1 if max_pixels is None else max_pixels,
    }
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"{name} must be 1 or more, received {value}")
    if engine not in ("local", "ray") and not engine.startswith("ray="):
        raise ValueError(f"engine must be 'local', 'ray' or 'ray=ADDRESS', received {engine!r}")
    if shard is not None and not 0 <= shard[0] < shard[1]:
        raise ValueError(
            f"the shard's index must lie in 0 to {shard[1] - 1} (number of shards less one), "
            f"received {shard[0]}"
        )


def _check_places(source: Path, target: Path) -> None:
    """Refuse a target that would take the source with it, and a folder of parts not ours."""
    read, written = source.resolve(), target.resolve()
    if read == written:
        raise ValueError(f"source and target are the same, {source}; name another target")
    if read.is_relative_to(written) or written.is_relative_to(read):
        raise ValueError(
            f"source and target must not lie within each other, received {source} and {target}; "
            "name another target"
        )
    check_parts_folder(target)


def _plan(
    source: Path,
    reader: Any,
    batch_size: int,
    shard: tuple[int, int] | None,
    made_by: dict[str, Any],
) -> dict[str, Any]:
    """What parts of an earlier run must agree in to be used."""
    return {
        "source": source.name,
        "files": reader.stamps(),
        "items": [[item.name, item.source] for item in reader.items()],
        "selection": reader.selection(),
        "batch_size": batch_size,
        "shard": shard and list(shard),
        "fingerprint": made_by["fingerprint"],
        "dtype": made_by["dtype"],
    }
