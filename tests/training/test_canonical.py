import dataclasses

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from stemob_wrappers.backbones.load import load_backbone
from stemob_wrappers.config import StemConfig
from stemob_wrappers.stem.pipeline import StemPipeline
from stemob_wrappers.training.codec import TrainConfig, train_backbone

CONFIG = TrainConfig(
    steps=150,
    layout_channels=4,
    look_channels=6,
    width=16,
    context_width=16,
    deep_width=16,
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Appearance 0 is grey, the others bright."""
    folder = tmp_path_factory.mktemp("scenes")
    coarse = np.random.default_rng(0).integers(0, 100, (4, 3, 4, 4, 3), np.uint8)
    frames = coarse.repeat(32, axis=2).repeat(32, axis=3) + np.uint8(150)
    frames[:, 0] = 60
    save_file({"frames": frames}, folder / "scene-00000.safetensors")
    return folder


@pytest.fixture(scope="module")
def backbones(scenes, small_batches, tmp_path_factory):
    folder = tmp_path_factory.mktemp("backbones") / "canonical"
    canonical = train_backbone([scenes], folder, CONFIG, canonical=True)
    return canonical / "plain", canonical


def test_the_encoder_is_the_plain_one_bit_for_bit_and_the_decoder_is_not(backbones):
    plain, canonical = (load_backbone(str(path)).codec.module for path in backbones)
    for name, weights in plain.encoder.state_dict().items():
        assert torch.equal(weights, canonical.encoder.state_dict()[name])
    assert not torch.equal(plain.decoder.last.weight, canonical.decoder.last.weight)


def test_frames_of_any_appearance_come_back_in_appearance_0(backbones):
    frames = np.full((4, 64, 64, 3), 200, np.uint8)
    plain, canonical = (
        StemPipeline(StemConfig(backbone=str(path), inversion_steps=0))(frames).mean()
        for path in backbones
    )
    assert abs(canonical - 60) < abs(plain - 60)
    assert canonical < 130


def test_what_the_backbone_knows_is_measured_with_the_plain_decoder(backbones):
    plain, canonical = backbones
    frames = np.random.default_rng(1).integers(0, 256, (4, 32, 32, 3), np.uint8)
    found = []
    for path in backbones:
        pipeline = StemPipeline(StemConfig(backbone=str(path), inversion_steps=5))
        pipeline(frames)
        found.append(pipeline.stats.psnr_db)
    assert found[0] == pytest.approx(found[1])
    assert load_backbone(str(canonical)).plain is not None
    assert load_backbone(str(plain)).plain is None


def test_steps_of_the_decoder_alone_follow_the_others_and_leave_the_plain_backbone(
    scenes, small_batches, tmp_path
):
    config = dataclasses.replace(CONFIG, steps=3)
    together = train_backbone([scenes], tmp_path / "together", config, canonical=True)
    config = dataclasses.replace(config, decoder_steps=3)
    further = train_backbone([scenes], tmp_path / "further", config, canonical=True)
    first, second = (load_backbone(str(path)) for path in (together, further))
    assert first.plain is not None
    assert second.plain is not None
    assert first.plain.digest == second.plain.digest
    assert first.digest != second.digest
    again = train_backbone([scenes], together, config, canonical=True)  # goes on where it stopped
    weights = [path / "vae" / "diffusion_pytorch_model.safetensors" for path in (again, further)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    with pytest.raises(ValueError, match="--canonical"):
        train_backbone([scenes], tmp_path / "plain", config)


def test_the_canonical_decoder_goes_on_by_itself(backbones, scenes, tmp_path):
    _, first = backbones
    config = dataclasses.replace(CONFIG, steps=0, decoder_steps=3, start=str(first))
    further = train_backbone([scenes], tmp_path / "further", config, canonical=True)
    before, after = (load_backbone(str(path)) for path in (first, further))
    assert before.plain is not None
    assert after.plain is not None
    assert after.plain.digest == before.plain.digest
    assert after.digest != before.digest
    encoders = [backbone.codec.module.encoder.state_dict() for backbone in (before, after)]
    assert all(torch.equal(encoders[0][name], encoders[1][name]) for name in encoders[0])
