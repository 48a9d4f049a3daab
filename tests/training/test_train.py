import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from stemob_wrappers.backbones import load_backbone
from stemob_wrappers.config import StemConfig
from stemob_wrappers.pipeline import StemPipeline
from stemob_wrappers.schedule import SD_SCHEDULE, NoiseSchedule
from stemob_wrappers.training.train import (
    FrameSource,
    TrainConfig,
    alignment_loss,
    noise_latents,
    train_backbone,
)

TINY = TrainConfig(steps=6, batch_size=4, latent_channels=4, width=32, context_width=32)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    coarse = np.random.default_rng(0).integers(0, 256, (2, 2, 4, 4, 3), np.uint8)
    frames = coarse.repeat(32, axis=2).repeat(32, axis=3)
    save_file({"frames": frames}, folder / "scene-00000.safetensors")
    return folder


def weights(backbone):
    return (backbone / "vae" / "diffusion_pytorch_model.safetensors").read_bytes()


class Stopped(Exception):
    pass


def test_an_interrupted_run_resumed_gives_the_same_weights(scenes, tmp_path, monkeypatch):
    train_backbone(scenes, tmp_path / "whole", TINY, save_every=3)

    drawn = []
    draw = FrameSource.pairs

    def stop_at_the_fifth_step(self, rng, count):
        drawn.append(1)
        if len(drawn) == 5:
            raise Stopped
        return draw(self, rng, count)

    monkeypatch.setattr(FrameSource, "pairs", stop_at_the_fifth_step)
    with pytest.raises(Stopped):
        train_backbone(scenes, tmp_path / "parts", TINY, save_every=3)
    monkeypatch.undo()
    assert not (tmp_path / "parts" / "vae").exists()
    train_backbone(scenes, tmp_path / "parts", TINY, save_every=3)
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")


def test_another_seed_gives_other_weights_and_the_loss_falls(scenes, tmp_path):
    train_backbone(scenes, tmp_path / "a", dataclasses.replace(TINY, steps=101))
    log = (tmp_path / "a" / "losses.csv").read_text().splitlines()
    losses = [float(line.split(",")[1]) for line in log]
    assert losses[-1] < 0.8 * losses[0]
    train_backbone(scenes, tmp_path / "b", dataclasses.replace(TINY, seed=1))
    train_backbone(scenes, tmp_path / "c", TINY)
    assert weights(tmp_path / "b") != weights(tmp_path / "c")


def test_a_trained_folder_is_a_backbone(scenes, tmp_path):
    train_backbone(scenes, tmp_path / "mine", TINY)
    assert (
        json.loads((tmp_path / "mine" / "model_index.json").read_text())["training"]["steps"] == 6
    )
    pipeline = StemPipeline(StemConfig(backbone=str(tmp_path / "mine")))
    assert pipeline(np.zeros((2, 40, 40, 3), np.uint8)).shape == (2, 40, 40, 3)
    latents = load_backbone(str(tmp_path / "mine")).codec.channels
    assert latents == 4


def test_other_settings_on_a_checkpoint_and_no_scenes_are_clear_errors(scenes, tmp_path):
    train_backbone(scenes, tmp_path / "a", TINY)
    with pytest.raises(ValueError, match="use the same settings, or another --out"):
        train_backbone(scenes, tmp_path / "a", dataclasses.replace(TINY, steps=7))
    with pytest.raises(ValueError, match=r"holds no scene-\*.safetensors"):
        train_backbone(tmp_path / "nothing", tmp_path / "b", TINY)


def test_pairs_are_one_state_under_two_appearances_and_canonical_ones_end_in_the_first(tmp_path):
    # Red holds the state, green the appearance, blue the scene.
    for scene in range(2):
        frames = np.zeros((3, 4, 128, 128, 3), np.uint8)
        frames[..., 0] += np.arange(3, dtype=np.uint8)[:, None, None, None] * 40
        frames[..., 1] += np.arange(4, dtype=np.uint8)[:, None, None] * 40
        frames[..., 2] = scene * 40
        save_file({"frames": frames}, tmp_path / f"scene-{scene:05d}.safetensors")
    source = FrameSource(tmp_path)
    plain = [source.pairs(np.random.default_rng([seed, 1]), 4) for seed in range(20)]
    assert all(pairs.shape[:3] == (2, 4, 3) for pairs in plain)

    for seed in range(20):
        _, canonical = source.pairs(np.random.default_rng([seed, 2]), 4, canonical=True)
        state, look, scene = ((canonical.mean((2, 3)) + 1) * 127.5 / 40).round().T
        assert (look == 0).all(), "as it was rendered, colours not shifted either"
        assert (scene[::2] == scene[1::2]).all()
        assert (state[::2] != state[1::2]).all(), "two states of a scene stand side by side"


def test_alignment_is_the_distance_across_appearances_over_that_across_states():
    latents = torch.zeros(2, 4, 1, 2, 2)
    latents[:, 1::2] += 3.0  # the other state of each scene
    assert alignment_loss(latents).item() == pytest.approx(0, abs=1e-4)
    latents[1] += 1.0
    assert alignment_loss(latents).item() == pytest.approx(1 / 3)
    assert alignment_loss(10 * latents).item() == pytest.approx(1 / 3), "scale does not count"
    equal = torch.zeros(2, 2, 1, 2, 2, requires_grad=True)
    alignment_loss(equal).backward()
    assert equal.grad is not None
    assert equal.grad.isfinite().all()


def test_noise_teaches_the_decoder_alone():
    latents = torch.ones(64, 1, 2, 2, requires_grad=True)
    schedule = NoiseSchedule.from_config(SD_SCHEDULE)
    noised, alpha_bar = noise_latents(latents, schedule, 0.5, seed=0)
    noised.sum().backward()
    assert latents.grad is not None
    taught = latents.grad.flatten(1).any(1)
    assert torch.equal(taught, alpha_bar == 1)
    assert 10 < taught.sum() < 54
    assert torch.equal(noised[taught], latents[taught])


def test_training_goes_on_from_another_backbone(scenes, tmp_path):
    first = train_backbone(scenes, tmp_path / "first", TINY)
    again = dataclasses.replace(TINY, steps=1, learning_rate=0.0, start=str(first))
    second = train_backbone(scenes, tmp_path / "second", again)
    ours = load_backbone(str(first)).codec.module.decoder[0].weight
    assert torch.equal(ours, load_backbone(str(second)).codec.module.decoder[0].weight)
