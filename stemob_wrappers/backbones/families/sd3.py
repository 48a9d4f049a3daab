"""Stable Diffusion 3 and 3.5: flow matching on 16 channels, three text encoders."""

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

ENCODERS = {
    "text_encoder": ("CLIPTextModelWithProjection", "CLIPTokenizer"),
    "text_encoder_2": ("CLIPTextModelWithProjection", "CLIPTokenizer"),
    "text_encoder_3": ("T5EncoderModel", "T5TokenizerFast"),
}


class SD3Denoiser(nn.Module):
    """An SD3 transformer with the null prompt.

    Args:
        transformer: diffusers' SD3Transformer2DModel.
        prompt: embedding of the empty prompt, float [1, tokens, channels].
        pooled: its pooled embedding, float [1, channels].
    """

    prediction_type = FLOW_PREDICTION
    prompt: torch.Tensor
    pooled: torch.Tensor

    def __init__(self, transformer: Any, prompt: torch.Tensor, pooled: torch.Tensor) -> None:
        super().__init__()
        self.transformer = transformer
        self.stride = transformer.config.patch_size
        self.register_buffer("prompt", prompt, persistent=False)
        self.register_buffer("pooled", pooled, persistent=False)

    def forward(self, latent: torch.Tensor, timestep: float) -> torch.Tensor:
        return self.transformer(
            hidden_states=latent,
            timestep=at_timestep(latent, timestep),
            encoder_hidden_states=for_each(latent, self.prompt),
            pooled_projections=for_each(latent, self.pooled),
        ).sample


def sd3(model: Model, denoiser: bool) -> Parts:
    """Load a Stable Diffusion 3 or 3.5; its T5 may be missing, as its pipeline allows."""
    parts = latent_parts(model, "transformer", flow=True)
    if not denoiser:
        return parts
    with needs("diffusers"):
        from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
        from diffusers.pipelines.stable_diffusion_3.pipeline_stable_diffusion_3 import (
            StableDiffusion3Pipeline,
        )

    transformer = model.network(SD3Transformer2DModel, "transformer")
    null = null_prompt(
        model,
        StableDiffusion3Pipeline,
        ENCODERS,
        {"transformer": transformer},
        prompt="",
        prompt_2="",
        prompt_3="",
        do_classifier_free_guidance=False,
    )
    prompt, _, pooled, _ = null.outputs
    networks = {"transformer": (model.config("transformer"), transformer), **null.encoders}
    return parts.with_denoiser(SD3Denoiser(transformer, prompt, pooled), networks, null.tokens)
