import numpy as np
import pytest

from stemob_wrappers.cli.invert import invert_files
from stemob_wrappers.config import StemConfig
from stemob_wrappers.pictures import read_image, write_image
from stemob_wrappers.stem.pipeline import StemPipeline
from stemob_wrappers.videos import read_video, write_video

CONFIG = StemConfig(inversion_steps=5)


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (32, 40, 3), np.uint8)


def test_an_image_file_becomes_what_the_pipeline_makes_of_it(tmp_path):
    write_image(tmp_path / "a.png", picture(0))
    invert_files(tmp_path / "a.png", tmp_path / "b.png", CONFIG)
    expected = StemPipeline(CONFIG)(picture(0)[None])[0]
    np.testing.assert_array_equal(read_image(tmp_path / "b.png"), expected)


def test_a_folder_keeps_names_and_passes_over_other_files(tmp_path):
    for seed in range(3):
        write_image(tmp_path / "in" / f"{seed}.png", picture(seed))
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    invert_files(tmp_path / "in", tmp_path / "out", CONFIG)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["0.png", "1.png", "2.png"]


def test_a_video_keeps_its_length(tmp_path):
    write_video(tmp_path / "a.mp4", [picture(0)] * 20, fps=10)
    invert_files(tmp_path / "a.mp4", tmp_path / "b.mp4", CONFIG)
    assert len(list(read_video(tmp_path / "b.mp4"))) == 20


def test_a_grid_shows_raw_and_several_levels(tmp_path):
    write_image(tmp_path / "a.png", picture(0))
    invert_files(tmp_path / "a.png", tmp_path / "b.png", CONFIG, grid=True)
    assert read_image(tmp_path / "b.png").shape[1] > 5 * 168


def test_nothing_to_read_is_one_clear_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        invert_files(tmp_path / "missing.png", tmp_path / "b.png", CONFIG)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no image"):
        invert_files(tmp_path / "empty", tmp_path / "out", CONFIG)
    assert not (tmp_path / "out").exists()


def test_a_source_is_never_overwritten(tmp_path):
    write_image(tmp_path / "in" / "a.png", picture(0))
    for source, target in (("in", "in"), ("in/a.png", "in/a.png"), ("in/a.png", "in")):
        with pytest.raises(ValueError, match="would be lost"):
            invert_files(tmp_path / source, tmp_path / target, CONFIG)
    np.testing.assert_array_equal(read_image(tmp_path / "in" / "a.png"), picture(0))


def test_what_is_there_is_replaced_only_when_asked(tmp_path):
    for seed in range(2):
        write_image(tmp_path / "in" / f"{seed}.png", picture(seed))
    write_image(tmp_path / "out" / "1.png", picture(9))
    with pytest.raises(FileExistsError, match=r"1\.png is there already; .* --overwrite"):
        invert_files(tmp_path / "in", tmp_path / "out", CONFIG)
    np.testing.assert_array_equal(read_image(tmp_path / "out" / "1.png"), picture(9))
    assert not (tmp_path / "out" / "0.png").exists()
    invert_files(tmp_path / "in", tmp_path / "out", CONFIG, overwrite=True)
    assert not np.array_equal(read_image(tmp_path / "out" / "1.png"), picture(9))
    write_video(tmp_path / "a.mp4", [picture(0)] * 2, fps=10)
    (tmp_path / "b.mp4").touch()
    with pytest.raises(FileExistsError):
        invert_files(tmp_path / "a.mp4", tmp_path / "b.mp4", CONFIG)
