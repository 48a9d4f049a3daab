"""What a study measures, what names its inputs, and the file that says so beside its table."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from stemob_wrappers.config import StemConfig
from stemob_wrappers.levels.pairs import SPLIT, Pairs, list_images
from stemob_wrappers.versions import installed_versions

PROBE_SEEDS = 5
DETERMINISTIC = ("ddim", "ddim-renoise", "ddim-fixed-point")
# Raised when the probe or the augmentations it is trained with come to give other figures.
PROBE = 2


@dataclass(frozen=True)
class Study:
    """What to measure.

    Attributes:
        env_id: env to render the states of; or
        folders: two folders of matching clean and perturbed images (no positions, so no probe).
        backbones, methods, noises, steps: every combination is measured.
        num_steps: steps of the whole process.
        states, appearances, size, severity, seed: see ``render_pairs``.
        probe_steps: optimiser steps of each probe.
        probe_seeds: probes of each setting.
        augmented: whether each setting is measured with probes trained under augmentation, too.
    """

    env_id: str | None = None
    folders: tuple[str, str] | None = None
    backbones: tuple[str, ...] = ("embedded",)
    methods: tuple[str, ...] = ("ddpm",)
    noises: tuple[str, ...] = ("frame", "fixed")
    steps: tuple[int, ...] = (0, 3, 5, 10, 15, 25)
    num_steps: int = 50
    states: int = 600
    appearances: int = 5
    size: int = 84
    severity: int = 3
    seed: int = 0
    probe_steps: int = 300
    probe_seeds: int = PROBE_SEEDS
    augmented: bool = False
    configs: tuple[StemConfig, ...] = field(init=False)

    def __post_init__(self) -> None:
        if (self.env_id is None) == (self.folders is None):
            raise ValueError(
                "name either an env id, or a folder of clean and one of perturbed images; received "
                + ("neither" if self.env_id is None else "both")
            )
        configs = {
            StemConfig(
                backbone=backbone,
                method=method,
                # Nothing is drawn there, so one policy stands for all.
                noise=self.noises[0] if steps == 0 or method in DETERMINISTIC else noise,
                inversion_steps=steps,
                num_steps=self.num_steps,
                seed=self.seed,
            ): None
            for backbone in self.backbones
            for method in self.methods
            for noise in self.noises
            for steps in self.steps
            if steps or method == self.methods[0]  # without steps all methods are the codec alone
        }
        object.__setattr__(self, "configs", tuple(configs))


def digest_of_inputs(study: Study) -> str:
    """What all rows of a study share; another study in the same folder gets its own."""
    shared = {
        name: value
        for name, value in dataclasses.asdict(study).items()
        if name not in ("backbones", "methods", "noises", "steps", "augmented", "configs")
    }
    shared["probe"] = PROBE
    if study.folders is not None:
        shared["files"] = [
            (path.name, path.stat().st_size, path.stat().st_mtime_ns)
            for folder in study.folders
            for path in list_images(Path(folder))
        ]
    text = json.dumps(shared, sort_keys=True)
    return "work-" + hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def write_settings(study: Study, pairs: Pairs, path: Path) -> None:
    """Write what a study measured, and with which versions, as JSON.

    Args:
        study: its settings; what only a rendered env has is null for folders.
        pairs: its frames, whose shape [looks, states, H, W, 3] is told too.
        path: of the file.
    """
    settings = dataclasses.asdict(study)
    del settings["configs"]
    settings |= {
        "split": SPLIT,
        "frames": pairs.frames.shape,
        "points": pairs.names,
        "versions": installed_versions(),
    }
    if study.folders is not None:
        settings |= dict.fromkeys(("states", "appearances", "size", "severity", "split"))
    path.write_text(json.dumps(settings, indent=2) + "\n")
