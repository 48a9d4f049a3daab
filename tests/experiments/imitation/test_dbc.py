"""DBC's loss is its formula, its gradients reach the policy alone, and it stays on the manifold."""

import itertools
from typing import Any

import numpy as np
import pytest
import squares
import torch
from safetensors.torch import load_file
from torch import nn

from experiments.imitation import acting, bc, dbc, loop


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def model_of(state, actions, seed=0):
    torch.manual_seed(seed)
    model = dbc.DiffusionModel(dbc.pairs_of(state, actions).shape[1], width=32)
    model.normalise_by(dbc.pairs_of(state, actions))
    return model.requires_grad_(False)


@pytest.fixture
def batch():
    state, actions = torch.randn(9, 3, generator=generator(1)), torch.rand(9, 2, 4)
    return state, actions, model_of(state, actions)


def test_the_loss_is_the_formula(batch):
    state, actions, model = batch
    predicted = actions + 0.5 * torch.randn(9, 2, 4, generator=generator(2))
    # Written out sample by sample, with what the generator gives in the same order.
    source = generator(7)
    first = torch.randint(1000, (5,), generator=source)
    timesteps = torch.cat([first, 999 - first])[:9]
    noises = torch.randn(9, 11, generator=source)
    excesses = []
    for index, (n, noise) in enumerate(zip(timesteps, noises, strict=True)):
        beta = torch.sigmoid(torch.linspace(-6, 6, 1000)) * (0.02 - 1e-4) + 1e-4
        kept = torch.cumprod(1 - beta, 0)[n]
        losses = []
        for chunk in (predicted[index], actions[index]):
            pair = torch.cat([state[index], chunk.flatten()])
            pair = ((pair - model.mean) / model.std).clamp(-10, 10)
            noisy = kept.sqrt() * pair + (1 - kept).sqrt() * noise
            found = model.noise(noisy[None], n[None])[0]
            losses.append((found - noise).square().mean())
        excesses.append(max(losses[0] - losses[1], torch.tensor(0.0)))
    assert min(excesses) == 0 < max(excesses), "some samples are clipped, some are not"
    found = dbc.modelling_loss(model, state, predicted, actions, generator(7))
    assert found.item() == pytest.approx(torch.stack(excesses).mean().item(), rel=1e-4)


def test_what_the_demonstrator_did_costs_nothing(batch):
    state, actions, model = batch
    assert dbc.modelling_loss(model, state, actions, actions, generator()) == 0


def test_a_better_sample_does_not_make_up_for_a_worse_one():
    """The authors' code clips the mean, which would be 0 here."""
    state = torch.zeros(64, 1)
    expert = torch.tensor([1.0, 0.0]).repeat(32).view(64, 1, 1)
    agent = 1 - expert

    class Sure(dbc.DiffusionModel):
        """Explains actions near 0."""

        def noise(self, noisy, timestep):
            kept = dbc.SCHEDULE.alphas_cumprod[timestep][:, None]
            return noisy / (1 - kept).sqrt()

    excess = dbc.modelling_loss(Sure(2), state, agent, expert, generator())
    assert excess > 0.01


def test_gradients_reach_the_policy_and_not_the_model(batch):
    state, actions, model = batch
    predicted = (actions + 1).requires_grad_()
    dbc.modelling_loss(model, state, predicted, actions, generator()).backward()
    assert predicted.grad is not None
    assert predicted.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.parameters())


def test_timesteps_come_with_their_mirror_images():
    for count in (1, 2, 7, 128):
        timestep, noise = dbc.draw(torch.zeros(count, 3), generator())
        assert timestep.shape == (count,)
        assert noise.shape == (count, 3)
        half = count // 2
        assert torch.equal(timestep[-half:] if half else timestep[:0], 999 - timestep[:half])


# --- the spiral of the paper: one action a side, 40 steps each ------------------------------------

SIDES = torch.tensor([[0.5, 0.0], [0.0, 0.5], [-0.7, 0.0], [0.0, -0.7]]) / 10


