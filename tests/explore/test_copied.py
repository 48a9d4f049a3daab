"""The Python and the command that are copied make the stem frame that is seen, byte for byte."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import stemob
from robomimic_files import make_file

from stemob_wrappers.config import StemConfig
from stemob_wrappers.explore.copied import as_command, as_python
from stemob_wrappers.explore.shown import Change, EnvFrame, Picture, RecordedFrame, Shown
from stemob_wrappers.explore.studio import Studio
from stemob_wrappers.pictures import read_image, write_image

CHEETAH = EnvFrame("HalfCheetah-v5", size=32, camera="track", seed=2, steps=3)
FREE = EnvFrame("HalfCheetah-v5", size=32, seed=1, steps=4)
DATA = Path("my demos.hdf5")
PICTURE = Picture(Path("it's.png"))
CASES = {
    "an env": Shown(CHEETAH),
    "another look of an env": Shown(FREE, Change("light_colour", 4, 2), StemConfig(seed=5)),
    "a corrupted env": Shown(CHEETAH, Change("gaussian_noise")),
    "a demo": Shown(RecordedFrame(DATA, "demo_0 eye_image", 4), None, StemConfig(noise="fresh")),
    "a picture": Shown(
        PICTURE, Change("gamma", 5), StemConfig("embedded-canonical", inversion_steps=8)
    ),
    "a small picture": Shown(PICTURE, None, StemConfig(resize=(24, 24), output="small")),
    "a picture by a denoiser": Shown(
        PICTURE, None, StemConfig(method="ddim", num_steps=20, inversion_steps=2, noise="episode")
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_copied_gives_what_is_seen(name, tmp_path, monkeypatch):
    shown = CASES[name]
    monkeypatch.chdir(tmp_path)
    make_file(tmp_path / DATA, demos=1)
    picture = np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8)
    write_image(tmp_path / "it's.png", picture)
    env = shown.source if isinstance(shown.source, EnvFrame) else CHEETAH
    with Studio((env,), DATA) as studio:
        if shown.source == PICTURE:
            shown = Shown(studio.open_picture(PICTURE.path), shown.change, shown.config)
        seen = studio.see(shown).looks[-1].stem

    names: dict[str, Any] = {}
    exec(compile(as_python(shown), "copied", "exec"), names)
    np.testing.assert_array_equal(names["stem"], seen)

    program, *arguments = shlex.split(as_command(shown))
    assert program == "stemob"
    done = stemob(*arguments)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(read_image(tmp_path / "stem.png"), seen)
