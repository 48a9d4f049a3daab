"""Stable Diffusion 1.x, 2.x, Turbo, and what was distilled from them as a consistency model."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from stemob_wrappers.backbones.families.loading import (
    Loaded,
    Model,
    Parts,
    at_timestep,
    for_each,
    latent_parts,
    prediction_type,
)
from stemob_wrappers.backbones.families.null_prompt import load_text_encoder, load_tokenizer
from stemob_wrappers.extras import needs


class PromptedDenoiser(nn.Module):
    """A Stable Diffusion UNet with the null prompt, guidance scale 1.

    Args:
        unet: diffusers' UNet2DConditionModel.
        prompt: embedding of the empty prompt, float [1, tokens, channels].
        prediction_type: what the UNet predicts.
    """

    stride = 1  # it copes with any latent size by itself
    prompt: torch.Tensor
    guidance: torch.Tensor | None

    def __init__(self, unet: Any, prompt: torch.Tensor, prediction_type: str) -> None:
        super().__init__()
        self.unet = unet
        self.prediction_type = prediction_type
        self.register_buffer("prompt", prompt, persistent=False)
        # Of a consistency model: no guidance, w = 0, as sines and cosines (arXiv 2310.04378).
        width = unet.config.time_cond_proj_dim or 0
        guidance = torch.arange(width).ge(width // 2).float().unsqueeze(0) if width else None
        self.register_buffer("guidance", guidance, persistent=False)

    def forward(self, latent: torch.Tensor, timestep: float) -> torch.Tensor:
        guidance = None if self.guidance is None else for_each(latent, self.guidance)
        prompt = for_each(latent, self.prompt)
        time = at_timestep(latent, timestep)
        return self.unet(latent, time, encoder_hidden_states=prompt, timestep_cond=guidance).sample


def stable_diffusion(model: Model, denoiser: bool) -> Parts:
    """Load a Stable Diffusion 1.x or 2.x, Turbo or LCM."""
    parts = latent_parts(model, "unet")
    if not denoiser:
        return parts
    with needs("diffusers"):
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    kind = prediction_type(model, parts.schedule)
    unet = model.network(UNet2DConditionModel, "unet")
    tokens, embedding, text_encoder = _null_prompt(model)
    networks = {"unet": (model.config("unet"), unet), "text_encoder": text_encoder}
    return parts.with_denoiser(PromptedDenoiser(unet, embedding, kind), networks, tokens)


def _null_prompt(model: Model) -> tuple[list[int], torch.Tensor, Loaded]:
    """Tokens of the empty prompt, its embedding (float32 [1, tokens, channels]), and what made it.

    As the pipeline's, save that the prompt is no longer than the text encoder takes, whatever the
    tokenizer says.
    """
    config, text_encoder = load_text_encoder(model, "text_encoder", "CLIPTextModel")
    tokenizer = load_tokenizer(model, "tokenizer", "CLIPTokenizer")
    encoder: Any = text_encoder
    length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
    tokens = tokenizer("", padding="max_length", max_length=length, return_tensors="pt")
    with torch.inference_mode(False), torch.no_grad():
        embedding = encoder(tokens.input_ids)[0]
    return tokens.input_ids[0].tolist(), embedding, (config, text_encoder)
