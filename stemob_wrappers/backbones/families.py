"""Diffusers models by folder or hub name: which family, and the parts that a method needs.

A family is one small function from a model's name to its :class:`Parts`. Weights are safetensors,
never pickled, and no code is ever taken from a model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from stemob_wrappers.backbones.files import current_name, load_part, read_json, require_json
from stemob_wrappers.backbones.guard import check_finite, check_folder, check_size

# Otherwise diffusers tells at every load that accelerate, which is not needed, is missing.
QUIET = {"low_cpu_mem_usage": False}
AUTOENCODERS = ("AutoencoderKL", "AutoencoderTiny")


@dataclass(frozen=True)
class Parts:
    """What was loaded of a model.

    Attributes:
        autoencoder: images to latents, or None for a model on pixels.
        denoiser: the adapter that answers for a latent and a timestep, or None if not asked for.
        scheduler: fields of its ``scheduler_config.json``.
        image_size: side of the square images that it was trained on, or None if it does not say.
        networks: config and module of all networks that decide the result, the text encoder
            included, by their folder's name.
        prompt: token ids of the null prompt, which decide it too; none where there is none.
    """

    autoencoder: nn.Module | None
    denoiser: nn.Module | None
    scheduler: dict[str, Any]
    image_size: int | None
    networks: dict[str, tuple[dict[str, Any], nn.Module]]
    prompt: list[int] = field(default_factory=list)


class PromptedDenoiser(nn.Module):
    """A Stable Diffusion UNet with the null prompt, guidance scale 1.

    Args:
        unet: diffusers' UNet2DConditionModel.
        prompt: embedding of the empty prompt, float [1, tokens, channels].
        prediction_type: what the UNet predicts.
    """

    stride = 1  # it copes with any latent size by itself
    prompt: torch.Tensor

    def __init__(self, unet: nn.Module, prompt: torch.Tensor, prediction_type: str) -> None:
        super().__init__()
        self.unet = unet
        self.prediction_type = prediction_type
        self.register_buffer("prompt", prompt, persistent=False)

    def forward(self, latent: torch.Tensor, timestep: int) -> torch.Tensor:
        prompt = self.prompt.expand(len(latent), -1, -1)
        time = _timestep(latent, timestep)
        return self.unet(latent, time, encoder_hidden_states=prompt).sample


class PixelDenoiser(nn.Module):
    """The UNet of a DDPM on pixels, diffusers' UNet2DModel."""

    def __init__(self, unet: Any, prediction_type: str) -> None:
        super().__init__()
        self.unet = unet
        self.prediction_type = prediction_type
        self.stride = 2 ** (len(unet.config.block_out_channels) - 1)

    def forward(self, latent: torch.Tensor, timestep: int) -> torch.Tensor:
        return self.unet(latent, _timestep(latent, timestep)).sample


def _timestep(latent: torch.Tensor, timestep: int) -> torch.Tensor:
    """A timestep on the latent's device, int64 [1]; written there, not copied from the host."""
    return torch.full((1,), timestep, dtype=torch.int64, device=latent.device)


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
    return _family(name, revision)(name, codec, revision, denoiser)


def load_autoencoder(name: str, revision: str | None = None) -> tuple[dict[str, Any], nn.Module]:
    """Load the autoencoder of a pipeline (its ``vae`` folder) or one that stands alone.

    Returns:
        its config and the network.

    Raises:
        ValueError: the model has an autoencoder of an unsupported class.
        OSError: not found, not downloaded, truncated or corrupt.
    """
    name = current_name(name)
    config, folder = require_json(name, ("vae/config.json", "config.json"), revision)
    kind = config.get("_class_name")
    if kind not in AUTOENCODERS:
        raise ValueError(
            f"{name} has an autoencoder of class {kind}; supported: {', '.join(AUTOENCODERS)}"
        )
    # Imported here: diffusers takes seconds to import, and the embedded backbone needs none of it.
    import diffusers

    return config, _load_network(
        getattr(diffusers, kind), config, name, folder, revision, "autoencoder"
    )


def _stable_diffusion(name: str, codec: str | None, revision: str | None, denoiser: bool) -> Parts:
    """Stable Diffusion 1.x, 2.x and Turbo."""
    # A revision names a commit of the backbone, not of another model's autoencoder.
    config, autoencoder = load_autoencoder(codec or name, None if codec else revision)
    networks = {"vae": (config, autoencoder)}
    scheduler = _scheduler_config(name, revision)
    fields: Any = autoencoder.config
    channels = fields.latent_channels
    found = read_json(name, ("unet/config.json",), revision)
    unet_config = {} if found is None else found[0]
    own_channels = unet_config.get("in_channels", channels)
    if own_channels != channels:
        raise ValueError(
            f"{codec or name} makes latents of {channels} channels, but {name} works on "
            f"{own_channels}; choose a codec that was made for this model"
        )
    sample_size = unet_config.get("sample_size")
    stages = getattr(fields, "block_out_channels", None) or fields.encoder_block_out_channels
    image_size = sample_size * 2 ** (len(stages) - 1) if isinstance(sample_size, int) else None
    if not denoiser:
        return Parts(autoencoder, None, scheduler, image_size, networks)

    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    unet = _load_network(UNet2DConditionModel, unet_config, name, "unet", revision, "denoiser")
    tokens, embedding, text_encoder = _null_prompt(name, revision)
    networks |= {"unet": (unet_config, unet), "text_encoder": text_encoder}
    adapter = PromptedDenoiser(unet, embedding, _prediction_type(name, scheduler))
    return Parts(autoencoder, adapter, scheduler, image_size, networks, tokens)


