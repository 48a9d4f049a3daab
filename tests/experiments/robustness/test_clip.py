"""A film of what two policies see in one perturbed episode."""

import json
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import save_file

from experiments.imitation import collect
from experiments.imitation.bc import BCNetwork
from experiments.robustness import clip
from stemob_wrappers import StemConfig, StemPipeline
from stemob_wrappers.videos import read_video

SIZE, STEPS = 48, 8


def untrained(path, stem=None, execute=4):
    """A policy that has learned nothing, of the frames of a stem."""
    cameras = [f"{camera}_image" for camera in collect.CAMERAS]
    network: dict[str, Any] = {
        "cameras": cameras,
        "size": [SIZE, SIZE],
        "chunk": 8,
        "num_actions": 7,
        "width": 8,
    }
    torch.manual_seed(0)
    weights = {
        name: value.contiguous() for name, value in BCNetwork(**network).state_dict().items()
    }
    learned = None
    if stem is not None:
        fingerprint = StemPipeline(stem, cache=False).fingerprint
        learned = {"fingerprint": fingerprint, "config": stem.to_dict(), "converted": cameras}
    about = {"network": network, "config": {"execute": execute}, "learned_from": learned}
    save_file(weights, path, metadata={"kind": "bc", "settings": json.dumps(about)})
    return path


@pytest.fixture
def short(monkeypatch):
    pytest.importorskip("robosuite")
    monkeypatch.setitem(collect.HORIZONS, "Lift", STEPS)


def arguments(folder, out, *others):
    raw = untrained(folder / "raw.safetensors")
    stem = untrained(folder / "stem.safetensors", StemConfig())
    named = ["--raw", raw, "--stem", stem, "--cell", "lighting", "--out", folder / out, *others]
    return [str(part) for part in named]


def test_the_episode_of_a_seed_is_filmed_as_both_see_it(short, tmp_path, capsys):
    path = clip.main(arguments(tmp_path, "clip.gif", "--seed", 3_000_002))
    assert capsys.readouterr().out.splitlines() == [
        "Raw frames: failed (8 steps)",
        "Stem: embedded: failed (8 steps)",
    ]
    assert path.stat().st_size < 2_000_000
    opened: Any = PIL.Image.open(path)
    with opened as film:
        assert film.n_frames == 1 + STEPS // 4
        assert film.info["loop"] == 0
        frames = []
        for index in range(film.n_frames):
            film.seek(index)
            frames.append(np.asarray(film.convert("RGB")).astype(int))
        film.seek(0)
        assert film.info["duration"] == 200  # four actions at 20 Hz
    side = 5 * SIZE  # about 240 pixels
    assert frames[0].shape[1] == 2 * side + clip.GAP
    top = 2 * clip.LINE + clip.GAP
    left, right = (frames[0][top : top + side, x : x + side] for x in (0, side + clip.GAP))
    assert (left[::5] == left[4::5]).all(), "pixels are enlarged, not smoothed"
    # The same scene, once as the camera gives it, once as its stem frame.
    small = [panel[::5, ::5] for panel in (left, right)]
    assert np.corrcoef(small[0].ravel(), small[1].ravel())[0, 1] > 0.7
    assert np.abs(small[0] - small[1]).mean() > 2
    header = frames[-1][:top].reshape(-1, 3)
    assert (np.abs(header - clip.FAILED).sum(axis=1) < 60).sum() > 30, "in red: it failed"


def test_a_video_is_written_by_its_suffix(tmp_path):
    black, white = (np.full((48, 48, 3), level, np.uint8) for level in (0, 255))
    films = (
        clip.Film("Raw frames", [black] * 4, 4, False),
        clip.Film("Stem frames", [white] * 2, 4, True),
    )
    frames = clip.compose(*films, "Lift")
    assert len(frames) == 4
    assert all(frame[100, 20].max() == 0 and frame[100, 300].min() == 255 for frame in frames)
    done = [(np.abs(f.astype(int) - clip.SUCCEEDED).sum(axis=2) < 60).sum() for f in frames]
    assert [number > 30 for number in done] == [False, True, True, True]
    clip.write(tmp_path / "clip.webm", frames, 0.2)
    assert len(list(read_video(tmp_path / "clip.webm"))) == 4 + 10  # two seconds at the end


def test_without_an_episode_that_tells_them_apart_nothing_is_written(short, tmp_path):
    with pytest.raises(LookupError, match=r"in none of 1 episodes .*raw.*show one with --seed"):
        clip.main(arguments(tmp_path, "clip.gif", "--episodes", 1))
    assert not (tmp_path / "clip.gif").exists()


def test_what_cannot_be_compared_is_refused(tmp_path):
    given = arguments(tmp_path, "clip.gif")
    with pytest.raises(ValueError, match="--cell must name one cell, received all"):
        clip.main([*given, "--cell", "all"])
    untrained(tmp_path / "stem.safetensors", StemConfig(), execute=2)
    with pytest.raises(ValueError, match=r"look as often, received .* 4 and 2 actions"):
        clip.main(given)
    save_file({"a": torch.zeros(1)}, tmp_path / "raw.safetensors")
    with pytest.raises(ValueError, match="holds no policy"):
        clip.main(given)
