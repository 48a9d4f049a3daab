"""Tiny pipelines of diffusers' own classes, seeded, saved by their own ``save_pretrained``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import tiny_models
import tiny_pipelines
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

diffusers: Any = import_module("diffusers")  # type checkers do not see what it loads at first use
WIDTH = 16  # of the text encoders


def codec_kl(**changes: Any) -> Any:
    """An autoencoder of SD3's and Flux's kind: 16 channels, shifted and scaled."""
    config = {"latent_channels": 16, "scaling_factor": 1.5305, "shift_factor": 0.0609}
    return tiny_models.kl_autoencoder(**{**config, **changes})


def codec_dc() -> Any:
    """An autoencoder of Sana's kind: 32 channels, stride 4."""
    torch.manual_seed(0)
    sides = {"block_out_channels": (8, 16, 32), "layers_per_block": (1, 1, 1)}
    both = {f"{side}_{k}": v for side in ("encoder", "decoder") for k, v in sides.items()}
    scales = {f"{side}_qkv_multiscales": ((), (), ()) for side in ("encoder", "decoder")}
    codec = diffusers.AutoencoderDC(
        latent_channels=32,
        attention_head_dim=4,
        scaling_factor=0.41407,
        downsample_block_type="pixel_unshuffle",
        upsample_block_type="pixel_shuffle",
        **both,
        **scales,
    )
    return codec.eval()


def codec_qwen() -> Any:
    """Qwen-Image's kind of autoencoder: a mean and a deviation for each of 16 channels."""
    torch.manual_seed(0)
    return diffusers.AutoencoderKLQwenImage(
        base_dim=8, z_dim=16, dim_mult=[1, 1], num_res_blocks=1, temperal_downsample=[False]
    ).eval()


def clip(projection: bool) -> tuple[Any, Any]:
    """A CLIP text encoder and its tokenizer."""
    torch.manual_seed(0)
    config = tiny_pipelines.clip_config(num_hidden_layers=2, projection_dim=8, pad_token_id=1)
    kind = transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel
    tokenizer = transformers.CLIPTokenizer(
        vocab=tiny_pipelines.VOCABULARY, merges=[], pad_token="<|endoftext|>", model_max_length=7
    )
    return kind(config).eval(), tokenizer


def t5() -> tuple[Any, Any]:
    """A T5 encoder and a tokenizer of five pieces."""
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=5, d_model=WIDTH, d_kv=8, d_ff=16, num_layers=1, num_heads=2
    )
    return transformers.T5EncoderModel(config).eval(), small_tokenizer("</s>")


def gemma() -> tuple[Any, Any]:
    """A Gemma 2 and a tokenizer of five pieces."""
    torch.manual_seed(0)
    config = transformers.Gemma2Config(
        vocab_size=5,
        hidden_size=WIDTH,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
    )
    return transformers.Gemma2Model(config).eval(), small_tokenizer("<bos>", first=True)


