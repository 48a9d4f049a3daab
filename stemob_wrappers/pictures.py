"""Pictures for people: read and write images, lay frames out in a labelled grid."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.extras import needs

with needs("images"):
    import cv2
    import PIL.Image
    import simplejpeg

from stemob_wrappers.work import whole_file

Image = NDArray[np.uint8]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
# What a picture, or a frame of a video, may declare before memory is taken for it: 8192 x 4096.
MAX_PIXELS = 2**25
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
_ORIENTATION = 0x0112  # the tag in EXIF
_LARGEST_OVERHEAD = 2**20  # bytes beside the pixels of a picture
_NO_LOSS = ("", "grey", "opaque alpha")  # what becomes RGB without losing anything


def read_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> Image:
    """Read an image file as RGB, uint8 [H, W, 3], upright; grey becomes RGB.

    Args:
        path: .png, .jpg, .bmp or .webp.
        max_pixels: refuse larger pictures, before memory is taken for them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no image that can be read, a damaged or a too large one, or one that RGB of 8
            bits cannot hold: transparent, animated, CMYK or of 16 bits.

    Example:
        >>> write_image(Path("a.png"), np.zeros((84, 84, 3), np.uint8))
        >>> read_image(Path("a.png")).shape
        (84, 84, 3)
    """
    with _opened(path, max_pixels) as (picture, file):
        kind = _kind(picture, file)
        if kind == "alpha" and picture.convert("RGBA").getextrema()[3] == (255, 255):
            kind = "opaque alpha"
        if kind not in _NO_LOSS:
            raise ValueError(f"it is {kind}, which RGB of 8 bits cannot hold")
        orientation = picture.getexif().get(_ORIENTATION, 1)
        file.seek(0)
        data = file.read()
        if picture.format in ("JPEG", "MPO"):
            return _turned(simplejpeg.decode_jpeg(data), orientation)  # its warnings are errors
        if picture.format == "PNG":
            PIL.Image.open(io.BytesIO(data)).verify()  # checksums, which decoding passes over
        return _turned(np.asarray(picture.convert("RGB")), orientation)


def kind_of_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> str:
    """Say what keeps an image file from being RGB of 8 bits: "" where nothing does.

    Only the header is read.

    Raises:
        FileNotFoundError, ValueError: no image that can be read, or a too large one.

    Example:
        >>> write_image(Path("a.png"), np.zeros((84, 84, 3), np.uint8))
        >>> kind_of_image(Path("a.png"))
        ''
    """
    with _opened(path, max_pixels) as (picture, file):
        return _kind(picture, file)


def write_image(path: Path, image: Image) -> None:
    """Write an RGB image, uint8 [H, W, 3]; a reader never sees half a file.

    Raises:
        ValueError: a suffix that is not written here.
        OSError: the file cannot be written.

    Example:
        >>> write_image(Path("frame.png"), np.zeros((8, 8, 3), np.uint8))
    """
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError(f"{path} must end in one of {', '.join(IMAGE_SUFFIXES)}")
    with whole_file(path) as temporary:
        temporary.write_bytes(encode_image(image, path.suffix))


def encode_image(image: Image, suffix: str = ".png") -> bytes:
    r"""Return the bytes of a file that holds an RGB image, uint8 [H, W, 3].

    Example:
        >>> encode_image(np.zeros((8, 8, 3), np.uint8))[:4]
        b'\x89PNG'
    """
    _, encoded = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return encoded.tobytes()


def write_gif(
    path: Path,
    frames: Sequence[Image],
    seconds: float,
    *,
    last: float = 0.0,
    colours: int = 128,
    max_bytes: int = 2_000_000,
) -> int:
    """Write frames as a GIF that plays for ever; return how many it shows.

    A long film is shown with fewer frames, each for longer, so that it fits.

    Args:
        path: .gif.
        frames: RGB, uint8 [H, W, 3], of one size.
        seconds: how long a frame is shown; GIF counts in hundredths.
        last: how much longer the last one is shown, in seconds.
        colours: of its one palette, 2 to 256: colours do not flicker from frame to frame.
        max_bytes: of the file.

    Raises:
        ValueError: another suffix, no frames, several sizes, or a frame alone that does not fit.
        OSError: the file cannot be written.

    Example:
        >>> write_gif(Path("a.gif"), [np.zeros((8, 8, 3), np.uint8)] * 3, 0.2)
        3
    """
    sizes = {frame.shape for frame in frames}
    if path.suffix.lower() != ".gif" or len(sizes) != 1:
        raise ValueError(
            f"need a path in .gif and frames of one size, received {path} and {len(frames)} frames "
            f"of the sizes {sorted(sizes)}"
        )
    shown, duration = list(frames), seconds
    while len(content := _encode_gif(shown, duration, last, colours)) > max_bytes:
        if len(shown) == 1:
            raise ValueError(f"a frame takes {len(content)} bytes, more than max_bytes={max_bytes}")
        shown = [*shown[:-1:2], shown[-1]] if len(shown) > 2 else shown[-1:]
        duration = seconds * len(frames) / len(shown)
    with whole_file(path) as temporary:
        temporary.write_bytes(content)
    return len(shown)


def _encode_gif(frames: Sequence[Image], seconds: float, last: float, colours: int) -> bytes:
    some = frames[:: max(1, len(frames) // 16)]
    palette = PIL.Image.fromarray(np.concatenate(some)).quantize(colours)
    flat = [
        PIL.Image.fromarray(frame).quantize(palette=palette, dither=PIL.Image.Dither.NONE)
        for frame in frames
    ]
    durations = [round(1000 * seconds)] * (len(flat) - 1) + [round(1000 * (seconds + last))]
    file = io.BytesIO()
    flat[0].save(
        file,
        "GIF",
        save_all=True,
        append_images=flat[1:],
        duration=durations,
        loop=0,
        optimize=False,
    )
    return file.getvalue()


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


@contextlib.contextmanager
def _opened(path: Path, max_pixels: int) -> Iterator[tuple[Any, Any]]:
    """Open an image file by its header; whatever a decoder raises or warns of is a ValueError."""
    if not path.is_file():
        raise FileNotFoundError(f"no image at {path}")
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
                with PIL.Image.open(file, formats=_FORMATS) as picture:
                    _check_size(picture, size, max_pixels)
                    yield picture, file
        except Exception as error:  # decoders raise all sorts of things on damaged files
            raise ValueError(f"{path} is no image that can be read ({error})") from error


def _check_size(picture: Any, size: int, max_pixels: int) -> None:
    width, height = picture.size
    if width * height > max_pixels:
        raise ValueError(
            f"it declares {width} x {height} pixels, more than max_pixels={max_pixels}"
        )
    if size > 4 * width * height + _LARGEST_OVERHEAD:
        raise ValueError(f"it has {size} bytes for {width} x {height} pixels")


def _kind(picture: Any, file: Any) -> str:
    if picture.format != "MPO" and getattr(picture, "n_frames", 1) > 1:
        return f"animated ({picture.n_frames} frames)"
    if picture.format == "PNG" and _png_bits(file) == 16:
        return "of 16 bits a channel"
    if picture.mode in ("RGB", "P") and not picture.has_transparency_data:
        return ""
    if picture.has_transparency_data:
        return "alpha"
    return "grey" if picture.mode in ("1", "L") else picture.mode


def _png_bits(file: Any) -> int:
    place = file.tell()
    file.seek(24)  # signature, length and name of the header, width, height
    (bits,) = struct.unpack("B", file.read(1))
    file.seek(place)
    return bits


def _turned(pixels: Image, orientation: int) -> Image:
    """Turn pixels as EXIF says that they are to be shown."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.array(pixels, np.uint8, order="C")
