import contextlib
import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest

from stemob_wrappers.pictures import grid, kind_of_image, read_image, write_gif, write_image

RED = np.zeros((16, 16, 3), np.uint8)
RED[..., 0] = 250
CYAN = np.full_like(RED, 255) - RED
NOISE = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)


def test_an_image_comes_back_as_it_was_written(tmp_path):
    write_image(tmp_path / "new" / "a.png", NOISE)
    np.testing.assert_array_equal(read_image(tmp_path / "new" / "a.png"), NOISE)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.png"]  # no temporary is left


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp"])
def test_pixels_are_those_that_others_read(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_image(path, NOISE.repeat(8, 0).repeat(8, 1))
    expected = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    assert np.abs(read_image(path).astype(int) - expected).max() <= 1
    assert kind_of_image(path) == ""


def test_a_palette_and_grey_lose_nothing(tmp_path):
    PIL.Image.fromarray(CYAN).quantize(4).save(tmp_path / "palette.png")
    PIL.Image.fromarray(NOISE[..., 0]).save(tmp_path / "grey.png")
    PIL.Image.fromarray(NOISE[..., 0]).save(tmp_path / "grey.jpg")
    opaque = np.dstack([NOISE, np.full_like(NOISE[..., :1], 255)])
    PIL.Image.fromarray(opaque).save(tmp_path / "opaque.png")
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png"), CYAN)
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), NOISE[..., :1].repeat(3, 2))
    assert read_image(tmp_path / "grey.jpg").shape == NOISE.shape
    np.testing.assert_array_equal(read_image(tmp_path / "opaque.png"), NOISE)
    kinds = [kind_of_image(tmp_path / name) for name in ("palette.png", "grey.png", "opaque.png")]
    assert kinds == ["", "grey", "alpha"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_upright(tmp_path, orientation):
    picture = PIL.Image.fromarray(NOISE.repeat(8, 0).repeat(8, 1))
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "a.jpg", exif=exif, quality=95)
    upright = cv2.cvtColor(cv2.imread(str(tmp_path / "a.jpg")), cv2.COLOR_BGR2RGB)
    found = read_image(tmp_path / "a.jpg")
    assert found.shape == upright.shape
    assert np.abs(found.astype(int) - upright).max() <= 1


def unusual(path):
    """Pictures that RGB of 8 bits cannot hold, by what they are."""
    alpha = PIL.Image.fromarray(np.dstack([NOISE, NOISE[..., :1]]))
    frames = [PIL.Image.fromarray(image) for image in (RED, CYAN)]
    alpha.save(path / "alpha.png")
    frames[0].save(path / "animated.png", save_all=True, append_images=frames[1:])
    frames[0].save(path / "animated.webp", save_all=True, append_images=frames[1:])
    frames[0].convert("CMYK").save(path / "CMYK.jpg")
    cv2.imwrite(str(path / "16 bits.png"), NOISE.astype(np.uint16) * 257)
    cv2.imwrite(str(path / "16 bits grey.png"), NOISE[..., 0].astype(np.uint16) * 257)
    return sorted(path.iterdir())


def test_what_rgb_cannot_hold_is_refused_by_name(tmp_path):
    for path in unusual(tmp_path):
        word = path.stem.removesuffix(" grey")
        assert word in kind_of_image(path)
        with pytest.raises(ValueError, match=f"{path.name}.*{word}"):
            read_image(path)


def huge_png(side):
    def chunk(name, content):
        crc = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + crc

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"0"))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [7_000, 100_000])
def test_a_picture_is_refused_by_what_it_declares(tmp_path, side):
    (tmp_path / "a.png").write_bytes(huge_png(side))
    with pytest.raises(ValueError, match=r"more than max_pixels|exceeds limit"):
        read_image(tmp_path / "a.png")


