"""Options from and to a YAML file, the version, logging, and help by job."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from command_line import stemob

from stemob_wrappers import __version__
from stemob_wrappers.cli.app import PANELS, app
from stemob_wrappers.pictures import read_image, write_image


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    write_image(tmp_path / "photo.png", pixels)
    return "photo.png"


def test_what_was_saved_gives_the_same_picture(photo: str) -> None:
    level = ("--inversion-steps", 7, "--noise", "fixed", "--seed", 3)
    assert stemob("invert", photo, "a.png", *level, "--save-config", "stem.yaml").returncode == 0
    saved = yaml.safe_load(Path("stem.yaml").read_text())
    assert (saved["noise"], saved["seed"]) == ("fixed", 3)
    assert len(saved) == 3, "what was not given is not in the file"
    assert stemob("invert", photo, "b.png", "--config", "stem.yaml").returncode == 0
    np.testing.assert_array_equal(read_image(Path("a.png")), read_image(Path("b.png")))


def test_the_command_line_comes_before_the_file(photo: str) -> None:
    Path("stem.yaml").write_text("seed: 3")
    options = ("--config", "stem.yaml", "--seed", 4, "--save-config", "used.yaml")
    assert stemob("invert", photo, "a.png", *options).returncode == 0
    assert yaml.safe_load(Path("used.yaml").read_text()) == {"seed": 4}


@pytest.mark.parametrize(
    ("text", "words"),
    [("nose: 1", "'nose'"), ("- 1", "no options"), ("a: [", "YAML"), ("seed: many", "--seed")],
)
def test_a_bad_file_is_one_line(photo: str, text: str, words: str) -> None:
    Path("stem.yaml").write_text(text)
    done = stemob("invert", photo, "a.png", "--config", "stem.yaml")
    assert done.returncode == 2
    assert words in done.stderr
    assert not Path("a.png").exists()


def test_every_command_has_a_panel_an_example_and_a_config_file() -> None:
    shown = {example.split()[1] for commands in PANELS.values() for example in commands.values()}
    assert len(shown) == len(app.registered_commands)
    for name in shown:
        done = stemob(name, "--help")
        assert done.returncode == 0
        assert f"Example: stemob {name}" in done.stdout
        assert "--save-config" in done.stdout


def test_the_module_is_the_command() -> None:
    told = [sys.executable, "-m", "stemob_wrappers", "--version"]
    assert subprocess.run(told, capture_output=True, text=True).stdout.split() == [
        "stemob_wrappers",
        __version__,
    ]


def test_verbose_says_what_runs(photo: str, tmp_path: Path) -> None:
    for flag, said in (("-v", True), ("-q", False)):
        told = [sys.executable, "-m", "stemob_wrappers", flag, "invert", photo, f"out{flag}.png"]
        run = subprocess.run(told, capture_output=True, text=True, cwd=tmp_path)
        assert run.returncode == 0
        assert ("fingerprint" in run.stdout + run.stderr) == said


def test_verbose_after_the_command_says_where_it_goes() -> None:
    done = stemob("demo", "-v")
    assert done.returncode == 2
    assert "put it before the command" in done.stderr
