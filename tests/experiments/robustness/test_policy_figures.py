"""The studies of docs/policies.md compare what they say, and go on where they stopped."""

import argparse
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import squares
import torch

from experiments.imitation.data import load_demos
from experiments.imitation.pollute_demos import read_actions
from experiments.robustness import policy_figures


class Made(NamedTuple):
    """In place of a condition."""

    name: str
    file: str
    seed: int


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    return squares.make_demos(tmp_path_factory.mktemp("demos") / "lift.hdf5", length=8)


def settings_for(work, **changes):
    values = {"work": work, "study": "retrieval", "seeds": 2, "epochs": 1, "episodes": 1}
    return argparse.Namespace(**values | changes)


@pytest.fixture
def played(monkeypatch):
    """Conditions that would be played."""
    calls = []

    class Nothing:
        records = ()

    def play(conditions, suite, settings):
        calls.append((list(conditions), list(suite)))
        return Nothing()

    monkeypatch.setattr(policy_figures, "play", play)
    return calls


def test_retrieval_compares_frames_and_features(demos, tmp_path, played):
    policy_figures.retrieval(demos, settings_for(tmp_path))
    ((conditions, suite),) = played
    assert suite == ["lighting", "texture", "colour", "background"]
    assert [condition.name for condition in conditions] == [
        f"VINN, {features}, {frames}"
        for features in ("pixels", "layout")
        for frames in ("raw", "stem", "canonical")
    ]
    for condition in conditions:
        learned = condition.load().learned_from  # type: ignore[attr-defined]
        assert (condition.stem is None) == (learned is None) == condition.name.endswith("raw")


def test_learning_adds_a_seed_at_a_time(demos, tmp_path, played, monkeypatch):
    monkeypatch.setattr(
        policy_figures,
        "trained",
        lambda name, script, demos, settings, **options: Made(name, demos.name, options["seed"]),
    )
    monkeypatch.setattr(policy_figures, "held_out_error", lambda condition, demos: 0.25)
    repaired = {"BC, polluted": tmp_path / "p.hdf5", "BC, restored": tmp_path / "r.hdf5"}
    monkeypatch.setattr(policy_figures, "repaired", lambda lift, work: repaired)
    policy_figures.learning(demos, settings_for(tmp_path, study="learning"))
    one, both = (conditions for conditions, suite in played if suite == [])
    assert one == [
        ("BC, clean", "lift.hdf5", 0),
        ("BC, polluted", "p.hdf5", 0),
        ("BC, restored", "r.hdf5", 0),
        ("DBC, clean", "lift.hdf5", 0),
    ]
    assert both == one + [(name, file, 1) for name, file, _ in one]


def test_the_held_out_error_is_that_of_the_planned_chunks(demos):
    off = 0.25
    valid = load_demos(demos, "valid")

    def plan(images, hand, turn):
        assert len(images["agentview_image"]) == len(hand) == len(turn) == len(valid)
        ahead = torch.arange(8) + torch.arange(len(valid))[:, None]
        return valid.actions[ahead.clamp_max(len(valid) - 1)] + off

    policy = SimpleNamespace(plan=plan, device=torch.device("cpu"))
    condition = SimpleNamespace(load=lambda: policy)
    found = policy_figures.held_out_error(condition, demos)  # type: ignore[arg-type]
    assert found == pytest.approx(off)


def test_the_repair_is_made_once(demos, tmp_path, capsys, monkeypatch):
    restore = policy_figures.restore_demos
    monkeypatch.setattr(
        policy_figures, "restore_demos", lambda *paths: restore(*paths, train_steps=20)
    )
    policy_figures.repaired(demos, tmp_path)
    files = policy_figures.repaired(demos, tmp_path)
    assert list(files) == ["BC, polluted", "BC, restored"]
    assert all(len(read_actions(path)) == 5 for path in files.values())
    said = capsys.readouterr().out
    assert said.count("Report(") == 1
    assert said.count("lift-restored.hdf5: mean absolute error of actions") == 2


@pytest.mark.slow
@pytest.mark.parametrize("study", ["learning", "retrieval"])
def test_the_whole_in_little(study, tmp_path):
    pytest.importorskip("robosuite")
    sizes = ["--demos", "2", "--epochs", "1", "--seeds", "1", "--episodes", "1"]
    results = policy_figures.main([study, "--work", str(tmp_path), *sizes])
    assert len(results.records) == (4 if study == "learning" else 30)
