"""VINN does what was done where it looked the same, and says which features it compares."""

import json
import re
from typing import Any

import numpy as np
import pytest
import squares
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from experiments.imitation import vinn
from experiments.imitation.data import load_demos, take_batch


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    return squares.make_demos(tmp_path_factory.mktemp("demos") / "demos.hdf5", demos=9, length=50)


def remembered(demos, out, **changes):
    sizes: dict[str, Any] = {"chunk": 2, "execute": 2, "features": "pixels", "cells": 12} | changes
    return vinn.train(vinn.Config(demos=str(demos), out=str(out), **sizes))


@pytest.fixture(scope="module", params=["pixels", "embedded"])
def policy(request, demos, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    return remembered(demos, out, features=request.param, neighbours=1)


def stored_observation(demos, count=64):
    """Frames that the file has, every fourth, and the chunks that follow them."""
    train = load_demos(demos, "train")
    index = torch.arange(count) * 4
    images = {key: frames[index].numpy() for key, frames in train.images.items()}
    rows = np.random.default_rng(0).normal(size=(count, 50)).astype(np.float32)
    return images | {"proprio": rows}, take_batch(train, index, 2)


def test_what_was_seen_is_done_again(policy, demos):
    acting = vinn.load(policy)
    observation, batch = stored_observation(demos)
    images = {key: torch.from_numpy(observation[key]) for key in acting.cameras}
    from experiments.imitation.data import float_images

    floats = {key: float_images(frames) for key, frames in images.items()}
    turn = torch.zeros(len(batch.hand), dtype=torch.int64)
    with torch.inference_mode():
        assert torch.equal(acting.plan(floats, batch.hand, turn), batch.actions)


def test_the_policy_points_at_squares_it_has_not_seen(demos, tmp_path):
    acting = vinn.load(remembered(demos, tmp_path))
    observation, places = squares.observation(seed=99, count=64)
    actions = acting(observation)
    assert actions.shape == (64, 2, 7)
    # Places are uniform in [-1, 1]: without looking the error is 0.5.
    assert np.abs(actions[:, 0, :2] - places).mean() < 0.4


def test_the_nearer_the_more_it_counts():
    keys = torch.tensor([[0.0], [1.0], [5.0]])
    chunks = torch.tensor([0.0, 1.0, 100.0]).view(3, 1, 1)
    unused = torch.zeros(1)
    memory = vinn.Memory(unused, unused, unused, unused, keys, chunks)
    near, far = 0.25, 0.75
    wanted = np.exp(-far / 0.5) / (np.exp(-near / 0.5) + np.exp(-far / 0.5))
    voted = memory.vote(torch.tensor([[0.25]]), neighbours=2, temperature=0.5)
    assert voted.item() == pytest.approx(wanted, rel=1e-5)
    assert memory.vote(keys, neighbours=9, temperature=1e9).flatten().tolist() == pytest.approx(
        [101 / 3] * 3, rel=1e-4
    ), "more than there are: all of them, alike"


def test_images_vary_by_one_and_the_hand_by_its_weight(demos):
    config = vinn.Config(demos=str(demos), out="", features="pixels", components=500)
    train = load_demos(demos, "train")
    features = vinn.Features("pixels", config.cells, torch.device("cpu"))
    memory = vinn.remember(train, features, config)
    assert memory.keys.shape == (len(train), 2 * 3 * 7 * 7 + 11)
    variances = memory.keys.var(0)
    assert variances[:-11].sum().item() == pytest.approx(1, rel=0.01)
    assert variances[-11:].sum().item() == pytest.approx(0.3**2, rel=0.01)
    # With all components, distances are those of the pooled pixels.
    pooled = features(take_batch(train, torch.arange(3), 1).images)
    ratios = torch.pdist(memory.keys[:3, :-11]) / torch.pdist(pooled)
    assert ratios.tolist() == pytest.approx([ratios[0].item()] * 3, rel=1e-3)


def test_of_our_own_backbone_only_the_layout_counts():
    from stemob_wrappers.backbones.load import load_backbone

    features = vinn.Features("embedded", 7, torch.device("cpu"))
    images = torch.rand(2, 3, 84, 84, generator=torch.Generator().manual_seed(0))
    found = features({"camera": images})
    codec = load_backbone("embedded").codec
    padded = torch.nn.functional.pad(2 * images - 1, (0, 4, 0, 4), mode="replicate")
    with torch.inference_mode():
        layout = codec.encode(padded)[:, : codec.module.layout_channels]
    wanted = torch.nn.functional.adaptive_avg_pool2d(layout, 7).flatten(1)
    assert torch.allclose(found, wanted)


def test_features_of_other_weights_are_refused(demos, tmp_path):
    path = remembered(demos, tmp_path, features="embedded")
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    digest = json.loads(metadata["settings"])["network"]["digest"]
    metadata["settings"] = metadata["settings"].replace(digest, "0" * len(digest))
    save_file(load_file(path), path, metadata)
    with pytest.raises(ValueError, match=rf"{'0' * len(digest)}, which has {re.escape(digest)}"):
        vinn.load(path)


def test_settings_that_cannot_be_are_refused(demos, tmp_path):
    with pytest.raises(ValueError, match=r"must be at least 1 .* got 12, 128, 0 and 0\.05"):
        remembered(demos, tmp_path, neighbours=0)
    with pytest.raises(ValueError, match="temperature above 0"):
        remembered(demos, tmp_path, temperature=0.0)
    with pytest.raises(ValueError, match="execute must be within 1 and chunk = 2, got 4"):
        remembered(demos, tmp_path, execute=4)
    with pytest.raises(ValueError, match="unknown backbone 'embeded'"):
        remembered(demos, tmp_path, features="embeded")
