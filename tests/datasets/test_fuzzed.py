"""No header of a recording takes memory, time or the process; what is refused is refused by name.

The large counts are marked slow (`make soak`); STEMOB_SOAK_COUNT caps them for a trial.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import av
import cv2
import h5py
import numpy as np
import PIL.Image
import pytest
from fuzzing import read_damaged

from stemob_wrappers.datasets.robomimic.source import RobomimicSource
from stemob_wrappers.pictures import kind_of_image, read_image
from stemob_wrappers.videos import read_video, video_properties, write_video

if not sys.platform.startswith("linux"):
    pytest.skip("reads /proc", allow_module_level=True)

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 16, 24, 3), np.uint8)
FEW = 300
MOST_BYTES = 600 * 2**20  # taken at any time; a picture of MAX_PIXELS has 100 MB
# HDF5's own library makes room for a text as long as a damaged file says, within its 32 bits.
MOST_BYTES_OF_HDF5 = 4 * 2**30


def png(folder: Path) -> dict[str, bytes]:
    """In all colour types, with two frames, and with what else a file may hold."""
    picture = PIL.Image.fromarray(FRAMES[0])
    made: dict[str, Any] = {mode: picture.convert(mode) for mode in ("RGB", "L", "P", "RGBA", "1")}
    made["16"] = PIL.Image.fromarray(FRAMES[0, :, :, 0].astype(np.uint16) * 257)
    found = {f"{name}.png": _saved(one, "PNG") for name, one in made.items()}
    others = [PIL.Image.fromarray(frame) for frame in FRAMES[1:]]
    found["animated.png"] = _saved(picture, "PNG", save_all=True, append_images=others)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    found["turned.png"] = _saved(picture, "PNG", exif=exif, icc_profile=bytes(64), dpi=(72, 72))
    return found


def jpeg(folder: Path) -> dict[str, bytes]:
    """Baseline, progressive, grey, CMYK and turned."""
    picture = PIL.Image.fromarray(FRAMES[0])
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    return {
        "baseline.jpg": _saved(picture, "JPEG"),
        "progressive.jpg": _saved(picture, "JPEG", progressive=True),
        "turned.jpg": _saved(picture, "JPEG", exif=exif, subsampling=0),
        "grey.jpg": _saved(picture.convert("L"), "JPEG"),
        "cmyk.jpg": _saved(picture.convert("CMYK"), "JPEG"),
        "ours.jpg": cv2.imencode(".jpg", FRAMES[0])[1].tobytes(),
    }


def video(folder: Path) -> dict[str, bytes]:
    """Every container that is read, and the codecs that recordings have."""
    for suffix in (".mp4", ".mov", ".mkv", ".avi"):
        write_video(folder / f"ours{suffix}", FRAMES, 20)
    codecs = {
        "h264.mp4": ("libx264", "yuv420p"),
        "vp8.webm": ("libvpx", "yuv420p"),
        "vp9.webm": ("libvpx-vp9", "yuv420p"),
        "ffv1.mkv": ("ffv1", "bgr0"),
    }
    for name, (codec, pixels) in codecs.items():
        with av.open(folder / name, "w") as container:
            stream: Any = container.add_stream(codec, rate=20)
            stream.height, stream.width, stream.pix_fmt = 16, 24, pixels
            for frame in FRAMES:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def hdf5(folder: Path) -> dict[str, bytes]:
    """Of the oldest layout, whose headers have no checksums, and of the newest."""
    for version in ("earliest", "latest"):
        with h5py.File(folder / f"{version}.hdf5", "w", libver=version) as file:
            demo = file.create_group("data/demo_0")
            demo.attrs["num_samples"] = 3
            demo["obs/front"] = FRAMES[:2, :8, :8]
            demo.create_dataset(
                "obs/side", data=FRAMES[:, :8, :8], chunks=(1, 8, 8, 3), compression="gzip"
            )
            demo["obs/state"] = np.zeros((3, 2))
            demo["actions"] = np.zeros((3, 2))
            demo["link"] = h5py.SoftLink("/data/demo_0/actions")
            file["mask/train"] = np.array(["demo_0"], dtype="S8")
            file["notes"] = "kept"
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _saved(picture: PIL.Image.Image, kind: str, **options: Any) -> bytes:
    with io.BytesIO() as file:
        picture.save(file, kind, **options)
        return file.getvalue()


def read_picture(path: Path) -> None:
    kind_of_image(path)
    read_image(path)


def read_recording(path: Path) -> None:
    video_properties(path)
    for frame in read_video(path):
        assert frame.dtype == np.uint8


class Same:
    """In the place of the stems: frames as they are."""

    batch_size = 64

    def begin(self) -> None:
        pass

    def given(self, layout: Any) -> Any:
        return layout

    def __call__(self, frames: Any, *_: object, **__: object) -> Any:
        return frames


def convert_file(path: Path) -> None:
    """All that a conversion does but the network."""
    source = RobomimicSource(path)
    items, parts = source.items(), {}
    for read in (source.stamps, source.selection, source.converted, source.left_out):
        read()
    for item in items[:3]:
        part = path.with_name(f"{item.name}.part")
        source.count(item)
        source.convert(item, Same(), part, lambda _: None)  # type: ignore[arg-type]
        parts[item] = part
    source.assemble(path.with_name("assembled"), items[:3], parts, {})


READERS = {
    "hdf5": (hdf5, convert_file, 100_000),
    "png": (png, read_picture, 350_000),
    "jpeg": (jpeg, read_picture, 350_000),
    "video": (video, read_recording, 100_000),
}  # with the 100,000 of tests/backbones/test_guard.py, a million


@pytest.mark.parametrize("kind", READERS)
def test_fuzzed_headers_are_refused_or_read_within_bounds(tmp_path: Path, kind: str) -> None:
    read_fuzzed(tmp_path, kind, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("kind", READERS)
def test_a_million_fuzzed_headers(tmp_path: Path, kind: str) -> None:
    count = READERS[kind][2]
    read_fuzzed(tmp_path, kind, min(count, int(os.environ.get("STEMOB_SOAK_COUNT", count))))


def read_fuzzed(folder: Path, kind: str, count: int) -> None:
    make, read, _ = READERS[kind]
    for name in ("sound", "damaged"):
        (folder / name).mkdir()
    found = read_damaged(read, make(folder / "sound"), folder / "damaged", range(count))
    print(f"{kind}: {found}")
    assert found.failed is not None
    ended = [text for text in found.failed.values() if text.startswith("ended with")]
    assert len(found.failed) == len(ended), found.failed
    # HDF5's own library: on some damage it never ends, or ends the process. SECURITY.md says so.
    assert len(ended) <= (count / 1000 if kind == "hdf5" else 0)
    assert found.read + found.refused + len(ended) == count
    assert found.refused > count / 10
    assert found.read > count / 100
    assert found.taken_bytes < (MOST_BYTES_OF_HDF5 if kind == "hdf5" else MOST_BYTES)
