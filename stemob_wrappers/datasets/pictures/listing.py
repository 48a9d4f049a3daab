"""Look through a folder: what becomes stem frames, what is copied, and why."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from stemob_wrappers.pictures import IMAGE_SUFFIXES, MAX_PIXELS, kind_of_image
from stemob_wrappers.stem.frames import named_as_no_colour
from stemob_wrappers.videos import VIDEO_SUFFIXES

# Formats of pictures and videos that are not converted: copied, and named.
OTHER_IMAGES = (".gif", ".apng", ".tif", ".tiff", ".jp2", ".jxl", ".avif", ".heic", ".heif", ".exr")
OTHER_IMAGES += (".hdr", ".ppm", ".pgm", ".pnm", ".ico", ".tga")
OTHER_VIDEOS = (".mpg", ".mpeg", ".m4v", ".wmv", ".flv", ".ts", ".ogv", ".3gp")


@dataclass
class Listing:
    """The files below a folder, by their paths there.

    Attributes:
        converted: what becomes stem frames.
        copied: what is carried over as it is.
        left_out: pictures among those, and what is no file at all, with the reason.
        failed: what could not be looked at.
    """

    converted: list[Path] = field(default_factory=list)
    copied: list[Path] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


def list_pictures(root: Path, max_pixels: int = MAX_PIXELS) -> Listing:
    """Look at every file below a folder; links are followed, but not in circles.

    Args:
        root: the folder.
        max_pixels: what a picture may declare.

    Example:
        >>> Path("frames").mkdir()
        >>> _ = Path("frames/notes.txt").write_text("none")
        >>> list_pictures(Path("frames")).copied
        [PosixPath('notes.txt')]
    """
    listing = Listing()
    status = root.stat()
    for file in _files(root, Path(), ((status.st_dev, status.st_ino),), listing):
        reason = _why_not(root, file, max_pixels)
        if reason == "":
            listing.converted.append(file)
        else:
            listing.copied.append(file)
        if reason:
            listing.left_out[str(file)] = reason
    return listing


def is_video(file: Path) -> bool:
    """Whether a path names a video, by its suffix."""
    return file.suffix.lower() in VIDEO_SUFFIXES


def _files(
    root: Path, folder: Path, above: tuple[tuple[int, int], ...], listing: Listing
) -> list[Path]:
    """The files below a folder, in order; ``above`` tells the folders that it lies in."""
    try:
        entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
    except OSError as error:
        listing.failed.append(f"{folder}: cannot be listed ({error.strerror})")
        return []
    found: list[Path] = []
    for entry in entries:
        path = folder / entry.name
        try:
            status = entry.stat()
        except OSError as error:
            what = "a link that leads nowhere" if entry.is_symlink() else "cannot be read"
            listing.failed.append(f"{path}: {what} ({error.strerror})")
            continue
        here = (status.st_dev, status.st_ino)
        if stat.S_ISREG(status.st_mode):
            found.append(path)
        elif not stat.S_ISDIR(status.st_mode):
            listing.left_out[str(path)] = "it is no file, but a pipe, socket or device"
        elif here in above:
            listing.left_out[str(path)] = "it is a link to a folder that it lies in"
        else:
            found += _files(root, path, (*above, here), listing)
    return found


def _why_not(root: Path, file: Path, max_pixels: int) -> str | None:
    """Say why a picture is not converted: "" if it is, None for what is no picture."""
    suffix = file.suffix.lower()
    if suffix in OTHER_IMAGES + OTHER_VIDEOS:
        return f"{suffix} is not converted"
    if suffix not in IMAGE_SUFFIXES + VIDEO_SUFFIXES:
        return None
    if any(map(named_as_no_colour, file.parts)):
        return "its name speaks of depth, segmentation, mask, normal or flow"
    if suffix in VIDEO_SUFFIXES:
        return ""
    try:
        kind = kind_of_image(root / file, max_pixels=max_pixels)
    except (OSError, ValueError):
        return ""  # it fails by name when it is read
    return f"it is {kind}, not RGB of 8 bits" if kind else ""
