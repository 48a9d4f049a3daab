import dataclasses
import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from stemob_wrappers.backbones import load_backbone
from stemob_wrappers.config import StemConfig
from stemob_wrappers.pipeline import StemPipeline
from stemob_wrappers.training.train import FrameSource, TrainConfig, train_backbone

TINY = TrainConfig(steps=6, batch_size=2, latent_channels=4, width=32, context_width=32)


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
    draw = FrameSource.batch

    def stop_at_the_fifth_step(self, rng, batch_size):
        drawn.append(1)
        if len(drawn) == 5:
            raise Stopped
        return draw(self, rng, batch_size)

    monkeypatch.setattr(FrameSource, "batch", stop_at_the_fifth_step)
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