def _pixel_ddpm(name: str, codec: str | None, revision: str | None, denoiser: bool) -> Parts:
    """Diffusion models on pixels, such as ``google/ddpm-cifar10-32``."""
    if codec is not None:
        raise ValueError(
            f"{name} works on pixels, so codec={codec!r} has no latents to stand for; "
            "leave codec=None"
        )
    scheduler = _scheduler_config(name, revision)
    config, folder = require_json(name, ("unet/config.json", "config.json"), revision)
    if config.get("in_channels", 3) != 3:
        raise ValueError(
            f"{name} works on images of {config['in_channels']} channels, frames have 3 (RGB); "
            "choose another model"
        )
    size = config.get("sample_size")
    image_size = size if isinstance(size, int) else None
    if not denoiser:
        return Parts(None, None, scheduler, image_size, {})

    from diffusers.models.unets.unet_2d import UNet2DModel

    unet = _load_network(UNet2DModel, config, name, folder, revision, "denoiser")
    adapter = PixelDenoiser(unet, _prediction_type(name, scheduler))
    return Parts(None, adapter, scheduler, image_size, {"unet": (config, unet)})


Family = Callable[[str, "str | None", "str | None", bool], Parts]
FAMILIES: dict[str, Family] = {
    "StableDiffusionPipeline": _stable_diffusion,
    "StableDiffusionImg2ImgPipeline": _stable_diffusion,
    "DDPMPipeline": _pixel_ddpm,
    "DDIMPipeline": _pixel_ddpm,
}


def _family(name: str, revision: str | None) -> Family:
    found = read_json(name, ("model_index.json",), revision)
    if found is None:  # parts without an index: the UNet's class tells
        unet = read_json(name, ("unet/config.json", "config.json"), revision)
        on_pixels = unet is not None and unet[0].get("_class_name") == "UNet2DModel"
        return _pixel_ddpm if on_pixels else _stable_diffusion
    kind = str(found[0].get("_class_name"))
    if kind not in FAMILIES:
        raise ValueError(
            f"{name} is a {kind}, which is not supported; supported are Stable Diffusion 1.x, 2.x "
            f"and Turbo and DDPMs on pixels ({', '.join(FAMILIES)}). SDXL, Stable Diffusion 3 and "
            "Flux are not supported yet"
        )
    return FAMILIES[kind]


def _scheduler_config(name: str, revision: str | None) -> dict[str, Any]:
    places = ("scheduler/scheduler_config.json", "scheduler_config.json")
    return require_json(name, places, revision)[0]


def _prediction_type(name: str, scheduler: dict[str, Any]) -> str:
    kind = scheduler.get("prediction_type", "epsilon")
    if kind not in ("epsilon", "v_prediction"):
        raise ValueError(
            f"the denoiser of {name} predicts {kind!r}; supported: 'epsilon', 'v_prediction', or "
            "method='ddpm', which needs no denoiser"
        )
    return kind


def _load_network(
    kind: Any, config: dict[str, Any], name: str, folder: str, revision: str | None, what: str
) -> Any:
    """Load a network of diffusers, checked before and after."""
    weights = "diffusion_pytorch_model"
    check_folder(name, folder)
    check_size(name, folder, revision, weights, lambda: kind.from_config(config))
    network = load_part(kind, name, folder, revision, what, **QUIET)
    check_finite(network, name, folder)
    return network


def _null_prompt(
    name: str, revision: str | None
) -> tuple[list[int], torch.Tensor, tuple[dict[str, Any], nn.Module]]:
    """Tokens of the empty prompt, its embedding (float32 [1, tokens, channels]), and what made it.

    The embedding is rounded otherwise on another machine; tokens and text encoder identify it.
    """
    try:
        from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
    except ImportError as error:
        raise ImportError(
            f"the DDIM methods embed the empty prompt of {name} with transformers, which is not "
            "installed: pip install 'stemob_wrappers[hub]', or use method='ddpm'"
        ) from error
    # Without its vocabulary the tokenizer would load all the same, empty.
    require_json(name, ("tokenizer/vocab.json", "tokenizer/tokenizer.json"), revision)
    check_folder(name, "tokenizer")
    tokenizer: Any = load_part(CLIPTokenizer, name, "tokenizer", revision, "tokenizer")
    part = "text_encoder"
    config = (read_json(name, (f"{part}/config.json",), revision) or ({}, ""))[0]
    check_folder(name, part)
    check_size(name, part, revision, "model", lambda: CLIPTextModel(CLIPTextConfig(**config)))
    text_encoder: Any = load_part(CLIPTextModel, name, part, revision, "text encoder")
    check_finite(text_encoder, name, part)
    text_encoder.eval()
    length = min(tokenizer.model_max_length, text_encoder.config.max_position_embeddings)
    tokens = tokenizer("", padding="max_length", max_length=length, return_tensors="pt")
    with torch.inference_mode(False), torch.no_grad():
        embedding = text_encoder(tokens.input_ids)[0]
    return tokens.input_ids[0].tolist(), embedding.float(), (config, text_encoder)
