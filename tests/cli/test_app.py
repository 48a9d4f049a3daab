"""The command line as a user types it, in a process of its own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stemob_wrappers.config import StemConfig
from stemob_wrappers.pictures import read_image, write_image
from stemob_wrappers.stem.pipeline import StemPipeline

STEMOB = Path(sys.executable).parent / "stemob"


def stemob(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(STEMOB), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "a.png"
    write_image(path, np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
    return path


def test_the_originals_flags_mean_the_same(image, tmp_path):
    out = tmp_path / "b.png"
    done = stemob(
        *("invert", "--img_path", image, "--output_path", out, "--model", "ddpm"),
        *("--num_steps", 50, "--inversion_steps", 15, "--seed", 3),
    )
    assert done.returncode == 0, done.stderr
    expected = StemPipeline(StemConfig(inversion_steps=15, seed=3))(read_image(image)[None])[0]
    np.testing.assert_array_equal(read_image(out), expected)


def test_an_error_is_one_line_and_a_failure(image, tmp_path):
    done = stemob("invert", image, tmp_path / "b.png", "--inversion_steps", 99)
    assert done.returncode == 1
    assert done.stderr.strip().count("\n") == 0
    assert "inversion_steps must not exceed num_steps" in done.stderr
    assert not (tmp_path / "b.png").exists()


def test_demo_steps_both_envs_and_draws_the_picture(tmp_path):
    pytest.importorskip("robosuite")
    done = stemob("demo", "--out", tmp_path, "--steps", 3)
    assert done.returncode == 0, done.stderr
    assert "Lift" in done.stdout
    assert "HalfCheetah" in done.stdout
    picture = read_image(tmp_path / "demo.png")
    assert picture.shape[0] > 6 * 168  # six rows: two envs under three looks
