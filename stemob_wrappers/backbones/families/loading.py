"""What every family does alike: find, check and load the codec, the schedule and a network."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import nn

from stemob_wrappers.backbones.codecs import LatentCodec, wrap_autoencoder
from stemob_wrappers.backbones.files import current_name, load_part, read_json, require_json
from stemob_wrappers.backbones.guard import check_finite, check_folder, check_size
from stemob_wrappers.backbones.kinds import AUTOENCODERS, EVEN_STEPS, read_scheduler
from stemob_wrappers.diffusion.flow import FlowSchedule
from stemob_wrappers.diffusion.schedule import Schedule, schedule_fields, schedule_of
from stemob_wrappers.extras import needs

# Otherwise diffusers tells at every load that accelerate, which is not needed, is missing.
QUIET = {"low_cpu_mem_usage": False}
PREDICTIONS = ("epsilon", "v_prediction", "flow_prediction")
Loaded = tuple[dict[str, Any], nn.Module]


@dataclass(frozen=True)
class Model:
    """A diffusers model that was asked for.

    Attributes:
        name: folder, or hub name ``"org/model"``.
        codec: another autoencoder in place of the model's own.
        revision: revision of a hub model.
        index: what its ``model_index.json`` says, or would say.
    """

    name: str
    codec: str | None
    revision: str | None
    index: dict[str, Any]

    @property
    def pipeline(self) -> str:
        """The class that its index names."""
        return str(self.index.get("_class_name"))

    @property
    def even(self) -> bool:
        """Whether its pipeline lays the steps itself."""
        return self.pipeline in EVEN_STEPS

    @cached_property
    def scheduler(self) -> dict[str, Any]:
        """The fields of its ``scheduler_config.json``."""
        return read_scheduler(self.name, self.pipeline, self.revision)

    def config(self, part: str) -> dict[str, Any]:
        """The fields of a part's ``config.json``; none where it is not there."""
        found = read_json(self.name, (f"{part}/config.json",), self.revision)
        return {} if found is None else found[0]

    def network(self, kind: Any, part: str) -> nn.Module:
        """Load the denoiser from its folder."""
        config = self.config(part)
        return load_network(kind, config, self.name, part, self.revision, "denoiser")


@dataclass(frozen=True)
class Parts:
    """What was loaded of a model.

    Attributes:
        codec: images to latents and back.
        schedule: its noising process.
        scheduler: the fields that the schedule was made of.
        denoiser: the adapter that answers for a latent and a timestep, or None if not asked for.
        image_size: side of the square images that it was trained on, or None if it does not say.
        networks: config and module of all networks that decide the result, text encoders included,
            by their folder's name.
        prompt: token ids of the null prompt, which decide it too; none where there is none.
    """

    codec: LatentCodec
    schedule: Schedule
    scheduler: dict[str, Any]
    denoiser: nn.Module | None = None
    image_size: int | None = None
    networks: dict[str, Loaded] = field(default_factory=dict)
    prompt: Any = field(default_factory=list)

    def with_denoiser(self, adapter: nn.Module, networks: dict[str, Loaded], prompt: Any) -> Parts:
        """Return the parts with a denoiser's adapter, its networks and its prompt's tokens."""
        networks = self.networks | networks
        return dataclasses.replace(self, denoiser=adapter, networks=networks, prompt=prompt)


def latent_parts(model: Model, part: str, packed: int = 1, flow: bool = False) -> Parts:
    """Load codec and schedule of a model on latents; all that the forward path needs.

    Args:
        model: what was asked for.
        part: folder of the denoiser, whose config is looked at if it is there.
        packed: how many latent cells the denoiser takes as one.
        flow: whether this family predicts velocities, so that its schedule must be a flow.

    Raises:
        ValueError: a codec that does not fit the denoiser, or an unsupported schedule.
        OSError: a part that is missing, not downloaded, truncated or corrupt.
    """
    # A revision names a commit of the backbone, not of another model's autoencoder.
    revision = None if model.codec else model.revision
    config, autoencoder = load_autoencoder(model.codec or model.name, revision)
    codec = wrap_autoencoder(autoencoder)
    schedule = schedule_of(model.scheduler, model.even)
    if flow and not isinstance(schedule, FlowSchedule):
        raise ValueError(
            f"{model.name} is a {model.pipeline}, which predicts velocities, but its scheduler is "
            f"a {model.scheduler.get('_class_name')}; save it with a flow-matching one, such as "
            "FlowMatchEulerDiscreteScheduler with the shift that it was trained with"
        )
    network = model.config(part)
    own_channels = network.get("in_channels", codec.channels * packed) // packed
    if own_channels != codec.channels:
        raise ValueError(
            f"{model.codec or model.name} makes latents of {codec.channels} channels, but "
            f"{model.name} works on {own_channels}; choose a codec that was made for this model"
        )
    size = network.get("sample_size")
    return Parts(
        codec=codec,
        schedule=schedule,
        scheduler=schedule_fields(model.scheduler, model.even),
        image_size=size * codec.latent_stride if isinstance(size, int) else None,
        networks={"vae": (config, autoencoder)},
    )


def load_autoencoder(name: str, revision: str | None = None) -> Loaded:
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
    with needs("diffusers"):
        import diffusers

    return config, load_network(
        getattr(diffusers, kind), config, name, folder, revision, "autoencoder"
    )


def load_network(
    kind: Any, config: dict[str, Any], name: str, folder: str, revision: str | None, what: str
) -> Any:
    """Load a network of diffusers, checked before and after."""
    weights = "diffusion_pytorch_model"
    check_folder(name, folder)
    check_size(name, folder, revision, weights, lambda: kind.from_config(config))
    network = load_part(kind, name, folder, revision, what, **QUIET)
    check_finite(network, name, folder)
    return network


def prediction_type(model: Model, schedule: Schedule) -> str:
    """Return what a model's denoiser predicts.

    Raises:
        ValueError: nothing that an inversion can be made of.
    """
    kind = schedule.prediction_type
    if kind not in PREDICTIONS:
        raise ValueError(
            f"the denoiser of {model.name} predicts {kind!r}; supported: "
            f"{', '.join(map(repr, PREDICTIONS))}, or method='ddpm', which needs no denoiser"
        )
    return kind


def at_timestep(latent: torch.Tensor, timestep: float) -> torch.Tensor:
    """Return a timestep for each latent of a batch, as transformers take it: float32 [N]."""
    return torch.full((len(latent),), float(timestep), device=latent.device)


def for_each(latent: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
    """Repeat what belongs to one prompt, [1, ...], for each latent of a batch."""
    return prompt.expand(len(latent), *prompt.shape[1:])
