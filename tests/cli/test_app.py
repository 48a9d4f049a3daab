"""The command line: the originals' flags, and errors of every command as one line."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from command_line import stemob

from stemob_wrappers.cli.app import app
from stemob_wrappers.cli.caching import cache_app
from stemob_wrappers.config import FIELDS, StemConfig
from stemob_wrappers.pictures import read_image, write_image
from stemob_wrappers.stem.pipeline import StemPipeline

STEMOB = Path(sys.executable).parent / "stemob"
NO_CUDA = "cuda:9" if torch.cuda.is_available() else "cuda"
EVALUATE = ("--env", "HalfCheetah-v5", "--policy", "policy.py:act", "--out", "e", "--episodes", 1)
TRAIN = ("--out", "tb", "--views", "sc", "--num-scenes", 2)

# By command, what it cannot do, and a word of the line that says so.
BAD: dict[str, list[tuple[tuple[Any, ...], str]]] = {
    "invert": [
        ((), "IN OUT"),
        (("a.png",), "IN OUT"),
        (("missing.png", "b.png"), "no file or folder"),
        (("bomb.png", "b.png"), "pixels"),
        (("torn.png", "b.png"), "torn.png"),
        (("text.png", "b.png"), "text.png"),
        (("a.png", "b.txt"), "b.txt"),
        (("a.png", "a.png"), "would be lost"),
        (("empty", "out"), "holds no image"),
        (("a.png", "b.png", "--resolution", "big"), "'model'"),
        (("a.png", "b.png", "--inversion_steps", 99), "must not exceed num_steps"),
        (("a.png", "b.png", "--num-steps", "ten"), "--num-steps"),
        (("a.png", "b.png", "--noise", "nose"), "not one of 'frame'"),
        (("a.png", "b.png", "--method", "dppm"), "not one of 'ddpm'"),
        (("a.png", "b.png", "--backbone", "nothing"), "unknown backbone"),
        (("a.png", "b.png", "--backbone", "empty"), "empty"),
        (("a.png", "b.png", "--revision", "main"), "leave revision out"),
        (("a.png", "b.png", "--codec", "other"), "codec"),
        (("a.png", "b.png", "--nonsense"), "--nonsense"),
    ],
    "doctor": [
        (("missing.hdf5",), "no data set at missing.hdf5"),
        (("text.hdf5",), "text.hdf5"),
        (("s.hdf5",), "env_args"),
        (("s.hdf5", "--states", 0), "--states"),
    ],
    "invert-dataset": [
        ((), "SRC DST"),
        (("s.hdf5", "t.hdf5", "--device", "foo"), "'foo'"),
        (("s.hdf5", "t.hdf5", "--device", NO_CUDA), "cuda cannot be used here"),
        (("s.hdf5", "t.hdf5", "--device", "meta"), "meta cannot be used"),
        (("s.hdf5", "t.hdf5", "--dtype", "int7"), "floating torch dtype"),
        (("s.hdf5", "t.hdf5", "--num-trajs", -1), "--num-trajs"),
        (("s.hdf5", "t.hdf5", "--keys", "nose"), "nose"),
        (("s.hdf5", "t.hdf5", "--filter-key", "train"), "train"),
        (("s.hdf5", "t.hdf5", "--draws", 0), "--draws"),
        (("s.hdf5", "t.hdf5", "--num-shards", 2, "--shard-index", 2), "shard"),
        (("missing.hdf5", "t.hdf5"), "missing.hdf5"),
        (("text.hdf5", "t.hdf5"), "text.hdf5"),
        (("s.hdf5", "s.hdf5"), "s.hdf5"),
    ],
    "merge-shards": [
        (("t.hdf5",), "shards"),
        (("t.hdf5", "missing.hdf5"), "missing.hdf5"),
        (("t.hdf5", "text.hdf5"), "text.hdf5"),
        (("t.hdf5", "s.hdf5"), "s.hdf5"),
    ],
    "visualize": [
        ((), "FILE FOLDER"),
        (("missing.hdf5", "out"), "missing.hdf5"),
        (("text.hdf5", "out"), "text.hdf5"),
        (("s.hdf5", "out", "--demo", "demo_9"), "no demo 'demo_9'"),
        (("s.hdf5", "out", "--key", "nose"), "nose"),
        (("s.hdf5", "out", "--every", 0), "--every"),
        (("s.hdf5", "out", "--fps", -1), "--fps"),
        (("s.hdf5", "out", "--inversion-steps", 99), "must not exceed"),
    ],
    "perturb": [
        (("--env", "Nope-v0", "--out", "p"), "Nope"),
        (("--env", "no_such_module:X-v0", "--out", "p"), "no_such_module"),
        (("--env", "HalfCheetah-v5", "--out", "p", "--suite", "textures"), "did you mean texture"),
        (("--env", "HalfCheetah-v5", "--out", "p", "--camera", "nose"), "'track'"),
        (("--env", "HalfCheetah-v5", "--out", "p", "--size", 0), "--size"),
        (("--out", "p"), "--env"),
    ],
    "explore": [
        (("--env", "Nope-v0"), "Nope"),
        (("--env", "HalfCheetah-v5", "--camera", "nose"), "'track'"),
        (("--env", "HalfCheetah-v5", "--change", "table_texture"), "cannot be shown"),
        (("--picture", "missing.png"), "missing.png"),
        (("--picture", "text.png"), "text.png"),
        (("--picture", "a.png", "--change", "gama"), "did you mean gamma"),
        (("--picture", "a.png", "--backbone", "nothing"), "unknown backbone"),
        (("--picture", "a.png", "--save", "b.txt"), "b.txt"),
        (("--picture", "a.png", "--severity", 6), "--severity"),
        (("--data", "missing.hdf5"), "missing.hdf5"),
        (("--data", "text.hdf5"), "text.hdf5"),
        (("--data", "s.hdf5", "--demo", "demo_9 cam"), "no 'demo_9 cam'"),
        (("--data", "s.hdf5", "--frame", 9), "frames 0 to 1"),
        (("--data", "empty"), "nothing to convert"),
        (("--port", 0), "--port"),
    ],
    "levels": [
        (("--out", "l"), "env"),
        (("--out", "l", "--clean", "empty"), "--perturbed"),
        (("--out", "l", "--clean", "empty", "--perturbed", "empty"), "at least 4"),
        (("--out", "l", "--clean", "gone", "--perturbed", "empty"), "gone"),
        (("--env", "Nope-v0", "--out", "l", "--states", 4), "Nope"),
        (("--env", "HalfCheetah-v5", "--out", "l", "--steps", "a,b"), "--steps"),
        (("--env", "HalfCheetah-v5", "--out", "l", "--severity", 9), "--severity"),
        (("--env", "HalfCheetah-v5", "--out", "l", "--states", 1), "--states"),
        (("--table", "--backbone", "nothing"), "nothing"),
        (("--table", "--num-steps", 0), "num_steps"),
    ],
    "evaluate": [
        ((*EVALUATE, "--env-kwargs", "{"), "JSON object"),
        ((*EVALUATE, "--env-kwargs", '{"bogus": 1}'), "bogus"),
        ((*EVALUATE, "--device", "foo"), "'foo'"),
        ((*EVALUATE, "--suite", "lightning"), "lighting"),
        ((*EVALUATE, "--severity", 6), "--severity"),
        ((*EVALUATE, "--split", "train"), "--split"),
        ((*EVALUATE, "--episodes", 0), "--episodes"),
        ((*EVALUATE, "--condition", "nothing"), "nothing"),
        ((*EVALUATE, "--depends", "gone"), "gone"),
        ((*EVALUATE, "--reference", "rwa"), "reference must be one of"),
        ((*EVALUATE[:2], "--policy", "nowhere", "--out", "e"), "nowhere"),
        ((*EVALUATE[:2], "--policy", "gone.py:act", "--out", "e"), "gone"),
        (("--env", "Nope-v0", *EVALUATE[2:]), "Nope"),
    ],
    "report": [(("empty",), "run the evaluation"), (("gone",), "no gone")],
    "train-backbone": [
        ((*TRAIN, "--steps", 0), "--steps"),
        ((*TRAIN, "--workers", 0), "--workers"),
        ((*TRAIN, "--env", "Nope-v0"), "Nope"),
        ((*TRAIN, "--target", "nothing"), "foreground"),
        ((*TRAIN, "--env", "HalfCheetah-v5", "--frames", "empty"), "on an env or on recorded"),
        ((*TRAIN, "--frames", "empty"), "holds 0 images"),
        ((*TRAIN, "--look-scale", 9), "--look-scale"),
    ],
    "bench": [
        (("Nope-v0",), "Nope"),
        (("--size", 0), "--size"),
        (("--seconds", 0), "--seconds"),
        (("--backbone", "nothing"), "unknown backbone"),
    ],
    "demo": [(("--steps", 0), "--steps"), (("--steps", "many"), "--steps")],
    "cache stats": [(("--path", "a.png"), "a.png")],
    "cache verify": [(("--path", "a.png"), "a.png")],
    "cache prune": [((), "--bytes"), (("--bytes", -1), "--bytes")],
    "cache clear": [(("--path", "a.png"), "a.png")],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of things that commands are pointed at."""
    folder = tmp_path_factory.mktemp("cli")
    write_image(folder / "a.png", np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
    whole = (folder / "a.png").read_bytes()
    (folder / "torn.png").write_bytes(whole[: len(whole) // 2])
    (folder / "bomb.png").write_bytes(declared(100_000, 100_000))
    for name in ("text.png", "text.hdf5"):
        (folder / name).write_text("words")
    (folder / "empty").mkdir()
    with h5py.File(folder / "s.hdf5", "w") as file:
        file["data/demo_0/obs/cam"] = np.zeros((2, 16, 16, 3), np.uint8)
    (folder / "policy.py").write_text("def act(observation): return 0\n")
    return folder


def declared(width: int, height: int) -> bytes:
    """A PNG of a few bytes that declares a picture of this size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        length, crc = struct.pack(">I", len(content)), struct.pack(">I", zlib.crc32(kind + content))
        return length + kind + content + crc

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"0"))
    return b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [(command, *case) for command, cases in BAD.items() for case in cases],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else str(value)[:30],
)
def test_what_cannot_be_done_is_one_line_and_code_2(folder, monkeypatch, command, arguments, said):
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    done = stemob(*command.split(), *arguments)
    assert done.returncode == 2
    *progress, line = done.stderr.splitlines()
    assert line.startswith("stemob: ")
    assert any(word in line for word in said.split("|")), line
    assert len(line) < 500
    assert [text for text in progress if text.strip() and "-:--:--" not in text] == []
    assert [path for path in sorted(folder.rglob("*.png")) if path not in before] == []


def test_every_command_is_tried_with_bad_arguments():
    callbacks = [("", command.callback) for command in app.registered_commands]
    callbacks += [("cache ", command.callback) for command in cache_app.registered_commands]
    commands = {group + call.__name__.replace("_", "-") for group, call in callbacks if call}
    assert commands == set(BAD)


def test_the_originals_flags_mean_the_same(folder, tmp_path):
    out = tmp_path / "b.png"
    arguments = ["invert", "--img_path", folder / "a.png", "--output_path", out, "--model", "ddpm"]
    arguments += ["--num_steps", 50, "--inversion_steps", 15, "--seed", 3]
    command = [str(STEMOB), *map(str, arguments)]  # for once in a process of its own
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    pipeline = StemPipeline(StemConfig(inversion_steps=15, seed=3))
    expected = pipeline(read_image(folder / "a.png")[None])[0]
    np.testing.assert_array_equal(read_image(out), expected)


def test_every_field_of_the_config_is_an_option_of_every_command_that_inverts(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for command in ("invert", "invert-dataset", "visualize", "perturb", "evaluate", "explore"):
        options = stemob(command, "--help").stdout
        for field in FIELDS:
            if (command, field) == ("evaluate", "backbone"):
                continue  # its conditions are backbones
            shown = f"--{field.replace('_', '-')}"
            assert shown in options, (command, field)
        assert ("--noise-seed" in options) == (command in ("perturb", "evaluate", "explore"))


def test_without_a_command_the_help_is_shown():
    for arguments in ((), ("cache",)):
        done = stemob(*arguments)
        assert done.returncode == 2
        assert "Usage" in done.stdout + done.stderr


def test_demo_steps_both_envs_and_draws_the_picture(tmp_path):
    pytest.importorskip("robosuite")
    done = stemob("demo", "--out", tmp_path, "--steps", 3)
    assert done.returncode == 0, done.stderr
    assert "Lift" in done.stdout
    assert "HalfCheetah" in done.stdout
    picture = read_image(tmp_path / "demo.png")
    assert picture.shape[0] > 6 * 168  # six rows: two envs under three appearances
