"""Noisy actions are found and brought nearer to the truth; all else of a file is as it was."""

import json
import runpy
import sys

import h5py
import numpy as np
import pytest
import squares
import torch

from experiments.imitation import pollute_demos as polluting
from experiments.imitation import restoration
from experiments.imitation import restore_demos as script
from experiments.imitation.data import load_demos

# --- the filter -----------------------------------------------------------------------------------


def slow_local_outlier_factor(points, k):
    """Definitions 5 to 7 of the paper, point by point."""
    distance = np.linalg.norm(points[:, None] - points, axis=-1)
    order = [[j for j in np.argsort(row) if j != i][:k] for i, row in enumerate(distance)]
    k_distance = [distance[i, near[-1]] for i, near in enumerate(order)]
    density = [
        1 / np.mean([max(k_distance[j], distance[i, j]) for j in near])
        for i, near in enumerate(order)
    ]
    return [np.mean([density[j] for j in near]) / density[i] for i, near in enumerate(order)]


@pytest.mark.parametrize("k", [1, 5, 20])
def test_the_outlier_factor_is_its_definition(k):
    points = np.random.default_rng(k).normal(size=(60, 3))
    found = restoration.local_outlier_factor(points.astype(np.float32), k)
    assert found == pytest.approx(slow_local_outlier_factor(points.astype(np.float32), k), rel=1e-3)


def test_many_points_are_compared_in_parts(monkeypatch):
    points = np.random.default_rng(0).normal(size=(1500, 2)).astype(np.float32)
    found = restoration.local_outlier_factor(points)
    assert found[:700] != pytest.approx(restoration.local_outlier_factor(points[:700]), rel=1e-3)
    order = np.random.default_rng(1).permutation(1500)
    assert restoration.local_outlier_factor(points[order]) == pytest.approx(found[order], rel=1e-6)


def test_points_that_are_the_same_are_no_outliers():
    points = np.zeros((50, 2), np.float32)
    points[-1] = 3
    found = restoration.local_outlier_factor(points)
    assert found.argmax() == 49
    assert found[:49] == pytest.approx(1)


# --- the restoration ------------------------------------------------------------------------------


def planted(count=800, share=0.2, seed=0):
    """Actions that follow from the state, some of them polluted; states, truth, which."""
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(count, 4)).astype(np.float32)
    truth = np.tanh(states @ rng.normal(size=(4, 5)).astype(np.float32))
    truth = torch.from_numpy(truth / truth.std(0))
    polluted = rng.random(count) < share
    noise = torch.from_numpy(rng.normal(size=truth.shape).astype(np.float32))
    return torch.from_numpy(states), truth, truth + noise * torch.from_numpy(polluted)[:, None]


def test_polluted_actions_come_nearer_to_the_truth():
    states, truth, actions = planted()
    torch.manual_seed(0)
    restored, report = restoration.restore(actions, states, threshold=20, train_steps=200)
    before, after = ((each - truth).square().mean().sqrt().item() for each in (actions, restored))
    assert after < 0.8 * before
    assert report.steps == len(truth) == report.clean + report.left + report.restored
    assert report.clean == len(truth) / 2


def test_a_perfect_denoiser_brings_every_level_back():
    truth = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    states, levels = torch.zeros(50, 1), torch.linspace(0, 90, 50).round()
    kept = restoration.SCHEDULE.alphas_cumprod
    noise = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    polluted = truth + noise * ((1 - kept) / kept).sqrt()[levels.long()][:, None]

    class Perfect:
        """Knows the one truth of each row by its state."""

        def __call__(self, noisy, rows, level):
            level_kept = kept[level][:, None]
            return (noisy - level_kept.sqrt() * truth[rows[:, 0].long()]) / (1 - level_kept).sqrt()

    states = torch.arange(50.0)[:, None]
    found = restoration.denoise(Perfect(), polluted, states, levels)  # type: ignore[arg-type]
    assert torch.allclose(found, truth, atol=1e-3)


def test_nothing_is_restored_above_every_level():
    states, _, actions = planted(200)
    restored, report = restoration.restore(actions, states, threshold=1e9, train_steps=3)
    assert torch.equal(restored, actions)
    assert (report.restored, report.left, report.mean_change) == (0, 100, 0.0)


# --- files ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    path = squares.make_demos(tmp_path_factory.mktemp("demos") / "clean.hdf5", length=40)
    with h5py.File(path, "a") as file:
        file["data"].attrs["env_args"] = "{}"
        for index in range(5):
            name = f"demo_{index}"
            rng = np.random.default_rng(index)
            actions = np.asarray(file[f"data/{name}/actions"])
            file[f"data/{name}/states"] = np.concatenate(
                [rng.normal(size=(40, 1)), actions[:, :2]], axis=1
            )
    return path


@pytest.fixture(scope="module")
def polluted(clean):
    return polluting.pollute_demos(clean, clean.with_name("polluted.hdf5"))


def everything(path):
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update(
                {name: np.asarray(item)} if isinstance(item, h5py.Dataset) else {}
            )
        )
        return found, {name: str(value) for name, value in file["data"].attrs.items()}