def spiral():
    actions = SIDES.repeat_interleave(40, dim=0)
    states = torch.cat([torch.zeros(1, 2), actions.cumsum(0)])[:-1]
    return states, actions[:, None]


def learned(states, actions, cloning, modelling, model, steps=300):
    torch.manual_seed(0)
    policy = nn.Sequential(nn.Linear(2, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())
    policy.append(nn.Linear(128, 2))
    optimiser = torch.optim.Adam(policy.parameters(), 1e-3)
    source = generator()
    for _ in range(steps):
        predicted = policy(states / 2)[:, None]
        excess = dbc.modelling_loss(model, states, predicted, actions, source)
        loss = cloning * (predicted - actions).square().mean() / 1e-3 + modelling * excess
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return policy


@torch.inference_mode()
def farthest(policy, states):
    """How far a rollout of the policy gets from the demonstrated way."""
    place, distances = states[0], []
    for _ in range(len(states)):
        distances.append((states - place).norm(dim=1).min())
        place = place + policy(place / 2)
    return torch.stack(distances).max().item()


def spiral_model(states, actions, steps):
    pairs = dbc.pairs_of(states, actions)
    torch.manual_seed(0)
    model = dbc.DiffusionModel(4, width=128)
    model.normalise_by(pairs)
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    source = generator()
    for _ in range(steps):
        loss = dbc.noise_error(model, pairs, *dbc.draw(pairs, source)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.requires_grad_(False)


def test_the_model_alone_leaves_the_manifold_and_with_cloning_it_does_not():
    states, actions = spiral()
    model = spiral_model(states, actions, 400)
    alone, cloned, both = (
        farthest(learned(states, actions, *weights, model), states)
        for weights in ((0, 1), (1, 0), (1, 0.1))
    )
    assert both < 0.2
    assert cloned < 0.2
    assert alone > 2 * max(both, cloned)


# --- as a policy ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    return squares.make_demos(tmp_path_factory.mktemp("demos") / "demos.hdf5", length=16)


def small(demos, out, **changes):
    sizes: dict[str, Any] = {"epochs": 4, "model_epochs": 3, "batch_size": 16, "model_width": 32}
    sizes |= changes
    return dbc.Config(demos=str(demos), out=str(out), **sizes)


def test_without_its_weight_it_is_behavioural_cloning(demos, tmp_path):
    ours = load_file(dbc.train(small(demos, tmp_path / "dbc", weight=0.0)))
    plain = bc.Config(demos=str(demos), out=str(tmp_path / "bc"), epochs=4, batch_size=16)
    theirs = load_file(bc.train(plain))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    weighed = load_file(dbc.train(small(demos, tmp_path / "weighed", weight=5.0)))
    assert not torch.equal(weighed["head.0.weight"], theirs["head.0.weight"])


def test_it_acts_and_is_of_its_own_kind(demos, tmp_path):
    path = dbc.train(small(demos, tmp_path, epochs=1, model_epochs=1))
    observation, _ = squares.observation(0, 2)
    assert dbc.load(path)(observation).shape == (2, 4, 7)
    with pytest.raises(ValueError, match="kind 'dbc', 'bc' was asked for"):
        bc.load(path)


@pytest.mark.parametrize("stop", [10, 20])  # while the model is trained, while the policy is
def test_a_stopped_training_comes_to_the_same_weights(stop, demos, tmp_path, monkeypatch):
    whole = load_file(dbc.train(small(demos, tmp_path / "whole", model_epochs=4)))
    take_batch, calls = loop.take_batch, itertools.count()

    def fails_later(*arguments):
        if next(calls) > stop:
            raise KeyboardInterrupt
        return take_batch(*arguments)

    monkeypatch.setattr(loop, "take_batch", fails_later)
    with pytest.raises(KeyboardInterrupt):
        dbc.train(small(demos, tmp_path / "stopped", model_epochs=4))
    monkeypatch.undo()
    assert not (tmp_path / "stopped" / acting.POLICY_FILE).exists()
    resumed = load_file(dbc.train(small(demos, tmp_path / "stopped", model_epochs=4)))
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
    assert np.loadtxt(tmp_path / "stopped" / "valid.csv", delimiter=",").size
