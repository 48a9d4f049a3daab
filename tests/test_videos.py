import resource
import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from stemob_wrappers.videos import read_video, video_properties, write_video

RED = np.zeros((16, 16, 3), np.uint8)
RED[..., 0] = 250
COARSE = (
    np.random.default_rng(0).integers(0, 256, (30, 6, 9, 3), np.uint8).repeat(8, 1).repeat(8, 2)
)
SUFFIXES = [".mp4", ".mov", ".mkv", ".avi"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_video_keeps_count_rate_and_channel_order(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    assert write_video(path, [RED] * 5, fps=10) == 5
    frames = list(read_video(path))
    assert len(frames) == 5
    red, green, blue = frames[0].mean(axis=(0, 1))
    assert red > 200
    assert max(green, blue) < 50
    assert video_properties(path) == (10.0, 5, False, 0)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_pixel_is_kept_also_of_odd_sizes(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    grey = COARSE[:, :47, :71, :1].repeat(3, axis=3)  # of colour, a quarter is kept
    write_video(path, grey, fps=29.97)
    frames = np.stack(list(read_video(path)))
    assert frames.shape == (30, 47, 71, 3)
    assert np.abs(frames.astype(int) - grey).mean() < 3


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_video_that_does_not_fit_is_an_error(tmp_path, suffix):
    """A limit on file sizes stands for the full disk."""
    frames = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_video(tmp_path / f"a{suffix}", frames, fps=10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_video_that_is_cut_off_or_damaged_is_an_error(tmp_path, suffix):
    """Frames are all there, and the right ones, or the video is refused; never a few in silence."""
    rng, path = np.random.default_rng(0), tmp_path / f"a{suffix}"
    write_video(path, COARSE, fps=20)
    data, whole = path.read_bytes(), np.stack(list(read_video(path)))
    found = 0
    for index in range(24):
        damaged, at = bytearray(data), int(rng.integers(len(data) // 4, len(data) * 9 // 10))
        if index % 3 == 0:
            del damaged[at:]
        else:
            damaged[at : at + 400] = bytes(400) if index % 3 == 1 else rng.bytes(400)
        path.write_bytes(damaged)
        try:
            frames = list(read_video(path))
        except ValueError:
            found += 1
        else:  # the damage hit what no frame is made of
            np.testing.assert_array_equal(np.stack(frames), whole)
    assert found >= 20


def test_what_is_left_of_a_cut_video_is_read_on_request(tmp_path):
    path = tmp_path / "a.avi"
    write_video(path, COARSE, fps=20)
    whole = list(read_video(path))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"only \d+ of 30 frames can be read"):
        list(read_video(path))
    left = list(read_video(path, allow_short=True))
    assert 5 < len(left) < 30
    np.testing.assert_array_equal(np.stack(left), np.stack(whole[: len(left)]))


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_turned_video_is_read_upright(tmp_path, turn):
    path = tmp_path / "a.mp4"
    write_video(path, COARSE[:3], fps=20)
    plain = next(read_video(path))
    turn_metadata(path, turn)
    np.testing.assert_array_equal(next(read_video(path)), np.rot90(plain, -turn // 90))


def turn_metadata(path, turn, mirrored=False):
    """Write a rotation, clockwise, into the header of an MP4 file's track."""
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[turn]
    flip = -1 if mirrored else 1
    values = [flip * cos, sin, 0, flip * -sin, cos, 0, 0, 0, 0x4000]
    matrix = struct.pack(">9i", *(0x10000 * value for value in values))
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0
    data[at : at + 36] = matrix
    path.write_bytes(data)


def test_a_mirrored_video_is_refused(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, COARSE[:3], fps=20)
    turn_metadata(path, 0, mirrored=True)
    with pytest.raises(ValueError, match="mirrored"):
        list(read_video(path))


def test_varying_times_are_seen(tmp_path):
    path = tmp_path / "a.mp4"
    encode(path, "mp4", "mpeg4", "yuv420p", times=[0, 1, 2, 5, 6, 9])
    assert video_properties(path).varying
    assert sum(1 for _ in read_video(path)) == 6


def test_a_transparent_video_is_refused(tmp_path):
    path = tmp_path / "a.mov"
    encode(path, "mov", "png", "rgba", times=range(3))
    with pytest.raises(ValueError, match="transparency"):
        list(read_video(path))


def encode(path, container_format, codec, pixel_format, times):
    with open(path, "wb") as file, av.open(file, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=Fraction(20))
        stream.height, stream.width, stream.pix_fmt = 16, 16, pixel_format
        for time in times:
            frame = av.VideoFrame.from_ndarray(RED, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 20)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def test_large_frames_are_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "a.avi"
    write_video(path, COARSE[:2], fps=20)
    with pytest.raises(ValueError, match="declares frames of 72 x 48 pixels"):
        list(read_video(path, max_pixels=3000))


def test_a_playlist_opens_no_other_file(tmp_path):
    """What a file claims to be does not decide how it is read."""
    write_video(tmp_path / "secret.mp4", [RED], fps=10)
    path = tmp_path / "a.mp4"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n")
    with pytest.raises(ValueError, match="no video that can be read"):
        list(read_video(path))


def test_what_is_no_video_is_one_clear_error(tmp_path):
    text = tmp_path / "a.mp4"
    text.write_text("no video")
    with pytest.raises(ValueError, match="no video that can be read"):
        list(read_video(text))
    with pytest.raises(ValueError, match="no video that can be read"):
        list(read_video(text.rename(tmp_path / "a.txt")))
    with pytest.raises(FileNotFoundError, match="no video at"):
        list(read_video(tmp_path / "missing.mp4"))
    with pytest.raises(ValueError, match="no frame to write"):
        write_video(tmp_path / "a.mp4", [], fps=10)
    with pytest.raises(ValueError, match=r"cannot be written; use \.mp4"):
        write_video(tmp_path / "a.gif", [RED], fps=10)
    with pytest.raises(ValueError, match="of one size"):
        write_video(tmp_path / "a.mp4", [RED, RED[:8]], fps=10)
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
