"""PixArt, alpha and sigma: a discrete diffusion transformer on Stable Diffusion's latents."""

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

ENCODERS = {"text_encoder": ("T5EncoderModel", "T5Tokenizer")}


class PixArtDenoiser(nn.Module):
    """A PixArt transformer with the null prompt; alpha's largest is told the image's size.

    Args:
        transformer: diffusers' PixArtTransformer2DModel.
        prompt: embedding of the empty prompt, float [1, tokens, channels].
        mask: which of its tokens count, integers [1, tokens].
        cell: pixels a latent cell is wide.
        prediction_type: what it predicts.
    """

    prompt: torch.Tensor
    mask: torch.Tensor

    def __init__(
        self,
        transformer: Any,
        prompt: torch.Tensor,
        mask: torch.Tensor,
        cell: int,
        prediction_type: str,
    ) -> None:
        super().__init__()
        self.transformer = transformer
        self.stride = transformer.config.patch_size
        self.cell = cell
        self.prediction_type = prediction_type
        self.register_buffer("prompt", prompt, persistent=False)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, latent: torch.Tensor, timestep: float) -> torch.Tensor:
        added: dict[str, Any] = {"resolution": None, "aspect_ratio": None}
        if self.transformer.use_additional_conditions:
            height, width = (side * self.cell for side in latent.shape[2:])
            added["resolution"] = for_each(latent, latent.new_tensor([[height, width]]))
            added["aspect_ratio"] = for_each(latent, latent.new_tensor([[height / width]]))
        prediction = self.transformer(
            latent,
            encoder_hidden_states=for_each(latent, self.prompt),
            encoder_attention_mask=for_each(latent, self.mask),
            timestep=at_timestep(latent, timestep),
            added_cond_kwargs=added,
        ).sample
        return prediction[:, : latent.shape[1]]  # the rest is a learned variance


def pixart(model: Model, denoiser: bool) -> Parts:
    """Load a PixArt."""
    parts = latent_parts(model, "transformer")
    if not denoiser:
        return parts
    with needs("diffusers"):
        from diffusers.models.transformers.pixart_transformer_2d import PixArtTransformer2DModel
        from diffusers.pipelines.pixart_alpha.pipeline_pixart_alpha import PixArtAlphaPipeline
        from diffusers.pipelines.pixart_alpha.pipeline_pixart_sigma import PixArtSigmaPipeline

    kind = prediction_type(model, parts.schedule)
    transformer = model.network(PixArtTransformer2DModel, "transformer")
    null = null_prompt(
        model,
        # They differ in how many tokens a prompt has.
        PixArtAlphaPipeline if model.pipeline == "PixArtAlphaPipeline" else PixArtSigmaPipeline,
        ENCODERS,
        {"transformer": transformer},
        prompt="",
        do_classifier_free_guidance=False,
    )
    prompt, mask, _, _ = null.outputs
    adapter = PixArtDenoiser(transformer, prompt, mask, parts.codec.latent_stride, kind)
    networks = {"transformer": (model.config("transformer"), transformer), **null.encoders}
    return parts.with_denoiser(adapter, networks, null.tokens)
