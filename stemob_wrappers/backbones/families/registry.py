"""The families by the pipelines of diffusers, and a refusal by name for all others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stemob_wrappers.backbones.families.bare_codec import bare_codec
from stemob_wrappers.backbones.families.flux import flux
from stemob_wrappers.backbones.families.loading import Model, Parts
from stemob_wrappers.backbones.families.pixart import pixart
from stemob_wrappers.backbones.families.pixel_ddpm import pixel_ddpm
from stemob_wrappers.backbones.families.sana import sana
from stemob_wrappers.backbones.families.sd3 import sd3
from stemob_wrappers.backbones.families.sdxl import sdxl
from stemob_wrappers.backbones.families.stable_diffusion import stable_diffusion
from stemob_wrappers.backbones.files import current_name
from stemob_wrappers.backbones.kinds import AUTOENCODERS, BARE_CODEC, read_index
from stemob_wrappers.diffusion.scheduler_config import DISCRETE, FLOW_MATCHING

Family = Callable[[Model, bool], Parts]
FAMILIES: dict[str, Family] = {
    "StableDiffusionPipeline": stable_diffusion,
    "StableDiffusionImg2ImgPipeline": stable_diffusion,
    "LatentConsistencyModelPipeline": stable_diffusion,
    "LatentConsistencyModelImg2ImgPipeline": stable_diffusion,
    "StableDiffusionXLPipeline": sdxl,
    "StableDiffusionXLImg2ImgPipeline": sdxl,
    "StableDiffusion3Pipeline": sd3,
    "StableDiffusion3Img2ImgPipeline": sd3,
    "FluxPipeline": flux,
    "FluxImg2ImgPipeline": flux,
    "SanaPipeline": sana,
    "PixArtAlphaPipeline": pixart,
    "PixArtSigmaPipeline": pixart,
    "DDPMPipeline": pixel_ddpm,
    "DDIMPipeline": pixel_ddpm,
    BARE_CODEC: bare_codec,
}


def load_parts(name: str, codec: str | None, revision: str | None, denoiser: bool) -> Parts:
    """Load the parts of a diffusers model that a method needs.

    Args:
        name: folder, or hub name ``"org/model"``.
        codec: another autoencoder in place of the model's own.
        revision: revision of a hub model.
        denoiser: whether the method asks the denoiser.

    Raises:
        ValueError: an unsupported family, or a codec that does not fit it.
        OSError: a part that is missing, not downloaded, truncated or corrupt.
    """
    name = current_name(name)
    model = Model(name, codec, revision, read_index(name, revision))
    if model.pipeline not in FAMILIES:
        raise ValueError(
            f"{name} is a {model.pipeline}, which is not supported: {_missing(model.index)}. "
            f"Supported are {', '.join(FAMILIES)}"
        )
    return FAMILIES[model.pipeline](model, denoiser)


def _missing(index: dict[str, Any]) -> str:
    """What would have to be written for a pipeline, by the classes that its index names."""
    known = (*AUTOENCODERS, *DISCRETE, *FLOW_MATCHING)
    roles = ("unet", "transformer", "prior", "vae", "vqvae", "movq", "scheduler")
    classes = {
        role: str(index[role][1])
        for role in roles
        if isinstance(index.get(role), list) and len(index[role]) == 2 and index[role][1]
    }
    unknown = [f"its {role} {kind}" for role, kind in classes.items() if kind not in known]
    said = "no adapter knows how it is put together"
    if unknown:
        said = f"there is no adapter for {', '.join(unknown)}"
    if classes.get("vae") in AUTOENCODERS:
        said += (
            f". Its autoencoder alone is supported ({classes['vae']}): give the folder of its "
            "vae as backbone, for method='ddpm' with Stable Diffusion's schedule"
        )
    return said
