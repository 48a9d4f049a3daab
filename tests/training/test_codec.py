import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from stemob_wrappers.backbones.load import load_backbone
from stemob_wrappers.backbones.networks import StemAutoencoder
from stemob_wrappers.config import StemConfig
from stemob_wrappers.diffusion.schedule import SD_SCHEDULE, NoiseSchedule
from stemob_wrappers.stem.pipeline import StemPipeline
from stemob_wrappers.training import codec as train
from stemob_wrappers.training.batches import Crops, FrameSource
from stemob_wrappers.training.codec import (
    Networks,
    TrainConfig,
    codec_loss,
    noise_latents,
    start_from_principal_components,
    train_backbone,
)

SMALL = {"layout_channels": 2, "look_channels": 4}
SMALL |= {"width": 16, "context_width": 16, "deep_width": 16}
TINY = dataclasses.replace(TrainConfig(steps=6), **SMALL)
SCHEDULE = NoiseSchedule.from_config(SD_SCHEDULE)


pytestmark = pytest.mark.usefixtures("small_batches")


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
    train_backbone([scenes], tmp_path / "whole", TINY, save_every=3)

    drawn = []
    draw = FrameSource.draw

    def stop_at_the_fifth_step(self, rng, count):
        drawn.append(1)
        if len(drawn) == train.PCA_BATCHES + 5:
            raise Stopped
        return draw(self, rng, count)

    monkeypatch.setattr(FrameSource, "draw", stop_at_the_fifth_step)
    with pytest.raises(Stopped):
        train_backbone([scenes], tmp_path / "parts", TINY, save_every=3)
    monkeypatch.undo()
    assert not (tmp_path / "parts" / "vae").exists()
    train_backbone([scenes], tmp_path / "parts", TINY, save_every=3)
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")


def test_another_seed_gives_other_weights_and_the_loss_falls(scenes, tmp_path):
    train_backbone([scenes], tmp_path / "a", dataclasses.replace(TINY, steps=101))
    log = (tmp_path / "a" / "losses.csv").read_text().splitlines()
    losses = [float(line.split(",")[1]) for line in log]
    assert losses[-1] < 0.8 * losses[0]
    train_backbone([scenes], tmp_path / "b", dataclasses.replace(TINY, seed=1))
    train_backbone([scenes], tmp_path / "c", TINY)
    assert weights(tmp_path / "b") != weights(tmp_path / "c")


def test_a_trained_folder_is_a_backbone(scenes, tmp_path):
    train_backbone([scenes], tmp_path / "mine", TINY)
    assert (
        json.loads((tmp_path / "mine" / "model_index.json").read_text())["training"]["steps"] == 6
    )
    pipeline = StemPipeline(StemConfig(backbone=str(tmp_path / "mine")))
    assert pipeline(np.zeros((2, 40, 40, 3), np.uint8)).shape == (2, 40, 40, 3)
    latents = load_backbone(str(tmp_path / "mine")).codec.channels
    assert latents == 6


def test_other_settings_on_a_checkpoint_and_no_scenes_are_clear_errors(scenes, tmp_path):
    train_backbone([scenes], tmp_path / "a", TINY)
    with pytest.raises(ValueError, match="use the same settings, or another --out"):
        train_backbone([scenes], tmp_path / "a", dataclasses.replace(TINY, steps=7))
    with pytest.raises(ValueError, match=r"holds no scene-\*.safetensors"):
        train_backbone([tmp_path / "nothing"], tmp_path / "b", TINY)


def crops_of(images, known=1.0):
    nominal = torch.zeros_like(images[0])
    return Crops(images, nominal, torch.full((len(nominal),), known))


@pytest.fixture
def networks():
    torch.manual_seed(0)
    return Networks(StemAutoencoder(2, 4, width=16, context_width=16, deep_width=16))


def gradients(networks, crops, config=TINY):
    networks.zero_grad()
    codec_loss(networks, crops, SCHEDULE, config, step=3).backward()
    return {name: w.grad is not None and w.grad.any() for name, w in networks.named_parameters()}


def test_each_term_teaches_its_part(networks, monkeypatch):
    images = torch.rand(2, 4, 3, 32, 32) * 2 - 1
    without = dataclasses.replace(TINY, alignment=0.0)

    monkeypatch.setattr(train, "CLEAN", 1.0)
    unknown = gradients(networks, crops_of(images, known=0.0), without)
    assert unknown["plain.encoder.look.weight"], "frames without noise teach the look latents"
    assert not unknown["plain.encoder.layout.weight"]
    assert not unknown["canonical.last.weight"], "a scene without a nominal appearance teaches none"

    monkeypatch.setattr(train, "CLEAN", 0.0)
    noised = gradients(networks, crops_of(images), without)
    assert noised["plain.encoder.layout.weight"], "the nominal appearance teaches layout latents"
    assert noised["canonical.last.weight"]
    assert not noised["plain.encoder.look.weight"], "noise would make appearance loud"
    assert noised["plain.decoder.last.weight"]

    aligned = gradients(networks, crops_of(images, known=0.0), TINY)
    assert aligned["plain.encoder.layout.weight"]
    assert not aligned["plain.encoder.look.weight"]


def test_look_latents_start_as_principal_components():
    torch.manual_seed(0)
    plain = StemAutoencoder(layout_channels=2, look_channels=48, width=16)
    images = torch.rand(64, 3, 32, 32) * 2 - 1
    start_from_principal_components(plain, images)
    look = plain.encoder.look(torch.nn.functional.pixel_unshuffle(images, 4))
    flat = look.permute(1, 0, 2, 3).flatten(1)
    torch.testing.assert_close(flat.cov(), torch.eye(48), atol=0.02, rtol=0)
    assert plain.decoder.look is not None
    blocks = plain.decoder.look(look)
    torch.testing.assert_close(torch.nn.functional.pixel_shuffle(blocks, 4), images)


def test_noise_is_the_closed_form_and_a_share_gets_none():
    latents = torch.ones(400, 1, 8, 8)
    noised, alpha_bar = noise_latents(latents, SCHEDULE, 0.5, 0, 500)
    clean = alpha_bar == 1
    assert 150 < clean.sum() < 250
    assert torch.equal(noised[clean], latents[clean])
    level = alpha_bar[~clean].view(-1, 1, 1, 1)
    noise = (noised[~clean] - level.sqrt()) / (1 - level).sqrt()
    assert abs(noise.mean()) < 0.05
    assert abs(noise.std() - 1) < 0.05
    assert level.min() >= SCHEDULE.alpha_bars[499]


def test_training_goes_on_from_a_canonical_backbone_only(scenes, tmp_path, monkeypatch):
    first = train_backbone([scenes], tmp_path / "first", TINY, canonical=True)
    again = dataclasses.replace(TINY, steps=1, start=str(first))
    monkeypatch.setattr(train, "LEARNING_RATE", 0.0)
    second = train_backbone([scenes], tmp_path / "second", again, canonical=True)
    for part in ("", "plain"):
        ours, theirs = (load_backbone(str(f / part)).codec.module for f in (first, second))
        for name, weight in ours.named_parameters():
            assert torch.equal(weight, dict(theirs.named_parameters())[name])
    plain = dataclasses.replace(again, start=str(first / "plain"))
    with pytest.raises(ValueError, match="from a canonical backbone"):
        train_backbone([scenes], tmp_path / "third", plain)
