"""Frames of one demo as pictures or as a video, raw beside stem."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.config import StemConfig
from stemob_wrappers.made_by import is_converted, open_hdf5
from stemob_wrappers.pictures import write_image
from stemob_wrappers.videos import VIDEO_SUFFIXES, write_video


def visualize(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    demo: str = "demo_0",
    key: str | None = None,
    raw: str | os.PathLike[str] | None = None,
    config: StemConfig | None = None,
    every: int = 1,
    fps: float = 20.0,
) -> int:
    """Write frames of a demo and return how many.

    Args:
        source: robomimic HDF5 file, raw or converted.
        output: folder for ``image_0.png``, …, or a video file (.mp4, .avi).
        demo: name of the demo.
        key: name of the image below ``obs``; None takes the first.
        raw: the file that a converted source was made from: its frames go to the left.
        config: invert the frames of a raw source and put the result to the right.
        every: write every so many-th frame.
        fps: frames a second of a video.

    Raises:
        FileNotFoundError, ValueError: no such file, demo or image, or a ``config`` for a source
            that is converted already.

    Example:
        >>> import h5py
        >>> with h5py.File("demo.hdf5", "w") as file:
        ...     file["data/demo_0/obs/front"] = np.zeros((6, 84, 84, 3), np.uint8)
        >>> visualize("demo.hdf5", "pictures", config=StemConfig(), every=2)
        3
    """
    if every < 1:
        raise ValueError(f"every must be 1 or more, received {every}")
    if config is not None and is_converted(Path(source)):
        raise ValueError(f"{source} holds stem frames already; leave out the config")
    output = Path(output)
    frames = _side_by_side(
        Path(source), demo, key, None if raw is None else Path(raw), config, every
    )
    if output.suffix.lower() in VIDEO_SUFFIXES:
        return write_video(output, frames, fps)
    count = 0
    for count, frame in enumerate(frames, start=1):
        write_image(output / f"image_{(count - 1) * every}.png", frame)
    return count


def _side_by_side(
    source: Path,
    demo: str,
    key: str | None,
    raw: Path | None,
    config: StemConfig | None,
    every: int,
) -> Iterator[NDArray[np.uint8]]:
    pipeline = None
    if config is not None:
        from stemob_wrappers.stem.pipeline import StemPipeline

        pipeline = StemPipeline(config)
    with open_hdf5(source) as file, open_hdf5(raw or source) as raw_file:
        image, layout = _find(file, demo, key)
        before, _ = _find(raw_file, demo, key)
        for row in range(0, len(image), every):
            frames = [layout.to_frames(np.asarray(image[row]))]
            if pipeline is not None:
                frames.append(pipeline(frames[0], episodes=[demo.encode()] * len(frames[0])))
            elif raw is not None:
                frames.insert(0, layout.to_frames(np.asarray(before[row])))
            # Stacked frames: the last one is the newest.
            yield np.concatenate([frame[-1] for frame in frames], axis=1)


def _find(file: Any, demo: str, key: str | None) -> Any:
    from stemob_wrappers.datasets.robomimic.images import find_demo_images

    if "data" not in file or demo not in file["data"]:
        raise ValueError(f"{file.filename} has no demo {demo!r}")
    found = {
        path.split("/", 1)[1]: image
        for path, image in find_demo_images(file["data"][demo]).images.items()
        if path.startswith("obs/")
    }
    if not found or (key is not None and key not in found):
        raise ValueError(
            f"{demo} of {file.filename} has no image {key or ''!r} in obs; its images are "
            f"{', '.join(map(repr, found)) or 'none'}"
        )
    return found[key if key is not None else next(iter(found))]
