"""A robomimic file of random frames, with everything in it that a conversion must carry over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def make_file(
    path: Path,
    *,
    demos: int = 3,
    length: int = 6,
    size: int = 16,
    cameras: tuple[str, ...] = ("agentview_image", "eye_image"),
    next_obs: bool = True,
    seed: int = 0,
) -> Path:
    """Write a file as robomimic's tools do; ``next_obs[t]`` is ``obs[t + 1]``."""
    rng = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        data = file.create_group("data", track_order=True)
        data.attrs["total"] = demos * length
        data.attrs["env_args"] = json.dumps(
            {"env_name": "Lift", "type": 1, "env_kwargs": {"camera_names": ["agentview"]}}
        )
        file.attrs["creator"] = np.bytes_(b"a fixed-length string")
        for index in range(demos):
            demo = data.create_group(f"demo_{index}")
            demo.attrs["num_samples"] = length
            demo.attrs["model_file"] = f"<mujoco model='{index}'/>" * 50
            demo.create_dataset(
                "actions",
                data=rng.normal(size=(length, 7)),
                chunks=(2, 7),
                compression="gzip",
                shuffle=True,
                fletcher32=True,
            )
            demo["states"] = rng.normal(size=(length, 5)).astype(">f4")  # contiguous, big endian
            demo["rewards"] = demo["actions"]  # a second name of the same object
            demo["link"] = h5py.SoftLink(f"/data/demo_{index}/states")
            demo["elsewhere"] = h5py.ExternalLink("other.hdf5", "/data")
            for camera in cameras:
                _write_images(demo, camera, rng, length, size, next_obs)
            demo["obs/depth_image"] = rng.integers(0, 255, (length, size, size, 3), np.uint8)
            demo["obs/state"] = rng.normal(size=(length, 3))
        names = [f"demo_{index}" for index in range(demos)]
        file["mask/train"] = np.array(names[:-1], dtype="S8")
        file["mask/valid"] = np.array(names[-1:], dtype="S8")
        file["notes"] = "kept"
    return path


def _write_images(
    demo: h5py.Group, camera: str, rng: Any, length: int, size: int, next_obs: bool
) -> None:
    frames = rng.integers(0, 256, (length + 1, size, size, 3), dtype=np.uint8)
    settings: dict[str, Any] = {"chunks": (1, size, size, 3), "compression": "gzip"}
    made = demo.create_dataset(f"obs/{camera}", data=frames[:-1], **settings)
    made.attrs["fov"] = 45.0
    if next_obs:
        demo.create_dataset(f"next_obs/{camera}", data=frames[1:], **settings)


def contents(path: Path) -> dict[str, Any]:
    """Everything in a file by name: bytes of data sets, links, attributes, storage properties."""
    found: dict[str, Any] = {}

    def visit(group: h5py.Group) -> None:
        found[f"{group.name} attrs"] = attributes(group)
        for name in map(str, group):
            where = f"{group.name}/{name}"
            link: Any = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                found[where] = (type(link).__name__, link.path)
                continue
            item: Any = group[name]
            if isinstance(item, h5py.Group):
                visit(item)
            else:
                value = np.asarray(item[()])
                payload = value.tolist() if value.dtype == object else value.tobytes()
                found[where] = (item.dtype.str, item.shape, item.chunks, item.compression, payload)
                found[f"{where} attrs"] = attributes(item)

    with h5py.File(path, "r") as file:
        visit(file)
    return found


def attributes(item: Any) -> dict[str, Any]:
    """Attributes with the type they are stored in."""
    return {
        name: (item.attrs.get_id(name).get_type().get_size(), np.asarray(value).tolist())
        for name, value in item.attrs.items()
    }
