"""Frames as LeRobot stores them: an episode's video as its writer encodes it, or PNG pictures.

A *part* is what one camera becomes in one episode: the encoded bytes and the levels that its frames
had before they were encoded, in an ``.npz`` file. Videos of many episodes are put together packet
by packet, so that nothing is encoded twice.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.extras import needs

with needs("lerobot"):
    import av
    from av.error import FFmpegError
    from av.video.reformatter import VideoReformatter

from stemob_wrappers.datasets.lerobot.stats import Levels, add_levels, count_levels
from stemob_wrappers.pictures import encode_image

# lerobot's own settings (video_utils.py), with one thread each: the workers are the parallel part,
# and bytes must not depend on the number of cores.
ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "av1": (
        "libsvtav1",
        {"g": "2", "crf": "30", "preset": "12", "svtav1-params": "lp=1"},
    ),
    "h264": ("libx264", {"g": "2", "crf": "30", "threads": "1"}),
    "hevc": (
        "libx265",
        {"g": "2", "crf": "30", "x265-params": "log-level=error:pools=none:frame-threads=1"},
    ),
}
CODEC, PIXEL_FORMAT = "av1", "yuv420p"


@dataclass(frozen=True)
class Part:
    """What one camera becomes in one episode.

    Attributes:
        data: the bytes of a video, or of all pictures, one after the other.
        ends: where each picture ends in them; empty for a video.
        levels: of the frames before they were encoded.
    """

    data: bytes
    ends: list[int]
    levels: Levels

    def pictures(self) -> list[bytes]:
        """The encoded pictures one by one."""
        return [self.data[start:end] for start, end in pairwise([0, *self.ends])]

    def save(self, path: Path) -> None:
        """Write the part; equal parts have equal bytes."""
        with open(path, "wb") as file:
            np.savez(
                file,
                data=np.frombuffer(self.data, np.uint8),
                ends=np.asarray(self.ends, np.int64),
                counts=self.levels.counts,
                frames=np.int64(self.levels.frames),
            )

    @classmethod
    def load(cls, path: Path) -> Part:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            return cls(stored["data"].tobytes(), stored["ends"].tolist(), read_levels(path))


def read_levels(path: Path) -> Levels:
    """Read the levels of a part without its data."""
    with np.load(path, allow_pickle=False) as stored:
        return Levels(stored["counts"], int(stored["frames"]))


def encode_pictures(blocks: Iterable[NDArray[np.uint8]]) -> Part:
    """Encode blocks of uint8 [N, H, W, 3] as PNG pictures, which keep every level.

    Example:
        >>> encode_pictures([np.zeros((2, 16, 16, 3), np.uint8)]).levels.frames
        2
    """
    levels, data, ends = [], io.BytesIO(), []
    for block in blocks:
        levels.append(count_levels(block))
        for frame in block:
            data.write(encode_image(frame))
            ends.append(data.tell())
    return Part(data.getvalue(), ends, add_levels(levels))


def encode_video(
    blocks: Iterable[NDArray[np.uint8]],
    fps: float,
    codec: str = CODEC,
    pixel_format: str = PIXEL_FORMAT,
) -> Part:
    """Encode blocks of uint8 [N, H, W, 3] as the mp4 video that LeRobot's writer makes of them.

    Args:
        blocks: the frames in order.
        fps: frames a second.
        codec: av1, h264 or hevc, as LeRobot calls them.
        pixel_format: as FFmpeg calls it.

    Raises:
        ValueError: frames that the encoder does not take.

    Example:
        >>> encode_video([np.zeros((2, 64, 64, 3), np.uint8)], 20).levels.frames
        2
    """
    os.environ.setdefault("SVT_LOG", "1")  # errors only: the library prints its settings
    encoder, options = ENCODERS[codec]
    levels, file = [], io.BytesIO()
    converter = VideoReformatter()  # one for all frames: making one takes longer than its work
    stream: Any = None
    with contextlib.closing(av.open(file, "w", format="mp4")) as container:
        try:
            for block in blocks:
                if stream is None:
                    stream = container.add_stream(encoder, Fraction(fps).limit_denominator(1001))
                    stream.height, stream.width = block.shape[1:3]
                    stream.pix_fmt = pixel_format
                    stream.options = dict(options)
                levels.append(count_levels(block))
                for frame in block:
                    rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                    yuv = converter.reformat(rgb, format=pixel_format, interpolation="BICUBIC")
                    with _own_priority():
                        packets = stream.encode(yuv)
                    container.mux(packets)
            if stream is not None:
                container.mux(stream.encode())
        except FFmpegError as error:
            raise ValueError(f"{encoder} does not encode such frames ({error})") from error
    return Part(file.getvalue(), [], add_levels(levels))


@contextlib.contextmanager
def _own_priority() -> Iterator[None]:
    """Give back the priority that SVT-AV1 takes: run by root, it makes its caller real-time."""
    if not hasattr(os, "sched_getscheduler"):  # macOS
        yield
        return
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


def join_videos(path: Path, parts: Iterable[tuple[float, bytes]]) -> None:
    """Write one video of several, each from its own second on, without encoding again.

    Args:
        path: where the video goes.
        parts: (second that the first frame is shown at, bytes of the video), in order.

    Raises:
        ValueError: two of them overlap.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stream: Any = None
    last: int | None = None
    with contextlib.closing(
        av.open(str(path), "w", format="mp4", options={"movflags": "faststart"})
    ) as container:
        for start, data in parts:
            one: Any = av.open(io.BytesIO(data), format="mov")
            with one:
                theirs = one.streams.video[0]
                if stream is None:
                    stream = container.add_stream_from_template(theirs, opaque=True)
                    stream.time_base = theirs.time_base
                offset = round(start / theirs.time_base)
                for packet in one.demux(theirs):
                    if packet.dts is None:
                        continue
                    packet.dts += offset
                    packet.pts += offset
                    if last is not None and packet.dts <= last:
                        raise ValueError(f"{path}: two episodes overlap at {start:.4f} s")
                    last = packet.dts
                    packet.stream = stream
                    container.mux(packet)
