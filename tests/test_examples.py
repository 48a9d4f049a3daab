"""Every example runs, on little input."""

import importlib.util
import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from stemob_wrappers.perturb.suites import Cell
from stemob_wrappers.wrappers.rendering import make_rendered

EXAMPLES = Path(__file__).parents[1] / "examples"
needs_robosuite = pytest.mark.skipif(
    importlib.util.find_spec("robosuite") is None, reason="needs robosuite"
)


@pytest.fixture
def run(monkeypatch, capsys):
    """Run an example as ``python examples/NAME.py ARGUMENTS`` would; return what it printed."""

    def run_example(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return run_example


def test_every_example_is_tested():
    tests = Path(__file__).read_text()
    assert [
        script.stem for script in EXAMPLES.glob("*.py") if f'run("{script.stem}"' not in tests
    ] == []


@needs_robosuite
def test_wrap_env_on_a_robosuite_task(run):
    printed = run("wrap_env", "--steps", 2, "--chunk", 2)
    assert "agentview_image: uint8 (84, 84, 3)" in printed
    assert "agentview_image: a pixel changed by" in printed


def test_wrap_env_on_rendered_frames(run):
    printed = run("wrap_env", "--env", "Hopper-v5", "--render-size", 64, "--steps", 2)
    assert "pixels_raw: uint8 (64, 64, 3)" in printed


def test_vector_env(run):
    printed = run("vector_env", "--env", "fakes:fake/Frame-v0", "--num-envs", 2, "--steps", 8)
    assert "8 steps of 2 envs, 4 episodes ended" in printed
    assert "in 9 batches" in printed  # the reset's and one a step


@needs_robosuite
def test_train_sb3_on_a_robosuite_task(run):
    printed = run("train_sb3", *TINY, "--num-envs", 1, "--eval-episodes", 0)
    assert "total_timesteps" in printed


def test_train_sb3_on_rendered_frames(run, tmp_path):
    env = ("--env", "Reacher-v5", "--render-size", 36)
    saved = tmp_path / "policy.zip"
    printed = run(
        "train_sb3", *TINY, *env, "--num-envs", 2, "--subprocesses", 0, "--eval-episodes", 1,
        "--save", saved,
    )  # fmt: skip
    assert "return over 1 episodes: -" in printed
    assert saved.exists()
    raw = run("train_sb3", *TINY, *env, "--num-envs", 1, "--backbone", "raw", "--eval-episodes", 1)
    assert "return over 1 episodes: -" in raw


ROOM = json.dumps({"xml_file": str(EXAMPLES / "pendulum_room.xml")})


def test_train_sb3_in_the_room(run):
    env = ("--env", "InvertedPendulum-v5", "--env-kwargs", ROOM, "--render-size", 36)
    printed = run("train_sb3", *TINY, *env, "--num-envs", 2, "--subprocesses", 0)
    assert "return over 4 episodes: " in printed


@pytest.mark.parametrize("group", ["lighting", "texture", "colour", "background"])
def test_the_room_has_what_perturbations_change(group):
    env = make_rendered("InvertedPendulum-v5", size=36, **json.loads(ROOM))
    nominal, _ = env.reset(seed=0)
    perturbed, _ = Cell(group, 4).wrap(env, seed=0).reset(seed=0)
    assert np.abs(perturbed.astype(int) - nominal).mean() > 5
    env.close()


TINY = ("--steps", 8, "--rollout", 4, "--epochs", 1, "--device", "cpu")


def test_record_video(run, tmp_path):
    pytest.importorskip("moviepy", reason="needs moviepy")
    run("record_video", "--steps", 5, "--size", 64, "--folder", tmp_path)
    video = cv2.VideoCapture(str(next(tmp_path.glob("*.mp4"))))
    assert video.get(cv2.CAP_PROP_FRAME_WIDTH) == 128
    assert video.get(cv2.CAP_PROP_FRAME_HEIGHT) == 64
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 6


@needs_robosuite
def test_train_robomimic(run, tmp_path):
    import real_robomimic

    from stemob_wrappers.datasets import invert_dataset

    raw, stem = tmp_path / "raw.hdf5", tmp_path / "stem.hdf5"
    with real_robomimic.imports():
        real_robomimic.write_demos(raw)
        invert_dataset(raw, stem)
        little = ("--backbone", "ShallowConv", "--epochs", 1, "--steps", 2, "--batch", 2)
        rollout = ("--rollouts", 1, "--horizon", 2, "--out", tmp_path / "runs")
        printed = run("train_robomimic", stem, *little, *rollout)
    assert "StemEnvWrapper" in printed
    assert '"Horizon": 2' in printed
    assert len(list(tmp_path.rglob("*.pth"))) == 1


@pytest.mark.skipif(
    importlib.util.find_spec("libero") is not None, reason="tells what to do without LIBERO"
)
def test_libero_env_says_what_it_needs(run):
    with pytest.raises(ImportError, match="in an environment of its own"):
        run("libero_env", "--task", "libero_object-0")
