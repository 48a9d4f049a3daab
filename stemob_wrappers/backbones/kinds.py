"""Which diffusers pipeline a model is, and its scheduler's config: read from JSON files alone."""

from __future__ import annotations

from typing import Any

from stemob_wrappers.backbones.files import read_json, require_json
from stemob_wrappers.diffusion.schedule import SD_SCHEDULE

AUTOENCODERS = (*("AutoencoderKL", "AutoencoderTiny", "AutoencoderDC", "AutoencoderKLQwenImage"),)
BARE_CODEC = "an autoencoder alone"
EVEN_STEPS = ("FluxPipeline", "FluxImg2ImgPipeline")  # they lay the steps themselves, evenly

_PIPELINES = {  # by the class of the denoiser, for folders of parts without an index
    "UNet2DModel": "DDPMPipeline",
    "UNet2DConditionModel": "StableDiffusionPipeline",
    "SD3Transformer2DModel": "StableDiffusion3Pipeline",
    "FluxTransformer2DModel": "FluxPipeline",
    "SanaTransformer2DModel": "SanaPipeline",
    "PixArtTransformer2DModel": "PixArtSigmaPipeline",
}


def read_index(name: str, revision: str | None = None) -> dict[str, Any]:
    """Read a model's ``model_index.json``; for one without, say what its parts make it.

    Raises:
        OSError, ValueError: as ``read_json``.
    """
    found = read_json(name, ("model_index.json",), revision)
    if found is not None:
        return found[0]
    for place in ("unet/config.json", "transformer/config.json", "config.json"):
        part = read_json(name, (place,), revision)
        kind = None if part is None else part[0].get("_class_name")
        if part is None or kind is None:
            continue
        if kind in AUTOENCODERS:
            return {"_class_name": BARE_CODEC}
        if part[0].get("addition_embed_type") == "text_time":
            return {"_class_name": "StableDiffusionXLPipeline"}
        return {"_class_name": _PIPELINES.get(kind, kind)}
    return {"_class_name": "StableDiffusionPipeline"}  # codec and schedule, which is all it takes


def read_scheduler(name: str, pipeline: str, revision: str | None = None) -> dict[str, Any]:
    """Read a model's ``scheduler_config.json``; a codec alone has Stable Diffusion's.

    Args:
        name: folder, or hub name of the model.
        pipeline: the class that its index names.
        revision: revision of a hub model.

    Raises:
        OSError: it is missing, or no JSON file.

    Example:
        >>> read_scheduler("org/codec", BARE_CODEC)["steps_offset"]
        1
    """
    if pipeline == BARE_CODEC:
        return SD_SCHEDULE
    places = ("scheduler/scheduler_config.json", "scheduler_config.json")
    return require_json(name, places, revision)[0]
