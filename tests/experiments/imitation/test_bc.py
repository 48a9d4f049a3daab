"""Behavioural cloning learns what images show, acts in chunks, and resumes to the same weights."""

import dataclasses
import sys
from typing import Any

import numpy as np
import pytest
import squares
import torch
from safetensors.torch import load_file

from experiments.imitation import acting, bc, diffusion_policy, loop


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    return squares.make_demos(tmp_path_factory.mktemp("demos") / "demos.hdf5", demos=13, length=50)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return squares.make_demos(tmp_path_factory.mktemp("demos") / "tiny.hdf5", length=8)


def small(demos, out, **changes: Any):
    sizes: dict[str, Any] = {"batch_size": 32, "epochs": 2} | changes
    return bc.Config(demos=str(demos), out=str(out), **sizes)


@pytest.fixture(scope="module")
def trained(demos, tmp_path_factory):
    config = small(demos, tmp_path_factory.mktemp("runs") / "raw", epochs=10, chunk=2, execute=2)
    return bc.train(config)


def test_the_policy_points_at_squares_it_has_not_seen(trained):
    policy = bc.load(trained.parent)
    observation, places = squares.observation(seed=99, count=64)
    actions = policy(observation)
    assert actions.shape == (64, 2, 7)
    assert actions.dtype == np.float32
    # Places are uniform in [-1, 1]: without looking the error is 0.5.
    assert np.abs(actions[:, :, :2] - places[:, None]).mean() < 0.25


def test_losses_are_written_and_drawn(trained):
    valid = np.loadtxt(trained.parent / "valid.csv", delimiter=",")
    assert len(valid) == 10
    assert valid[-1, 1] < 0.7 * valid[0, 1]
    assert (trained.parent / "losses.png").read_bytes().startswith(b"\x89PNG")


def test_of_each_chunk_the_first_actions_are_run_and_chunks_are_counted_by_episode():
    def plan(images, hand, turn):
        turns.append(turn.tolist())
        return torch.linspace(-2, 2, 4).view(1, 4, 1).expand(len(hand), 4, 7)

    turns: list[list[int]] = []
    policy = acting.ChunkPolicy(plan, list(squares.CAMERAS), 3, torch.device("cpu"))
    observation, _ = squares.observation(1, 2)
    policy.reset(np.array([True, True]))
    actions = policy(observation)
    assert actions.shape == (2, 3, 7)
    assert np.allclose(actions[0, :, 0], [-1, -2 / 3, 2 / 3]), "clipped to what envs take"
    policy(observation)
    policy.reset(np.array([False, True]))
    policy(observation)
    assert turns == [[0, 0], [1, 1], [2, 0]]
    policy.execute = 1
    assert policy(observation).shape == (2, 7), "as an env without chunks takes them"


def test_batches_and_other_numbers_of_envs_do_not_matter(trained):
    observation, _ = squares.observation(3, 4)
    together = bc.load(trained)(observation)
    policy = bc.load(trained)
    for env in range(4):
        alone = {key: value[env : env + 1] for key, value in observation.items()}
        policy.reset(np.array([True]))
        assert np.allclose(policy(alone)[0], together[env], atol=1e-5)
    assert np.allclose(policy(observation), together, atol=1e-5)


@pytest.mark.parametrize("module", [bc, diffusion_policy])
@pytest.mark.parametrize("augment", ["none", "random_conv", "mixup"])
def test_a_stopped_training_comes_to_the_same_weights(module, augment, tiny, tmp_path, monkeypatch):
    def config(name):
        return module.Config(
            demos=str(tiny), out=str(tmp_path / name), augment=augment, epochs=8, batch_size=16
        )

    whole = load_file(module.train(config("whole")))

    take_batch, calls = loop.take_batch, []

    def fails_later(*arguments):
        calls.append(arguments)
        if len(calls) > 17:
            raise KeyboardInterrupt
        return take_batch(*arguments)

    monkeypatch.setattr(loop, "take_batch", fails_later)
    with pytest.raises(KeyboardInterrupt):
        module.train(config("stopped"))
    monkeypatch.undo()
    assert not (tmp_path / "stopped" / acting.POLICY_FILE).exists()
    resumed = load_file(module.train(config("stopped")))
    assert resumed.keys() == whole.keys()
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name


