"""Pictures for people: read and write images and videos, lay frames out in a labelled grid."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm")


def read_image(path: Path) -> Image:
    """Read an image file as RGB, uint8 [H, W, 3].

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no image that OpenCV reads.

    Example:
        >>> read_image(Path("frame.png")).shape # doctest: +SKIP
        (84, 84, 3)
    """
    if not path.is_file():
        raise FileNotFoundError(f"no image at {path}")
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{path} is no image that can be read ({', '.join(IMAGE_SUFFIXES)})")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def write_image(path: Path, image: Image) -> None:
    """Write an RGB image, uint8 [H, W, 3]; a reader never sees half a file.

    Raises:
        ValueError: a suffix that OpenCV does not write.

    Example:
        >>> write_image(Path("frame.png"), np.zeros((8, 8, 3), np.uint8)) # doctest: +SKIP
    """
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError(f"{path} must end in one of {', '.join(IMAGE_SUFFIXES)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    _, encoded = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(encoded.tobytes())
    os.replace(temporary, path)


def read_video(path: Path) -> Iterator[Image]:
    """Yield the frames of a video as RGB, uint8 [H, W, 3].

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no video that OpenCV reads.

    Example:
        >>> sum(1 for _ in read_video(Path("episode.mp4"))) # doctest: +SKIP
        500
    """
    capture = _open_video(path)
    try:
        found, image = capture.read()
        if not found:
            raise ValueError(f"{path} is a video without a frame that can be read")
        while found:
            yield np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
            found, image = capture.read()
    finally:
        capture.release()


def video_properties(path: Path) -> tuple[float, int]:
    """Return the frames a second of a video and how many frames it says it has.

    Raises:
        FileNotFoundError, ValueError: as for :func:`read_video`.

    Example:
        >>> video_properties(Path("episode.mp4")) # doctest: +SKIP
        (20.0, 500)
    """
    capture = _open_video(path)
    try:
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        return capture.get(cv2.CAP_PROP_FPS) or 20.0, max(count, 0)
    finally:
        capture.release()


def write_video(path: Path, frames: Iterable[Image], fps: float) -> int:
    """Write RGB frames of one size as a video and return how many there were.

    Raises:
        ValueError: no frame at all, or a format that OpenCV does not write here.
        OSError: not every frame arrived in the file, as on a full disk.

    Example:
        >>> write_video(Path("episode.mp4"), [np.zeros((84, 84, 3), np.uint8)], 20) # doctest: +SKIP
        1
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    writer, count = None, 0
    try:
        for frame in frames:
            if writer is None:
                height, width = frame.shape[:2]
                fourcc = cv2.VideoWriter.fourcc(*("MJPG" if path.suffix == ".avi" else "mp4v"))
                writer = cv2.VideoWriter(str(temporary), fourcc, fps, (width, height))
                if not writer.isOpened():
                    raise ValueError(f"{path} cannot be written; use .mp4 or .avi")
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
            count += 1
        if writer is None:
            raise ValueError(f"no frame to write to {path}")
        writer.release()
        written = _count_frames(temporary)
        if written != count:  # the writer itself says nothing
            raise OSError(
                f"{path}: only {written} of {count} frames could be written; is the disk full?"
            )
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return count


def grid(
    rows: Sequence[Sequence[Image]],
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    *,
    cell: int = 168,
) -> Image:
    """Lay images out in rows on white, each scaled to ``cell`` pixels of width, with labels.

    Args:
        rows: images, uint8 [H, W, 3], by row and column.
        row_labels: one text per row, or none.
        column_labels: one text per column, or none.

    Returns:
        uint8 [H, W, 3].

    Example:
        >>> grid([[np.zeros((84, 84, 3), np.uint8)]], ["raw"], ["clean"]).shape
        (204, 223, 3)
    """
    gap, header = 4, 28 if column_labels else 0
    margin = 20 + 9 * max(map(len, row_labels)) if row_labels else 0
    heights = [max(round(image.shape[0] * cell / image.shape[1]) for image in row) for row in rows]
    columns = max(len(row) for row in rows)
    size = (header + sum(heights) + 2 * gap * len(rows), margin + columns * (cell + gap) + gap, 3)
    sheet = np.full(size, 255, np.uint8)
    for index, label in enumerate(column_labels):
        _write(sheet, label, margin + gap + index * (cell + gap), 20)
    top = header + gap
    for index, (row, height) in enumerate(zip(rows, heights, strict=True)):
        if row_labels:
            _write(sheet, row_labels[index], 8, top + height // 2)
        for column, image in enumerate(row):
            scaled_height = round(image.shape[0] * cell / image.shape[1])
            enlarge = cell >= image.shape[1]
            scaled = cv2.resize(
                image,
                (cell, scaled_height),
                interpolation=cv2.INTER_NEAREST if enlarge else cv2.INTER_AREA,
            )
            left = margin + gap + column * (cell + gap)
            sheet[top : top + scaled_height, left : left + cell] = scaled
        top += height + 2 * gap
    return sheet


def _write(sheet: Image, text: str, left: int, baseline: int) -> None:
    font, black = cv2.FONT_HERSHEY_SIMPLEX, (0, 0, 0)
    cv2.putText(sheet, text, (left, baseline), font, 0.5, black, 1, cv2.LINE_AA)


def _count_frames(path: Path) -> int:
    """How many frames a video really holds, whatever its header says."""
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.grab():
        count += 1
    capture.release()
    return count


def _open_video(path: Path) -> cv2.VideoCapture:
    if not path.is_file():
        raise FileNotFoundError(f"no video at {path}")
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise ValueError(f"{path} is no video that can be read ({', '.join(VIDEO_SUFFIXES)})")
    return capture