def test_the_limit_of_pixels_is_an_option(tmp_path):
    write_image(tmp_path / "a.png", NOISE)
    with pytest.raises(ValueError, match="declares 24 x 16 pixels, more than max_pixels=100"):
        read_image(tmp_path / "a.png", max_pixels=100)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_damaged_picture_is_never_taken_for_whole(tmp_path, suffix):
    """Cut anywhere, or with bytes changed in the middle: an error, or the very pixels."""
    rng, path = np.random.default_rng(0), tmp_path / f"a{suffix}"
    write_image(path, NOISE.repeat(6, 0).repeat(6, 1))
    whole, data = read_image(path), path.read_bytes()
    found = 0
    for _ in range(60):
        damaged, at = bytearray(data), int(rng.integers(len(data) // 2, len(data) - 60))
        if rng.random() < 0.5:
            del damaged[at:]
        else:
            damaged[at : at + 50] = bytes(50)
        path.write_bytes(damaged)
        try:
            read = read_image(path)
        except ValueError:
            found += 1
        else:
            np.testing.assert_array_equal(read, whole)
    assert found > (50 if suffix != ".webp" else 25)


def test_random_headers_are_one_kind_of_error(tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "a.png"
    starts = []
    for kind in ("PNG", "JPEG", "BMP", "WEBP"):
        file = io.BytesIO()
        PIL.Image.fromarray(NOISE).save(file, kind)
        starts.append(file.getvalue())
    for index in range(400):
        data = bytearray(starts[index % 4])
        for _ in range(int(rng.integers(1, 6))):
            data[int(rng.integers(0, min(80, len(data))))] = int(rng.integers(256))
        path.write_bytes(data)
        with contextlib.suppress(ValueError):
            assert read_image(path, max_pixels=10**6).shape[2] == 3


def test_a_grid_holds_every_image_at_its_place():
    sheet = grid([[RED, CYAN], [RED, RED]], ["a", "b"], ["x", "y"], cell=32)
    reddish = (sheet == RED[0, 0]).all(axis=2)
    assert reddish.sum() == 3 * 32 * 32


def test_what_is_no_picture_is_one_clear_error(tmp_path):
    text = tmp_path / "a.png"
    text.write_text("no picture")
    with pytest.raises(ValueError, match="no image that can be read"):
        read_image(text)
    with pytest.raises(FileNotFoundError, match="no image at"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(ValueError, match="must end in one of"):
        write_image(tmp_path / "a.txt", RED)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_a_gif_holds_its_frames_and_never_too_many_bytes(tmp_path):
    rng = np.random.default_rng(0)
    frames = [np.full((40, 60, 3), shade, np.uint8) for shade in range(0, 250, 25)]
    path = tmp_path / "a.gif"
    assert write_gif(path, frames, 0.2, last=1.0) == 10
    film: Any
    with PIL.Image.open(path) as film:
        shown, durations = [], []
        for index in range(film.n_frames):
            film.seek(index)
            shown.append(np.asarray(film.convert("RGB"), int))
            durations.append(film.info["duration"])
    assert durations == [200] * 9 + [1200]
    assert all(np.abs(a - b).max() <= 4 for a, b in zip(shown, frames, strict=True))
    noise = [rng.integers(0, 256, (40, 60, 3), dtype=np.uint8) for _ in range(12)]
    whole = write_gif(path, noise, 0.1)
    size = path.stat().st_size
    fewer = write_gif(path, noise, 0.1, max_bytes=size // 2)
    assert path.stat().st_size <= size // 2
    assert 1 < fewer < whole == 12
    with PIL.Image.open(path) as film:
        assert film.info["duration"] == round(1200 / fewer, -1), "as long as before"


@pytest.mark.parametrize(("name", "sizes"), [("a.png", [8, 8]), ("a.gif", [8, 9]), ("a.gif", [])])
def test_no_gif_of_what_is_none(name, sizes, tmp_path):
    frames = [np.zeros((size, size, 3), np.uint8) for size in sizes]
    with pytest.raises(ValueError, match=r"need a path in \.gif and frames of one size, received"):
        write_gif(tmp_path / name, frames, 0.1)
    path = tmp_path / "b.gif"
    with pytest.raises(ValueError, match=r"a frame takes .* more than max_bytes=9"):
        write_gif(path, [np.zeros((8, 8, 3), np.uint8)] * 2, 0.1, max_bytes=9)
    assert not path.exists()
