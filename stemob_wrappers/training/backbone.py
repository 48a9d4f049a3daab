"""From nothing to a backbone: render scenes, train codec and denoiser, write the model card."""

from __future__ import annotations

import shutil
from pathlib import Path

from stemob_wrappers.training.card import write_card
from stemob_wrappers.training.denoiser import DenoiserConfig, train_denoiser
from stemob_wrappers.training.scenes import default_scenes_dir, render_scenes
from stemob_wrappers.training.train import TrainConfig, train_backbone


def make_backbone(
    out: Path,
    *,
    scenes: Path | None = None,
    num_scenes: int = 76,
    steps: int = 10_000,
    denoiser_steps: int = 1_600,
    seed: int = 0,
    workers: int = 2,
    device: str = "cpu",
    command: str = "",
) -> Path:
    """Make a backbone folder; a run that was stopped goes on where it was.

    Args:
        out: folder of the backbone, which ``StemConfig(backbone=...)`` takes.
        scenes: folder of rendered scenes, filled where scenes are missing; None takes the
            platform's cache folder.
        num_scenes: scenes to render, of 144 frames each.
        steps: optimiser steps of the codec.
        denoiser_steps: optimiser steps of the denoiser, which the DDIM methods need; 0 trains none.
        seed: of scenes, weights, crops and noise.
        workers: processes that render.
        device: where the networks are trained.
        command: what the model card says the backbone was made by.

    Raises:
        ValueError: the folders hold scenes or a checkpoint of other settings.

    Example:
        >>> make_backbone(Path("my-backbone")) # doctest: +SKIP
    """
    scenes = scenes or default_scenes_dir()
    render_scenes(scenes, num_scenes=num_scenes, seed=seed, workers=workers)
    train_backbone(scenes, out, TrainConfig(steps=steps, seed=seed), device=device)
    if denoiser_steps:
        config = DenoiserConfig(steps=denoiser_steps, seed=seed)
        unet = train_denoiser(scenes, str(out), out / "denoiser", config, device=device)
        shutil.copytree(unet, out / "unet", dirs_exist_ok=True)
    holdout = scenes.parent / "held-out"
    write_card(out, scenes, holdout, command, device=device, workers=workers)
    return out
