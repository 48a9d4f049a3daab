"""Tiny diffusion pipelines with seeded weights, one of each family, saved in diffusers' layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import tiny_models
import torch
import transformers
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

from stemob_wrappers.backbones.networks import StemDenoiser
from stemob_wrappers.diffusion.schedule import SD_SCHEDULE

VOCABULARY = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2, "b</w>": 3, "a": 4, "b": 5}
SD_FILE = {**SD_SCHEDULE, "set_alpha_to_one": False, "clip_sample": False}


def save_stable_diffusion(
    folder: Path,
    *,
    prediction_type: str = "epsilon",
    scheduler: dict[str, Any] | None = None,
    pipeline: str = "StableDiffusionPipeline",
    seed: int = 0,
) -> str:
    """Write a Stable Diffusion with every part, 16 pixels to the side of its UNet's latents."""
    tiny_models.kl_autoencoder(seed).save_pretrained(folder / "vae")
    conditional_unet(seed).save_pretrained(folder / "unet")
    save_scheduler(folder / "scheduler", {"prediction_type": prediction_type, **(scheduler or {})})
    save_text_encoder(folder, seed)
    index = {"_class_name": pipeline, "_diffusers_version": diffusers.__version__}
    (folder / "model_index.json").write_text(json.dumps(index))
    return str(folder)


def save_pixel_ddpm(folder: Path, *, flat: bool = True, seed: int = 0) -> str:
    """Write a DDPM on pixels, all files in one folder as google/ddpm-* has them, or in two."""
    unet = folder if flat else folder / "unet"
    pixel_unet(seed).save_pretrained(unet)
    scheduler = DDPMScheduler()
    scheduler.save_pretrained(folder if flat else folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "DDPMPipeline"}))
    return str(folder)


def save_stem(folder: Path, seed: int = 0) -> str:
    """Write a backbone of the embedded kind with a denoiser."""
    tiny_models.save_stem_backbone(folder, seed)
    torch.manual_seed(seed)
    denoiser = StemDenoiser(latent_channels=4, width=32, deep_width=32)
    moved(denoiser)
    denoiser.save_pretrained(folder / "unet")
    return str(folder)


def conditional_unet(seed: int = 0, **changes: Any) -> Any:
    torch.manual_seed(seed)
    config: dict[str, Any] = {
        "sample_size": 8,
        "block_out_channels": (8, 16),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "attention_head_dim": 4,
        "cross_attention_dim": 8,
    }
    return UNet2DConditionModel(**{**config, **changes}).eval()


def pixel_unet(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return UNet2DModel(
        sample_size=16,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
    ).eval()


def moved(module: torch.nn.Module) -> torch.nn.Module:
    """Fill the weights that start at zero, so that every layer counts."""
    for weight in module.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.05)
    return module


def save_scheduler(folder: Path, changes: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    config = {"_class_name": "DDIMScheduler", **SD_FILE, **changes}
    (folder / "scheduler_config.json").write_text(json.dumps(config))


def clip_config(**changes: Any) -> Any:
    """The config of a CLIP text encoder that knows `VOCABULARY`."""
    config: dict[str, Any] = {
        "vocab_size": len(VOCABULARY),
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 7,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    return transformers.CLIPTextConfig(**{**config, **changes})


def save_text_encoder(folder: Path, seed: int = 0) -> None:
    """Write a CLIP text encoder and a tokenizer of two characters."""
    torch.manual_seed(seed)
    transformers.CLIPTextModel(clip_config()).save_pretrained(folder / "text_encoder")
    tokenizer = folder / "tokenizer"  # in the files that published models have
    tokenizer.mkdir()
    (tokenizer / "vocab.json").write_text(json.dumps(VOCABULARY))
    (tokenizer / "merges.txt").write_text("#version: 0.2\n")
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": 7,
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
    }
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(settings))
