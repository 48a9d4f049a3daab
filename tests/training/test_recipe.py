import json

import numpy as np
import pytest

from stemob_wrappers.config import StemConfig
from stemob_wrappers.stem.pipeline import StemPipeline
from stemob_wrappers.training.recipe import make_backbone


@pytest.mark.slow
def test_one_call_makes_a_backbone_for_every_method(tmp_path):
    out = make_backbone(
        tmp_path / "mine",
        scenes=tmp_path / "scenes",
        num_scenes=1,
        num_task_scenes=1,
        steps=2,
        denoiser_steps=2,
        command="stemob train-backbone",
    )
    card = (out / "README.md").read_text()
    assert "stemob train-backbone" in card
    assert "StemDenoiser" in card
    index = json.loads((out / "model_index.json").read_text())
    assert set(index["held_out_psnr_db"]) == {"84", "128"}
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    for method in ("ddpm", "ddim"):
        config = StemConfig(backbone=str(out), method=method)
        assert StemPipeline(config)(frames).shape == frames.shape


@pytest.mark.slow
def test_a_users_env_gives_a_plain_and_a_canonical_backbone(tmp_path):
    out = make_backbone(
        tmp_path / "mine",
        env_id="HalfCheetah-v5",
        canonical=True,
        scenes=tmp_path / "scenes",
        num_scenes=2,
        steps=2,
        decoder_steps=2,
        denoiser_steps=0,
    )
    plain, canonical = (
        json.loads((out / p / "model_index.json").read_text()) for p in ("plain", "")
    )
    assert canonical["plain"] == "plain"
    assert "plain" not in plain
    assert plain["training"]["start"] == "embedded-canonical"
    assert "nominal appearance" in (out / "README.md").read_text()
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    assert StemPipeline(StemConfig(backbone=str(out)))(frames).shape == frames.shape
