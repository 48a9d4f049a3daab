"""Videos as frames: read so that what is missing is an error, written whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stemob_wrappers.extras import OnUse
from stemob_wrappers.pictures import MAX_PIXELS, Image
from stemob_wrappers.work import whole_file

av: Any = OnUse("av", "video")  # pictures are told from videos without it

# By suffix, not by what a file claims: playlists and other formats that open further files are out.
DEMUXERS = {".mp4": "mov", ".mov": "mov", ".avi": "avi", ".mkv": "matroska", ".webm": "matroska"}
ENCODERS = {
    ".mp4": ("mp4", "mpeg4", "yuv420p"),
    ".mov": ("mov", "mpeg4", "yuv420p"),
    ".mkv": ("matroska", "mpeg4", "yuv420p"),
    ".avi": ("avi", "mjpeg", "yuvj420p"),
    ".webm": ("webm", "libvpx-vp9", "yuv420p"),  # which browsers play
}
VIDEO_SUFFIXES = tuple(DEMUXERS)
_QUALITY = {"qmin": "2", "qmax": "2"}
_VP9_QUALITY = {"crf": "12", "b": "0"}  # it knows quantisers by another scale
FALLBACK_FPS = 20.0


class VideoProperties(NamedTuple):
    """What a video says of itself.

    Attributes:
        fps: frames a second, on average.
        frames: how many frames it should have; 0 where it does not say.
        varying: whether its frames come at varying times.
        others: how many other streams it holds, such as sound.
    """

    fps: float
    frames: int
    varying: bool = False
    others: int = 0


def read_video(
    path: Path, *, allow_short: bool = False, max_pixels: int = MAX_PIXELS
) -> Iterator[Image]:
    """Yield the frames of a video, upright, as RGB, uint8 [H, W, 3].

    Args:
        path: .mp4, .mov, .avi, .mkv or .webm.
        allow_short: keep the frames before the damage of a video that is damaged or cut off.
        max_pixels: refuse larger frames, before memory is taken for them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no video that can be read, fewer frames than the file says, transparency, or
            frames that are too large, mirrored or of several sizes.

    Example:
        >>> _ = write_video(Path("a.mp4"), [np.zeros((84, 84, 3), np.uint8)] * 5, 20)
        >>> sum(1 for _ in read_video(Path("a.mp4")))
        5
    """
    count, discarded, problem = 0, 0, ""
    with _opened(path, max_pixels) as (container, stream):
        declared, tolerance = _declared(container, stream)
        converter = av.video.reformatter.VideoReformatter()
        try:
            for packet in container.demux(stream):
                if packet.is_corrupt:
                    raise av.error.InvalidDataError(0, "damaged packet", str(path))
                discarded += packet.is_discard
                for frame in packet.decode():
                    yield _upright(path, frame, stream, converter)
                    count += 1
        except av.error.FFmpegError as error:
            problem = f": {error.strerror or error}"
    short = bool(problem) or count < declared - discarded - tolerance
    if not count:
        raise ValueError(f"{path} is a video without a frame that can be read{problem}")
    if short and not allow_short:
        raise ValueError(
            f"{path}: only {count} of {declared - discarded or 'unknown'} frames can be read"
            f"{problem}; restore the file, or keep what is left with allow_short"
        )


def video_properties(path: Path, *, max_pixels: int = MAX_PIXELS) -> VideoProperties:
    """Return what a video says of itself, without decoding it.

    Raises:
        FileNotFoundError, ValueError: as for :func:`read_video`.

    Example:
        >>> _ = write_video(Path("a.mp4"), [np.zeros((84, 84, 3), np.uint8)] * 5, 20)
        >>> video_properties(Path("a.mp4"))
        VideoProperties(fps=20.0, frames=5, varying=False, others=0)
    """
    times: list[int] = []
    discarded = 0
    with _opened(path, max_pixels) as (container, stream):
        declared, _ = _declared(container, stream)
        others = len(container.streams) - 1
        rate = float(stream.average_rate or stream.guessed_rate or FALLBACK_FPS)
        with contextlib.suppress(av.error.FFmpegError):  # said when it is read
            for packet in container.demux(stream):
                discarded += packet.is_discard
                if packet.pts is not None and not packet.is_discard:
                    times.append(packet.pts)
    gaps = np.diff(np.unique(times))
    varying = len(gaps) > 1 and bool(gaps.max() > 1.5 * gaps.min())
    return VideoProperties(rate, max(0, declared - discarded), varying, others)


def read_span(
    path: Path, start: float, fps: float, count: int, *, tolerance: float = 1e-4
) -> Iterator[Image]:
    """Yield ``count`` frames of a video that are shown from second ``start`` on, as RGB uint8.

    Args:
        path: as for :func:`read_video`.
        start: when the first of them is shown, in seconds.
        fps: frames a second.
        count: how many there must be.
        tolerance: how far a frame's time may be off, in seconds.

    Raises:
        FileNotFoundError, ValueError: as for :func:`read_video`, and where a frame is missing.

    Example:
        >>> _ = write_video(Path("a.mp4"), [np.zeros((84, 84, 3), np.uint8)] * 5, 20)
        >>> sum(1 for _ in read_span(Path("a.mp4"), 0.1, 20, 3))
        3
    """
    found, problem = 0, ""
    with _opened(path, MAX_PIXELS) as (container, stream):
        converter = av.video.reformatter.VideoReformatter()
        try:
            container.seek(int((start - tolerance) / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                time = float(frame.pts * stream.time_base)
                if time < start + found / fps - tolerance:
                    continue
                if found == count or time > start + found / fps + tolerance:
                    break
                yield _upright(path, frame, stream, converter)
                found += 1
        except av.error.FFmpegError as error:
            problem = f" ({error.strerror or error})"
    if found < count:
        raise ValueError(
            f"{path} has no frame that can be read at {start + found / fps:.4f} s, number {found} "
            f"of {count} from {start:.4f} s on{problem}"
        )


def write_video(path: Path, frames: Iterable[Image], fps: float) -> int:
    """Write RGB frames of one size as a video and return how many there were.

    Args:
        path: .mp4, .mov or .mkv (MPEG-4), .avi (Motion JPEG) or .webm (VP9).
        frames: uint8 [H, W, 3].
        fps: frames a second.

    Raises:
        ValueError: no frame at all, frames of several sizes, or a format that is not written here.
        OSError: the file cannot be written, as on a full disk.

    Example:
        >>> write_video(Path("a.mp4"), [np.zeros((84, 84, 3), np.uint8)], 20)
        1
    """
    if path.suffix.lower() not in ENCODERS:
        raise ValueError(f"{path} cannot be written; use {', '.join(ENCODERS)}")
    with whole_file(path) as temporary:
        try:
            count = _encode(temporary, frames, fps)
        except av.error.FFmpegError as error:
            raise OSError(f"{path} could not be written ({error.__cause__ or error})") from error
        if not count:
            raise ValueError(f"no frame to write to {path}")
        written = video_properties(temporary).frames
        if written != count:
            raise OSError(f"{path} could not be written: it holds {written} of {count} frames")
    return count


def _encode(path: Path, frames: Iterable[Image], fps: float) -> int:
    container_format, codec, pixel_format = ENCODERS[path.suffix.lower()]
    stream: Any = None
    count = 0
    converter = av.video.reformatter.VideoReformatter()
    with open(path, "wb") as file:
        container = av.open(file, "w", format=container_format)
        with contextlib.ExitStack() as opened:
            for frame in frames:
                if stream is None:
                    opened.callback(container.close)
                    rate = Fraction(fps).limit_denominator(1001)
                    quality = _VP9_QUALITY if codec == "libvpx-vp9" else _QUALITY
                    stream = container.add_stream(codec, rate=rate, options=quality)
                    stream.height, stream.width = frame.shape[:2]
                    stream.pix_fmt = pixel_format
                elif frame.shape[:2] != (stream.height, stream.width):
                    raise ValueError(
                        f"frames must be of one size, received {frame.shape[:2]} after "
                        f"{(stream.height, stream.width)}"
                    )
                rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                encoded = converter.reformat(rgb, format=pixel_format, interpolation="BICUBIC")
                container.mux(stream.encode(encoded))
                count += 1
            if stream is not None:
                container.mux(stream.encode())
    return count


@contextlib.contextmanager
def _opened(path: Path, max_pixels: int) -> Iterator[tuple[Any, Any]]:
    """Open a video and its first stream of pictures; closed with the block."""
    if not path.is_file():
        raise FileNotFoundError(f"no video at {path}")
    unreadable = f"{path} is no video that can be read"
    demuxer = DEMUXERS.get(path.suffix.lower())
    if demuxer is None:
        raise ValueError(f"{unreadable} ({', '.join(VIDEO_SUFFIXES)})")
    with open(path, "rb") as file:
        try:
            container = av.open(file, format=demuxer, metadata_errors="replace")
        except av.error.FFmpegError as error:
            raise ValueError(f"{unreadable} ({error.strerror or error})") from error
        with container:
            if not container.streams.video:
                raise ValueError(f"{unreadable}: it holds no pictures")
            stream = container.streams.video[0]
            _check_stream(path, stream, max_pixels)
            # Without it, decoders paint over what is damaged.
            stream.codec_context.options = {
                "err_detect": "explode",
                "max_pixels": str(max_pixels),
            }
            yield container, stream


def _check_stream(path: Path, stream: Any, max_pixels: int) -> None:
    if stream.codec_context is None or stream.format is None:
        raise ValueError(f"{path} is no video that can be read: its format is unknown")
    if stream.width * stream.height > max_pixels:
        raise ValueError(
            f"{path} declares frames of {stream.width} x {stream.height} pixels, more than "
            f"max_pixels={max_pixels}"
        )
    transparent = any(component.is_alpha for component in stream.format.components)
    if transparent or stream.metadata.get("alpha_mode") == "1":
        raise ValueError(f"{path} has transparency, which stem frames cannot keep")


def _declared(container: Any, stream: Any) -> tuple[int, int]:
    """How many frames a file says it has, 0 for unknown, and how far that may be off."""
    if stream.frames:
        return stream.frames, 0
    hours, _, rest = stream.metadata.get("DURATION", "").partition(":")  # Matroska: no count
    minutes, _, seconds = rest.partition(":")
    try:
        length = 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except ValueError:
        alone = len(container.streams) == 1 and container.duration
        length = container.duration / av.time_base if alone else 0.0
    return round(length * float(stream.average_rate or 0)), 1


def _upright(path: Path, frame: Any, stream: Any, converter: Any) -> Image:
    """Return the pixels of a frame turned as the file's metadata say.

    Args:
        converter: one for all frames of a video, as making one takes longer than decoding a frame.
    """
    if frame.is_corrupt:
        raise av.error.InvalidDataError(0, "damaged frame", str(path))
    if (frame.width, frame.height) != (stream.width, stream.height):
        raise ValueError(f"{path} holds frames of several sizes")
    turns, rest = divmod(frame.rotation, 90)
    if rest or _is_mirrored(frame):
        raise ValueError(f"{path} is to be shown mirrored or askew, which is not supported")
    pixels = converter.reformat(frame, format="rgb24").to_ndarray()
    return np.ascontiguousarray(np.rot90(pixels, turns))


def _is_mirrored(frame: Any) -> bool:
    shown = frame.side_data.get("DISPLAYMATRIX")
    if shown is None:
        return False
    a, b, _, c, d = np.frombuffer(bytes(shown), np.int32)[:5].astype(float)
    return a * d - b * c < 0
