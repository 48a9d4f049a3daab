"""Stable Diffusion XL and its Turbo: two text encoders, a UNet that is told the image's size."""

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
    prediction_type,
)
from stemob_wrappers.backbones.families.null_prompt import null_prompt
from stemob_wrappers.extras import needs

ENCODERS = {
    "text_encoder": ("CLIPTextModel", "CLIPTokenizer"),
    "text_encoder_2": ("CLIPTextModelWithProjection", "CLIPTokenizer"),
}


class SDXLDenoiser(nn.Module):
    """An SDXL UNet with the null prompt; images are said to be uncropped, of their own size.

    Args:
        unet: diffusers' UNet2DConditionModel.
        prompt: embedding of the empty prompt, float [1, tokens, channels].
        pooled: its pooled embedding, float [1, channels].
        cell: pixels a latent cell is wide.
        prediction_type: what the UNet predicts.
    """

    stride = 1  # it copes with any latent size by itself
    prompt: torch.Tensor
    pooled: torch.Tensor

    def __init__(
        self, unet: Any, prompt: torch.Tensor, pooled: torch.Tensor, cell: int, prediction_type: str
    ) -> None:
        super().__init__()
        self.unet = unet
        self.cell = cell
        self.prediction_type = prediction_type
        self.register_buffer("prompt", prompt, persistent=False)
        self.register_buffer("pooled", pooled, persistent=False)

    def forward(self, latent: torch.Tensor, timestep: float) -> torch.Tensor:
        height, width = (side * self.cell for side in latent.shape[2:])
        sizes = latent.new_tensor([[height, width, 0, 0, height, width]])
        added = {
            "text_embeds": for_each(latent, self.pooled),
            "time_ids": for_each(latent, sizes),
        }
        prompt = for_each(latent, self.prompt)
        return self.unet(
            latent,
            at_timestep(latent, timestep),
            encoder_hidden_states=prompt,
            added_cond_kwargs=added,
        ).sample


def sdxl(model: Model, denoiser: bool) -> Parts:
    """Load a Stable Diffusion XL."""
    parts = latent_parts(model, "unet")
    if not denoiser:
        return parts
    if model.index.get("requires_aesthetics_score"):
        raise ValueError(
            f"{model.name} is SDXL's refiner, whose UNet wants a score of beauty that a frame has "
            "none of; use method='ddpm', which needs no denoiser, or SDXL's base model"
        )
    with needs("diffusers"):
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
        from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import (
            StableDiffusionXLPipeline,
        )

    kind = prediction_type(model, parts.schedule)
    unet = model.network(UNet2DConditionModel, "unet")
    null = null_prompt(
        model,
        StableDiffusionXLPipeline,
        ENCODERS,
        {"unet": unet},
        prompt="",
        do_classifier_free_guidance=False,
    )
    prompt, _, pooled, _ = null.outputs
    adapter = SDXLDenoiser(unet, prompt, pooled, parts.codec.latent_stride, kind)
    networks = {"unet": (model.config("unet"), unet), **null.encoders}
    return parts.with_denoiser(adapter, networks, null.tokens)
