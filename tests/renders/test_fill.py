"""Scene files: the same bytes by any number of workers, whole or not there."""

import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace

import numpy as np
import pytest

from stemob_wrappers.renders import files
from stemob_wrappers.renders.files import (
    Scene,
    load_scene,
    load_scenes,
    scene_path,
    write_scene,
)
from stemob_wrappers.renders.fill import fill
from stemob_wrappers.renders.plans import plan_scenes

PLANS = plan_scenes(3, size=32, states=2, appearances=3, shares={"procedural": 1, "gymnasium": 1})
SCRIPT = """
import sys
from pathlib import Path
from stemob_wrappers.renders.fill import fill
from stemob_wrappers.renders.plans import plan_scenes

if __name__ == "__main__":
    fill(plan_scenes(500, size=32, states=2), Path(sys.argv[1]), workers=2)
"""


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """Three small scenes, rendered by two workers."""
    folder = tmp_path_factory.mktemp("scenes")
    paths = fill(PLANS, folder, workers=2)
    assert paths == sorted(folder.iterdir())
    return folder


def test_one_worker_writes_the_same_bytes_as_two(rendered, tmp_path):
    fill(PLANS, tmp_path)
    assert contents(tmp_path) == contents(rendered)


def test_a_run_goes_on_where_it_stopped(rendered):
    """One file missing, one cut short: both come back as they were, the third is not touched."""
    before = contents(rendered)
    kept, cut, missing = sorted(rendered.iterdir())
    written = kept.stat().st_mtime_ns
    cut.write_bytes(cut.read_bytes()[:-100])
    missing.unlink()
    fill(PLANS, rendered)
    assert contents(rendered) == before
    assert kept.stat().st_mtime_ns == written


def test_killing_a_run_ends_its_workers_and_leaves_only_whole_files(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    folder = tmp_path / "scenes"
    command = [sys.executable, str(script), str(folder)]
    # Workers share the pipe: it reads as ended only when the last of them is gone.
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while not list(folder.glob("scene-*")) and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        run.kill()
    assert run.stdout is not None
    reader = threading.Thread(target=run.stdout.read, daemon=True)
    reader.start()
    reader.join(timeout=20)
    assert not reader.is_alive(), "workers outlived the run"
    run.wait()
    scenes_found = list(load_scenes(folder))
    assert scenes_found
    assert all(scene.frames[:, 0].any() for scene in scenes_found)


def test_scenes_of_other_settings_are_not_mixed_in(rendered):
    before = contents(rendered)
    with pytest.raises(ValueError, match="other settings"):
        fill([replace(plan, size=40) for plan in PLANS], rendered)
    assert contents(rendered) == before


@pytest.mark.parametrize("found", [1, None])
def test_scenes_of_older_drawing_code_are_refused(found, tmp_path):
    plan = PLANS[0]
    metadata = {name: value for name, value in asdict(plan).items() if name != "format"}
    metadata |= {} if found is None else {"format": found}
    scene = Scene(np.zeros((1, 1, 8, 8, 3), np.uint8), np.zeros((1, 7), np.float32), metadata)
    write_scene(scene, scene_path(plan, tmp_path))
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=f"drawn by code of format {found or 'unknown'}, this"):
        fill([plan], tmp_path)
    assert contents(tmp_path) == before


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    scene = Scene(np.zeros((1, 1, 8, 8, 3), np.uint8), np.zeros((1, 7), np.float32), {})
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_scene(scene, tmp_path / "scene-00000.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_failing_scene_is_reported_and_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="no_such_model"):
        fill([replace(PLANS[0], source="gymnasium", task="no_such_model")], tmp_path)
    assert not list(tmp_path.iterdir())


def test_scenes_load_in_order_with_what_was_planned(rendered):
    for plan, scene in zip(PLANS, load_scenes(rendered), strict=True):
        assert scene.frames.shape == (2, 3, 32, 32, 3)
        assert scene.frames.dtype == np.uint8
        assert scene.states.dtype == np.float32
        assert len(scene.states) == 2
        assert scene.metadata["index"] == plan.index
        assert scene.metadata["task"] == plan.task


def test_a_damaged_file_and_an_empty_folder_are_clear_errors(tmp_path):
    with pytest.raises(ValueError, match="without any"):
        load_scenes(tmp_path)
    damaged = tmp_path / "scene-00000.safetensors"
    damaged.write_bytes(b"half a file")
    with pytest.raises(ValueError, match="render again"):
        load_scene(damaged)


def test_the_data_folder_can_be_moved(monkeypatch, tmp_path):
    monkeypatch.setenv("STEMOB_DATA", str(tmp_path))
    assert files.default_scenes_dir() == tmp_path / "scenes"
