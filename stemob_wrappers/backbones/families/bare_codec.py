"""An autoencoder alone, such as ``madebyollin/taesd``, with Stable Diffusion's schedule."""

from __future__ import annotations

from stemob_wrappers.backbones.families.loading import Model, Parts, latent_parts


def bare_codec(model: Model, denoiser: bool) -> Parts:
    """Load an autoencoder that stands alone; there is only the forward path."""
    if denoiser:
        raise ValueError(
            f"{model.name} is an autoencoder alone and has no denoiser; use method='ddpm', which "
            "needs none, or name a whole model"
        )
    return latent_parts(model, "unet")
