"""A video of an episode that one condition fails and another does not."""

import contextlib
import functools

import numpy as np
import pointing
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from stemob_wrappers.config import StemConfig
from stemob_wrappers.evaluation import Condition, Record
from stemob_wrappers.evaluation.cells import make_env
from stemob_wrappers.evaluation.clips import FPS, pairs_to_film, record_clip
from stemob_wrappers.videos import read_video, video_properties

ENV = "pointing:fake/Pointing-v0"
LEFT, RIGHT = Condition("guess", "pointing:guess"), Condition("look", "pointing:look")


@pytest.fixture
def here(monkeypatch):
    """Envs in this process."""

    @contextlib.contextmanager
    def open_here(env_id, env_kwargs, cell, split, num_envs, chunk):
        make = functools.partial(make_env, env_id, env_kwargs, cell, split, chunk)
        yield SyncVectorEnv([make] * num_envs, autoreset_mode=AutoresetMode.DISABLED)

    monkeypatch.setattr("stemob_wrappers.evaluation.clips.open_vector_env", open_here)


def film(folder, left_won, right_won, cell="other"):
    records = [
        Record(condition.name, 0, ENV, cell, [5, 6], won, [6, 6], [0.0, 0.0], {})
        for condition, won in ((LEFT, left_won), (RIGHT, right_won))
    ]
    settings = {"cells": {cell: None}, "env_kwargs": {ENV: {}}, "split": "dev", "folder": folder}
    return record_clip(records, LEFT, RIGHT, **settings)


def test_an_episode_is_filmed_that_one_fails_and_the_other_does_not(here, tmp_path):
    clip = film(tmp_path, [True, False], [True, True])
    assert clip is not None
    assert (clip["task"], clip["cell"], clip["seed"]) == (ENV, "other", 6)
    assert clip["left"] == {"condition": "guess", "success": False}
    assert clip["right"] == {"condition": "look", "success": True}
    frames = list(read_video(tmp_path / clip["path"]))
    assert len(frames) == 7  # the reset, and six steps of the one that fails
    assert frames[0].shape == (pointing.SIZE, 2 * pointing.SIZE + 4, 3)
    assert np.abs(frames[0][:, :48].astype(int) - frames[0][:, 52:]).mean() < 4  # one state
    assert video_properties(tmp_path / clip["path"]).fps == FPS


def test_without_such_an_episode_there_is_no_film(here, tmp_path):
    assert film(tmp_path, [False, False], [False, False]) is None
    assert film(tmp_path, [False, False], [True, True], cell="clean") is None
    assert not list(tmp_path.iterdir())


def test_an_episode_that_ends_otherwise_when_played_again_is_not_shown(here, tmp_path, monkeypatch):
    monkeypatch.setattr(pointing, "look", pointing.guess)
    assert film(tmp_path, [False, False], [True, True]) is None


def test_conditions_of_one_training_are_paired():
    stem = StemConfig()
    conditions = [Condition("raw", "a:b"), Condition("stem", "a:b", stem)]
    conditions += [Condition("stem", "a:b", stem, training_seed=1)]
    assert [(a.name, b.training_seed) for a, b in pairs_to_film(conditions)] == [("raw", 0)]
