"""The contrastive loss is its formula; what it learns, the cloning after it leaves alone."""

from typing import Any

import numpy as np
import pytest
import squares
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from experiments.imitation import bc, class_lite


def samples(count, seed=0):
    source = torch.Generator().manual_seed(seed)
    features = F.normalize(torch.randn(count, 5, generator=source), dim=1)
    return features, torch.rand(count, 2, 3, generator=source)


def test_the_loss_is_the_formula():
    features, actions = samples(6)
    flat, reach = actions.flatten(1).numpy(), 0.3
    others = [[j for j in range(6) if j != i] for i in range(6)]
    distance = np.array([[np.linalg.norm(flat[i] - flat[j]) for j in range(6)] for i in range(6)])
    scale = reach * np.mean([distance[i, others[i]].mean() for i in range(6)])
    losses = []
    for i, rest in enumerate(others):
        weights = np.exp(-distance[i, rest] / scale)
        cosines = np.array([float(features[i] @ features[j]) for j in rest]) / 0.1
        chances = np.exp(cosines) / np.exp(cosines).sum()
        losses.append(-(weights / weights.sum() * np.log(chances)).sum())
    found = class_lite.contrastive_loss(features, actions, reach)
    assert found.item() == pytest.approx(np.mean(losses), rel=1e-4)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99))
def test_the_order_of_a_batch_does_not_matter(seed):
    features, actions = samples(8, seed)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(seed))
    loss = class_lite.contrastive_loss(features, actions, 0.1)
    shuffled = class_lite.contrastive_loss(features[order], actions[order], 0.1)
    assert shuffled.item() == pytest.approx(loss.item(), rel=1e-4)


def test_it_draws_together_what_is_followed_by_the_same_actions():
    actions = torch.tensor([0.0, 0.0, 1.0, 1.0]).view(4, 1, 1)
    ways = F.one_hot(torch.tensor([0, 0, 1, 1])).float()
    together, apart = (
        class_lite.contrastive_loss(features, actions, 0.1)
        for features in (ways, ways[[0, 2, 1, 3]])
    )
    assert together < 0.01
    assert apart > 1


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    return squares.make_demos(tmp_path_factory.mktemp("demos") / "demos.hdf5", demos=9, length=50)


def small(demos, out, **changes):
    sizes: dict[str, Any] = {
        "epochs": 2,
        "encoder_epochs": 2,
        "batch_size": 32,
        "chunk": 2,
        "execute": 2,
    }
    return class_lite.Config(demos=str(demos), out=str(out), **sizes | changes)


def test_the_policy_points_at_squares_it_has_not_seen(demos, tmp_path):
    path = class_lite.train(small(demos, tmp_path, epochs=15, encoder_epochs=15))
    observation, places = squares.observation(seed=99, count=64)
    actions = class_lite.load(path)(observation)
    # Places are uniform in [-1, 1]: without looking the error is 0.5.
    assert np.abs(actions[:, 0, :2] - places).mean() < 0.3
    valid = np.loadtxt(tmp_path / "encoder" / "valid.csv", delimiter=",")
    assert valid[-1, 1] < valid[0, 1]


def test_cloning_leaves_the_encoder_as_it_is(demos, tmp_path):
    weights = [
        load_file(class_lite.train(small(demos, tmp_path / str(epochs), epochs=epochs)))
        for epochs in (1, 3)
    ]
    for name, value in weights[0].items():
        if name.startswith("encoder."):
            assert torch.equal(value, weights[1][name]), name
    assert not torch.equal(weights[0]["head.0.weight"], weights[1]["head.0.weight"])
    assert not any("projection" in name for name in weights[0])


def test_it_is_of_its_own_kind_and_says_what_cannot_be(demos, tmp_path):
    path = class_lite.train(small(demos, tmp_path, epochs=1, encoder_epochs=1))
    with pytest.raises(ValueError, match="kind 'class', 'bc' was asked for"):
        bc.load(path)
    with pytest.raises(ValueError, match="reach must be above 0, got 0"):
        small(demos, tmp_path, reach=0.0)
