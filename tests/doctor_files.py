"""Copies of a sound file of demonstrations, each with a fault of its own."""

import json
import shutil
from pathlib import Path
from typing import Any

import h5py

from stemob_wrappers.doctor.examine import Examination

SIZE = 48
KEY = "agentview_image"
STATES = 4


def damaged(path: Path, folder: Path, frames: Any = None, key: str = KEY, **env_args: Any) -> Path:
    """Copy a file, and change its frames or what it says of its env."""
    copy = folder / "damaged.hdf5"
    shutil.copy(path, copy)
    with h5py.File(copy, "r+") as file:
        demo: Any = file["data/demo_0"]
        if frames is not None:
            stored = demo[f"obs/{KEY}"][:]
            del demo["obs"]
            demo[f"obs/{key}"] = frames(stored)
        said = json.loads(str(file["data"].attrs["env_args"]))
        file["data"].attrs["env_args"] = json.dumps({**said, **env_args})
    return copy


def faults(found: Examination) -> set[str]:
    return {finding.fault for finding in found.findings}
