"""Which format a data set has, and the reader for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stemob_wrappers.datasets.lerobot.layout import is_lerobot
from stemob_wrappers.datasets.minari.metadata import MAIN_FILE, is_minari
from stemob_wrappers.datasets.stems import Stems
from stemob_wrappers.extras import needs
from stemob_wrappers.made_by import is_converted, is_hdf5

Compare = Callable[[Any, Path, dict[str, Any], Stems], list[str]]

# What each format's reader takes beside the path, and what it is called in errors.
TAKES = {
    "robomimic": ("HDF5 files", ("keys", "filter_key", "num_trajs", "draws", "to")),
    "lerobot": ("LeRobot data sets", ("keys",)),
    "minari": ("Minari data sets", ("keys",)),
    "pictures": ("folders of images and videos", ("allow_short", "max_pixels", "draws")),
}


def format_of(source: Path) -> str:
    """Return the name of a data set's format, by what lies there.

    Raises:
        FileNotFoundError: nothing does.

    Example:
        >>> Path("frames").mkdir()
        >>> format_of(Path("frames"))
        'pictures'
    """
    if not source.exists():
        raise FileNotFoundError(f"no data set at {source}")
    if source.is_file() and is_hdf5(source):
        return "robomimic"
    if is_lerobot(source):
        return "lerobot"
    return "minari" if is_minari(source) else "pictures"


def open_source(source: Path, options: dict[str, Any]) -> Any:
    """Return the reader of a data set that is to be converted.

    Args:
        source: the data set.
        options: by name, None for those that were not given.

    Raises:
        FileNotFoundError: nothing is there.
        ImportError: a library that reads the format is missing.
        ValueError: an option that the format does not have, or a source that is converted already.
    """
    kind = format_of(source)
    what, taken = TAKES[kind]
    for name, value in options.items():
        if value is not None and name not in taken:
            others = [text for text, names in TAKES.values() if name in names]
            raise ValueError(
                f"{name} is for {' and '.join(others)}, but {source} is none of those, it is one "
                f"of the {what}; leave it out"
            )
    if is_converted(source):  # no environment shows frames that were converted twice
        raise ValueError(
            f"{source} holds stem frames already; convert the raw data set that it was made from"
        )
    return _reader(kind, source, {name: options[name] for name in taken if name in options})


def reader_of(source: Path, made_by: dict[str, Any]) -> Any:
    """Return the reader that a converted data set was made with, from its provenance."""
    kind = format_of(source)
    options = made_by["selection"] | {"draws": made_by["draws"]}
    return _reader(kind, source, {name: options.get(name) for name in TAKES[kind][1]})


def comparison_of(source: Path, made_by: dict[str, Any]) -> Compare:
    """Return what compares a data set with its converted copy."""
    kind = format_of(source)
    if made_by["selection"].get("to") == "lerobot" or kind == "lerobot":
        from stemob_wrappers.datasets.lerobot.verify import compare_lerobot as compare
    elif kind == "robomimic":
        from stemob_wrappers.datasets.robomimic.verify import compare_files as compare
    elif kind == "minari":
        from stemob_wrappers.datasets.minari.verify import compare_minari as compare
    else:
        from stemob_wrappers.datasets.pictures.verify import compare_pictures as compare
    return compare


def _reader(kind: str, source: Path, options: dict[str, Any]) -> Any:
    given = {name: value for name, value in options.items() if value is not None}
    if "keys" in given:
        given["keys"] = tuple(given["keys"])
    if kind == "pictures":
        from stemob_wrappers.datasets.pictures.source import PicturesSource

        return PicturesSource(source, **given)
    if kind == "lerobot":
        from stemob_wrappers.datasets.lerobot.source import LeRobotSource

        return LeRobotSource(source, **given)
    _check_hdf5(source if kind == "robomimic" else source / MAIN_FILE)
    if kind == "minari":
        from stemob_wrappers.datasets.minari.source import MinariSource

        return MinariSource(source, **given)
    from stemob_wrappers.datasets.robomimic.source import RobomimicSource

    to = given.pop("to", None)
    reader = RobomimicSource(source, **given)
    if to is None:
        return reader
    from stemob_wrappers.datasets.lerobot.from_robomimic import LeRobotOfRobomimic

    return LeRobotOfRobomimic(reader)


def _check_hdf5(path: Path) -> None:
    with needs("datasets", "an HDF5 data set"):
        import h5py

    try:
        h5py.File(path, "r").close()
    except OSError as error:
        raise OSError(f"{path} cannot be read as HDF5 ({error})") from error
