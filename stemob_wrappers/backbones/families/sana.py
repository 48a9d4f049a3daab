"""Sana: flow matching on the 32 channels of a deep-compression autoencoder, Gemma's text."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from stemob_wrappers.backbones.families.loading import (
    Model,
    Parts,
    at_timestep,
    for_each,
    latent_parts,
)
from stemob_wrappers.backbones.families.null_prompt import null_prompt
from stemob_wrappers.diffusion.flow import FLOW_PREDICTION
from stemob_wrappers.extras import needs

ENCODERS = {"text_encoder": ("Gemma2Model", "GemmaTokenizerFast")}


class SanaDenoiser(nn.Module):
    """A Sana transformer with the null prompt.

    Args:
        transformer: diffusers' SanaTransformer2DModel.
        prompt: embedding of the empty prompt, float [1, tokens, channels].
        mask: which of its tokens count, integers [1, tokens].
    """

    prediction_type = FLOW_PREDICTION
    prompt: torch.Tensor
    mask: torch.Tensor

    def __init__(self, transformer: Any, prompt: torch.Tensor, mask: torch.Tensor) -> None:
        super().__init__()
        self.transformer = transformer
        self.stride = transformer.config.patch_size
        self.scale = transformer.config.timestep_scale
        self.register_buffer("prompt", prompt, persistent=False)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, latent: torch.Tensor, timestep: float) -> torch.Tensor:
        velocity = self.transformer(
            latent,
            encoder_hidden_states=for_each(latent, self.prompt),
            encoder_attention_mask=for_each(latent, self.mask),
            timestep=at_timestep(latent, timestep) * self.scale,
        ).sample
        return velocity[:, : latent.shape[1]]  # the rest is a learned variance


def sana(model: Model, denoiser: bool) -> Parts:
    """Load a Sana."""
    parts = latent_parts(model, "transformer", flow=True)
    if not denoiser:
        return parts
    with needs("diffusers"):
        from diffusers.models.transformers.sana_transformer import SanaTransformer2DModel
        from diffusers.pipelines.sana.pipeline_sana import SanaPipeline

    transformer = model.network(SanaTransformer2DModel, "transformer")
    null = null_prompt(
        model,
        SanaPipeline,
        ENCODERS,
        {"transformer": transformer},
        prompt="",
        do_classifier_free_guidance=False,
    )
    prompt, mask, _, _ = null.outputs
    networks = {"transformer": (model.config("transformer"), transformer), **null.encoders}
    return parts.with_denoiser(SanaDenoiser(transformer, prompt, mask), networks, null.tokens)