def test_a_share_of_the_steps_is_polluted_and_nothing_else(clean, polluted):
    (before, _), (after, about) = everything(clean), everything(polluted)
    assert before.keys() == after.keys()
    assert about["env_args"] == "{}"
    assert json.loads(about["polluted_with"]) == {"share": 0.2, "deviations": 1.0, "seed": 0}
    changed = []
    for name, values in before.items():
        if not name.endswith("actions"):
            assert np.array_equal(values, after[name]), name
            continue
        changed.append((values != after[name]).any(1))
        assert (values[:, 2:] == after[name][:, 2:]).all(), "what never varies gets no noise"
        assert np.abs(after[name]).max() <= 1
    assert 0.1 < np.concatenate(changed).mean() < 0.3


def test_the_noise_has_the_deviation_that_is_asked_for(clean, tmp_path):
    path = polluting.pollute_demos(clean, tmp_path / "a.hdf5", share=1.0, deviations=0.1)
    ours, theirs = polluting.read_actions(clean), polluting.read_actions(path)
    noise = np.concatenate([theirs[name] - ours[name] for name in ours])
    spread = np.concatenate(list(ours.values())).std(0)
    assert noise.std(0)[:2] == pytest.approx(0.1 * spread[:2], rel=0.2)
    again = polluting.pollute_demos(clean, tmp_path / "b.hdf5", share=1.0, deviations=0.1)
    assert polluting.read_actions(again)["demo_0"].tolist() == theirs["demo_0"].tolist()


def test_a_file_is_restored_and_the_rest_of_it_kept(clean, polluted, tmp_path):
    out = tmp_path / "restored.hdf5"
    report = script.restore_demos(polluted, out, train_steps=60)
    (before, _), (after, about) = everything(polluted), everything(out)
    assert before.keys() == after.keys()
    others = [name for name in before if not name.endswith("actions")]
    assert all(np.array_equal(before[name], after[name]) for name in others)
    changed = sum(
        (before[name] != after[name]).any(1).sum() for name in before if name.endswith("actions")
    )
    assert 0 < changed <= report.restored
    told = json.loads(about["restored_with"])
    assert told == {"threshold": 30.0, "train_steps": 60, "seed": 0, **vars(report)}
    assert json.loads(about["polluted_with"])["share"] == 0.2, "its history is kept"
    assert len(load_demos(out, "train")) == 160
    again = tmp_path / "again.hdf5"
    assert script.restore_demos(polluted, again, train_steps=60) == report
    assert everything(again)[0]["data/demo_0/actions"].tolist() == (
        after["data/demo_0/actions"].tolist()
    )


def test_what_cannot_be_is_refused(clean, polluted, tmp_path):
    with pytest.raises(ValueError, match=r"share must be from 0 to 1 .* got 2 and 1"):
        polluting.pollute_demos(clean, tmp_path / "a.hdf5", share=2, deviations=1)
    with pytest.raises(ValueError, match="threshold must be from 0 to 100"):
        script.restore_demos(clean, tmp_path / "a.hdf5", threshold=101)
    with pytest.raises(FileNotFoundError, match="no demonstrations at"):
        script.restore_demos(tmp_path / "none.hdf5", tmp_path / "a.hdf5")
    for function in (polluting.pollute_demos, script.restore_demos):
        with pytest.raises(FileExistsError, match="move it or name another"):
            function(clean, polluted)
    with h5py.File(tmp_path / "bare.hdf5", "w") as file:
        file["data/demo_0/actions"] = np.zeros((4, 7))
    with pytest.raises(ValueError, match=r"needs floats \[T, S\] in obs, or states.*\['actions'\]"):
        script.restore_demos(tmp_path / "bare.hdf5", tmp_path / "a.hdf5")
    assert not (tmp_path / "a.hdf5").exists()


def test_one_that_broke_off_leaves_no_file(clean, tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr(h5py.Group, "copy", fail)
    with pytest.raises(OSError, match="disk full"):
        polluting.pollute_demos(clean, tmp_path / "a.hdf5")
    assert not list(tmp_path.iterdir())


def test_the_command_lines(clean, tmp_path, monkeypatch, capsys):
    noisy, out = tmp_path / "noisy.hdf5", tmp_path / "restored.hdf5"
    line = ["--demos", clean, "--out", noisy, "--share", 0.5]
    monkeypatch.setattr(sys, "argv", ["pollute_demos.py", *map(str, line)])
    runpy.run_module(polluting.__name__, run_name="__main__")
    assert capsys.readouterr().out.split() == [str(noisy)]
    line = ["--demos", noisy, "--out", out, "--train-steps", 5, "--truth", clean]
    monkeypatch.setattr(sys, "argv", ["restore_demos.py", *map(str, line)])
    runpy.run_module(script.__name__, run_name="__main__")
    told = json.loads(capsys.readouterr().out)
    assert told["steps"] == 200
    assert told["error_before"] == pytest.approx(script.mean_error(noisy, clean))
    assert told["error_after"] == pytest.approx(script.mean_error(out, clean))
