"""What a data set says of what made its frames, read back; a policy keeps it of what it learned.

`stem.provenance` writes it and checks against it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from stemob_wrappers.extras import needs

SIDECAR = "stemob.json"  # in a folder of pictures; VIDEO.stemob.json beside a single video
PREFIX = "stemob_"  # of our attributes on the group "data" of an HDF5 file
_HDF5_SUFFIXES = (".hdf5", ".h5", ".hdf")
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def read_provenance(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the provenance in a converted HDF5 file or folder, or beside a converted video.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: it was not written by ``invert_dataset``.

    Example:
        >>> from stemob_wrappers.pictures import np, write_image
        >>> from stemob_wrappers.datasets import invert_dataset
        >>> write_image(Path("frames/0.png"), np.zeros((16, 16, 3), np.uint8))
        >>> _ = invert_dataset("frames", "stem")
        >>> read_provenance("stem")["config"]["inversion_steps"]
        5
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no data set at {path}")
    sidecar = sidecar_of(path)
    if sidecar.is_file():
        return json.loads(sidecar.read_text())
    if path.is_dir() or not (is_hdf5(path) or _starts_as_hdf5(path)):
        raise ValueError(_no_provenance(path))
    with open_hdf5(path) as file:
        attributes: Any = file["data"].attrs if "data" in file else {}
        if f"{PREFIX}fingerprint" not in attributes:
            raise ValueError(_no_provenance(path))
        stored: dict[str, str] = {
            name.removeprefix(PREFIX): str(attributes[name])
            for name in attributes
            if name.startswith(PREFIX)
        }
    return {
        name: value if name in ("fingerprint", "dtype") else json.loads(value)
        for name, value in stored.items()
    }


def is_converted(path: Path) -> bool:
    """Whether an HDF5 file, a folder or a video was written by ``invert_dataset``.

    Raises:
        FileNotFoundError: nothing is there.
        OSError: a file that is named as HDF5, and is none.
    """
    try:
        read_provenance(path)
    except ValueError:
        return False
    return True


def sidecar_of(path: Path) -> Path:
    """Where the provenance of a folder of pictures, or of a single video, lies.

    Example:
        >>> sidecar_of(Path("stem.mp4")).name
        'stem.mp4.stemob.json'
    """
    return path / SIDECAR if path.is_dir() else path.with_name(f"{path.name}.{SIDECAR}")


def read_all(path: str | os.PathLike[str]) -> dict[Path, dict[str, Any]]:
    """Return the provenance of a data set, or of each data set that a folder holds.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: no data set there was written by ``invert_dataset``, or only some of them were.
    """
    path = Path(path)
    if not path.is_dir() or sidecar_of(path).is_file():
        return {path: read_provenance(path)}
    inner = [
        child
        for child in sorted(path.iterdir())
        if is_hdf5(child) or (child.is_dir() and sidecar_of(child).is_file())
    ]
    if not inner:
        raise ValueError(_no_provenance(path))
    return {child: read_provenance(child) for child in inner}


def learned_from(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return what a policy keeps of the data set that it learns from; None for raw frames.

    The fingerprint and the config of its frames, and which images of the observation they are
    (None where they have no names). `evaluation` reads it from the policy's ``learned_from``.

    Raises:
        FileNotFoundError: nothing is there.

    Example:
        >>> Path("raw").mkdir()
        >>> learned_from("raw") is None
        True
    """
    try:
        made_by = read_provenance(path)
    except ValueError:
        return None
    return {name: made_by.get(name) for name in ("fingerprint", "config", "converted")}


def open_hdf5(path: Path) -> Any:
    """Open an HDF5 file to read; h5py's own errors do not name it.

    Raises:
        OSError: it is missing, or no HDF5 file.
    """
    with needs("datasets"):
        import h5py  # pyright: ignore[reportMissingTypeStubs]

    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise type(error)(f"{path} cannot be read as HDF5 ({error})") from error


def is_hdf5(path: Path) -> bool:
    """Whether a path names an HDF5 file, by its suffix."""
    return path.suffix.lower() in _HDF5_SUFFIXES


def _starts_as_hdf5(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(len(_HDF5_SIGNATURE)) == _HDF5_SIGNATURE


def _no_provenance(path: Path) -> str:
    return (
        f"{path} does not say what made its frames, so it holds raw frames or was written by "
        "another tool; convert it with stemob invert-dataset"
    )