def test_seeds_and_augmentations_make_other_policies(tiny, tmp_path):
    changes = [{}, {"seed": 1}, {"augment": "random_conv"}, {"augment": "mixup"}]
    weights = [
        load_file(bc.train(small(tiny, tmp_path / str(index), epochs=1, **change)))
        for index, change in enumerate(changes)
    ]
    heads = [w["head.0.weight"].numpy().tobytes() for w in weights]
    assert len(set(heads)) == len(changes)


def test_mixup_mixes_actions_with_images(demos):
    from experiments.imitation.data import load_demos, take_batch

    batch = take_batch(load_demos(demos, "train"), torch.arange(0, 64), 1)
    mixed = loop.augmented(batch, "mixup", torch.Generator().manual_seed(0))
    # Squares light up elsewhere exactly where actions point elsewhere.
    change = (mixed.images["agentview_image"] - batch.images["agentview_image"]).abs().flatten(1)
    moved = (mixed.actions - batch.actions).abs().flatten(1).amax(1)
    assert (moved > 0.2).any()
    assert (change.amax(1)[moved > 0.2] > 0.05).all()
    assert (moved[change.amax(1) < 0.01] < 0.05).all()
    other = loop.augmented(batch, "random_conv", torch.Generator().manual_seed(0))
    assert torch.equal(other.actions, batch.actions)


def test_what_cannot_be_done_is_said(tiny, trained, tmp_path):
    with pytest.raises(ValueError, match=r"augment must be none.*'blur'"):
        small(tiny, tmp_path, augment="blur")
    with pytest.raises(ValueError, match="execute must be within 1 and chunk = 2, got 4"):
        small(tiny, tmp_path, chunk=2, execute=4)
    bc.train(small(tiny, tmp_path / "run", epochs=1))
    with pytest.raises(ValueError, match="use the same settings, or another --out"):
        bc.train(small(tiny, tmp_path / "run", epochs=1, seed=5))
    with pytest.raises(FileNotFoundError, match="no policy at"):
        bc.load(tmp_path)
    with pytest.raises(ValueError, match="kind 'bc', 'diffusion' was asked for"):
        diffusion_policy.load(trained)
    observation, _ = squares.observation(0, 1)
    del observation["agentview_image"]
    with pytest.raises(KeyError, match=r"lacks \['agentview_image'\]"):
        bc.load(trained)(observation)


def test_a_run_can_be_moved_and_taken_up_again(tiny, tmp_path):
    config = small(tiny, tmp_path / "here", epochs=1)
    weights = load_file(bc.train(config))
    moved = (tmp_path / "here").rename(tmp_path / "there")
    again = load_file(bc.train(dataclasses.replace(config, out=str(moved))))
    assert all(torch.equal(again[name], value) for name, value in weights.items())


def test_the_command_line(tiny, tmp_path, monkeypatch, capsys):
    arguments = ("--demos", tiny, "--out", tmp_path / "a", "--epochs", 3, "--augment", "srm")
    monkeypatch.setattr(sys, "argv", ["bc.py", *map(str, arguments)])
    assert loop.parse(bc.Config, bc.__doc__) == bc.Config(
        demos=str(tiny), out=str(tmp_path / "a"), epochs=3, augment="srm"
    )
    monkeypatch.setattr(sys, "argv", ["bc.py", *map(str, arguments[:-1]), "blur"])
    with pytest.raises(SystemExit):
        loop.parse(bc.Config, bc.__doc__)
    assert "augment must be none" in capsys.readouterr().err