def small_tokenizer(special: str, first: bool = False) -> Any:
    pieces = {"<pad>": 0, special: 1, "<unk>": 2, "a": 3, "b": 4}
    tokenizer = Tokenizer(models.WordLevel(pieces, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single=f"{special} $A" if first else f"$A {special}", special_tokens=[(special, 1)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", eos_token=special
    )


def lcm() -> Any:
    text_encoder, tokenizer = clip(False)
    return diffusers.LatentConsistencyModelPipeline(
        vae=tiny_models.kl_autoencoder(),
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=tiny_pipelines.conditional_unet(time_cond_proj_dim=8),
        scheduler=diffusers.LCMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl(**changes: Any) -> Any:
    (one, tokenizer), (two, tokenizer_2) = clip(False), clip(True)
    unet = tiny_pipelines.conditional_unet(
        cross_attention_dim=16,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=6 * 4 + 8,
    )
    scheduler = diffusers.EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        timestep_spacing="leading", steps_offset=1,
    )  # fmt: skip
    return diffusers.StableDiffusionXLPipeline(
        vae=tiny_models.kl_autoencoder(scaling_factor=0.13025, **changes),
        text_encoder=one,
        text_encoder_2=two,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        unet=unet,
        scheduler=scheduler,
    )


def sd3(with_t5: bool = True) -> Any:
    (one, tokenizer), (two, tokenizer_2) = clip(True), clip(True)
    three, tokenizer_3 = t5() if with_t5 else (None, None)
    torch.manual_seed(0)
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=16,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        caption_projection_dim=16,
        pooled_projection_dim=16,
        pos_embed_max_size=32,
    )
    return diffusers.StableDiffusion3Pipeline(
        transformer=tiny_pipelines.moved(transformer.eval()),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=codec_kl(),
        text_encoder=one,
        tokenizer=tokenizer,
        text_encoder_2=two,
        tokenizer_2=tokenizer_2,
        text_encoder_3=three,
        tokenizer_3=tokenizer_3,
    )


def flux(guidance: bool = True) -> Any:
    (one, tokenizer), (two, tokenizer_2) = clip(False), t5()
    torch.manual_seed(0)
    transformer = diffusers.FluxTransformer2DModel(
        in_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=8,
        guidance_embeds=guidance,
        axes_dims_rope=(2, 2, 4),
    )
    return diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(
            shift=3.0 if guidance else 1.0, use_dynamic_shifting=guidance
        ),
        vae=codec_kl(scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=one,
        tokenizer=tokenizer,
        text_encoder_2=two,
        tokenizer_2=tokenizer_2,
        transformer=tiny_pipelines.moved(transformer.eval()),
    )


def sana() -> Any:
    text_encoder, tokenizer = gemma()
    torch.manual_seed(0)
    transformer = diffusers.SanaTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=1,
        num_cross_attention_heads=2,
        cross_attention_head_dim=8,
        cross_attention_dim=16,
        caption_channels=WIDTH,
        sample_size=8,
    )
    return diffusers.SanaPipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        vae=codec_dc(),
        transformer=tiny_pipelines.moved(transformer.eval()),
        scheduler=diffusers.DPMSolverMultistepScheduler(
            use_flow_sigmas=True, flow_shift=3.0, prediction_type="flow_prediction"
        ),
    )


def pixart(kind: str = "PixArtAlphaPipeline") -> Any:
    text_encoder, tokenizer = t5()
    torch.manual_seed(0)
    transformer = diffusers.PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=12,  # width: a multiple of 3, as its size's embedding
        num_layers=1,
        cross_attention_dim=24,
        caption_channels=WIDTH,
        # Its class tells alpha's largest model, which hears of the image's size, by its 128 cells.
        sample_size=128 if kind == "PixArtAlphaPipeline" else 8,
    )
    return getattr(diffusers, kind)(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        vae=tiny_models.kl_autoencoder(),
        transformer=tiny_pipelines.moved(transformer.eval()),
        scheduler=diffusers.DPMSolverMultistepScheduler(),
    )


PIPELINES: dict[str, Callable[[], Any]] = {
    "lcm": lcm,
    "sdxl": sdxl,
    "sd3": sd3,
    "sd3-without-t5": lambda: sd3(with_t5=False),
    "flux-dev": flux,
    "flux-schnell": lambda: flux(guidance=False),
    "sana": sana,
    "pixart-alpha": pixart,
    "pixart-sigma": lambda: pixart("PixArtSigmaPipeline"),
}
CODECS: dict[str, Callable[[], Any]] = {
    "taesd": tiny_models.tiny_autoencoder,
    "dc-ae": codec_dc,
    "qwen-image": codec_qwen,
    "kl": tiny_models.kl_autoencoder,
}


def save(root: Path, name: str) -> tuple[str, Any]:
    """Save a pipeline or a bare codec; return its folder and itself."""
    made = (PIPELINES | CODECS)[name]()
    made.save_pretrained(root / name)
    return str(root / name), made
