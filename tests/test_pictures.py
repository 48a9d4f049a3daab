import resource

import numpy as np
import pytest

from stemob_wrappers.pictures import grid, read_image, read_video, write_image, write_video

RED = np.zeros((16, 16, 3), np.uint8)
RED[..., 0] = 250
CYAN = np.full_like(RED, 255) - RED


def test_an_image_comes_back_as_it_was_written(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    write_image(tmp_path / "new" / "a.png", image)
    np.testing.assert_array_equal(read_image(tmp_path / "new" / "a.png"), image)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.png"]  # no temporary is left


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_video_keeps_count_and_channel_order(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    assert write_video(path, [RED] * 5, fps=10) == 5
    frames = list(read_video(path))
    assert len(frames) == 5
    red, green, blue = frames[0].mean(axis=(0, 1))
    assert red > 200
    assert max(green, blue) < 50


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_video_that_does_not_fit_is_an_error(tmp_path, suffix):
    """A limit on file sizes stands for the full disk."""
    frames = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"of 20 frames could be written"):
            write_video(tmp_path / f"a{suffix}", frames, fps=10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


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
    with pytest.raises(ValueError, match=r"no video that can be read|without a frame"):
        list(read_video(text))
    with pytest.raises(ValueError, match="no frame to write"):
        write_video(tmp_path / "a.mp4", [], fps=10)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
