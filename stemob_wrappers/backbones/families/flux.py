"""Flux: flow matching on 16 channels, whose transformer takes 2 x 2 cells as one."""

from __future__ import annotations

import dataclasses
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
    "text_encoder": ("CLIPTextModel", "CLIPTokenizer"),
    "text_encoder_2": ("T5EncoderModel", "T5TokenizerFast"),
}
PACKED = 4
CELLS = 128  # to the side of the images that it was trained on, which its config does not say


class FluxDenoiser(nn.Module):
    """A Flux transformer with the null prompt, guidance scale 1.

    Args:
        transformer: diffusers' FluxTransformer2DModel.
        prompt: embedding of the empty prompt, float [1, tokens, channels].
        pooled: its pooled embedding, float [1, channels].
        text_ids: places of its tokens, float [tokens, 3].
    """

    prediction_type = FLOW_PREDICTION
    stride = 2
    prompt: torch.Tensor
    pooled: torch.Tensor
    text_ids: torch.Tensor

    def __init__(
        self, transformer: Any, prompt: torch.Tensor, pooled: torch.Tensor, text_ids: torch.Tensor
    ) -> None:
        super().__init__()
        self.transformer = transformer
        self.register_buffer("prompt", prompt, persistent=False)
        self.register_buffer("pooled", pooled, persistent=False)
        self.register_buffer("text_ids", text_ids, persistent=False)

    def forward(self, latent: torch.Tensor, timestep: float) -> torch.Tensor:
        height, width = (side // 2 for side in latent.shape[2:])
        guided = self.transformer.config.guidance_embeds
        velocity = self.transformer(
            hidden_states=_pack(latent),
            timestep=at_timestep(latent, timestep) / 1000,
            guidance=torch.ones(len(latent), device=latent.device) if guided else None,
            encoder_hidden_states=for_each(latent, self.prompt),
            pooled_projections=for_each(latent, self.pooled),
            txt_ids=self.text_ids,
            img_ids=_places(height, width).to(latent),
        ).sample
        return _unpack(velocity, height, width)


def flux(model: Model, denoiser: bool) -> Parts:
    """Load a Flux, dev or schnell."""
    parts = latent_parts(model, "transformer", packed=PACKED, flow=True)
    parts = dataclasses.replace(parts, image_size=CELLS * parts.codec.latent_stride)
    if not denoiser:
        return parts
    with needs("diffusers"):
        from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
        from diffusers.pipelines.flux.pipeline_flux import FluxPipeline

    transformer = model.network(FluxTransformer2DModel, "transformer")
    given = {"transformer": transformer}
    null = null_prompt(model, FluxPipeline, ENCODERS, given, prompt="", prompt_2="")
    networks = {"transformer": (model.config("transformer"), transformer), **null.encoders}
    return parts.with_denoiser(FluxDenoiser(transformer, *null.outputs), networks, null.tokens)


def _pack(latent: torch.Tensor) -> torch.Tensor:
    """[N, C, h, w] to one token for each 2 x 2 cells, [N, h / 2 * w / 2, 4 C]."""
    return nn.functional.pixel_unshuffle(latent, 2).flatten(2).transpose(1, 2)


def _unpack(tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Undo :func:`_pack`."""
    return nn.functional.pixel_shuffle(tokens.transpose(1, 2).unflatten(2, (height, width)), 2)


def _places(height: int, width: int) -> torch.Tensor:
    """Row and column of each token, after a zero: [tokens, 3]."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).flatten(0, 1)
