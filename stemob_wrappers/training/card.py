"""The model card of a backbone: how it was made, and what it measures on scenes it never saw."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from stemob_wrappers.backbones.card import psnr
from stemob_wrappers.backbones.folder import INDEX_FILE, StemFolder
from stemob_wrappers.backbones.load import load_backbone
from stemob_wrappers.backbones.networks import WEIGHTS_FILE
from stemob_wrappers.config import StemConfig
from stemob_wrappers.renders.files import load_scenes
from stemob_wrappers.renders.fill import fill
from stemob_wrappers.renders.plans import plan_scenes
from stemob_wrappers.stem.pipeline import StemPipeline
from stemob_wrappers.work import write_text

SIZES = (84, 128)
LEVELS = (0, 5, 10, 15, 25)  # inversion steps of 50
HELD_OUT_SCENES = 6


def write_card(
    backbone: Path,
    data: str,
    held_out: Mapping[int, NDArray[np.uint8]],
    *,
    command: str,
    logs: Sequence[Path],
    device: str,
    held_out_names: Sequence[str] = (),
) -> dict[str, Any]:
    """Measure a trained backbone and write its ``README.md``; the figures join its index too.

    Args:
        backbone: folder that training wrote.
        data: what it was trained on, in words.
        held_out: frames never trained on, uint8 [S, A, H, W, 3] by size: states under appearances,
            of which the first is the nominal one.
        command: the command that made the backbone.
        logs: the losses of its trainings, which say how long they took.
        device: what it was trained on.
        held_out_names: tasks, robots and models that it never saw.

    Returns:
        PSNR in dB by frame size and inversion steps (0: the codec alone).
    """
    figures = {str(size): held_out_psnr(str(backbone), frames) for size, frames in held_out.items()}
    index_path = backbone / INDEX_FILE
    index = json.loads(index_path.read_text())
    index["held_out_psnr_db"] = figures
    if (backbone / "unet").is_dir():
        index["unet"] = ["stemob_wrappers", "StemDenoiser"]
    write_text(index_path, json.dumps(index, indent=2) + "\n")
    plain = StemFolder.named(str(backbone)).plain
    text = _CARD.format(
        name=backbone.name,
        command=command,
        training=json.dumps(index["training"]),
        data=data,
        canonical=_canonical(index["training"], plain.path.name) if plain else "",
        measured=_measured(index["training"]) if plain else "their frames",
        minutes=sum(_minutes(log) for log in logs),
        device=device,
        threads=torch.get_num_threads(),
        denoiser=_denoiser(plain.path if plain else backbone),
        held_out="".join(f"{name}, " for name in held_out_names),
        header=" | ".join(f"{n} steps" for n in LEVELS),
        rule=" | ".join("---" for _ in LEVELS),
        rows="\n".join(
            f"| {size} px | " + " | ".join(f"{by_level[str(n)]:.1f}" for n in LEVELS) + " |"
            for size, by_level in figures.items()
        ),
    )
    write_text(backbone / "README.md", text)
    return figures


def held_out_frames(folder: Path, size: int, workers: int = 1) -> NDArray[np.uint8]:
    """Frames of tasks, robots and textures never trained on, uint8 [S, A, size, size, 3]."""
    plans = plan_scenes(HELD_OUT_SCENES, size=size, states=6, appearances=4, holdout=True)
    fill(plans, folder, workers)
    return np.concatenate([scene.frames for scene in load_scenes(folder)])


def held_out_psnr(backbone: str, frames: NDArray[np.uint8]) -> dict[str, float]:
    """Mean PSNR in dB of stem frames by inversion steps.

    Measured against the frames, or, of a canonical backbone, against the nominal appearance.

    Args:
        backbone: name or folder.
        frames: uint8 [S, A, H, W, 3], appearance 0 the nominal one.
    """
    canonical = load_backbone(backbone).plain is not None
    wanted = np.repeat(frames[:, :1], frames.shape[1], axis=1) if canonical else frames
    wanted, frames = (x.reshape(-1, *x.shape[2:]) for x in (wanted, frames))
    result = {}
    for steps in LEVELS:
        config = StemConfig(backbone=backbone, inversion_steps=steps)
        stems = StemPipeline(config, cache=False, device="cpu")(frames)
        result[str(steps)] = round(float(psnr(wanted, stems).mean()), 2)
    return result


def _measured(training: Mapping[str, Any]) -> str:
    target = training.get("targets", ["nominal"])[0]
    return "the nominal appearance" + ("" if target == "nominal" else " (at which it does not aim)")


def _canonical(training: Mapping[str, Any], plain: str) -> str:
    """What a canonical decoder makes of frames, and that it may err."""
    made = _MADE[training.get("targets", ["nominal"])[0]]
    return _CANONICAL.format(made=made, plain=plain)


def _denoiser(backbone: Path) -> str:
    weights = backbone / "unet" / WEIGHTS_FILE
    if not weights.is_file():
        return "none, so method ddpm alone."
    with safe_open(weights, "pt") as file:
        count = sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118
    return f"`unet/`, own class `StemDenoiser`, {count / 1e6:.1f} M parameters, predicts the noise."


def _minutes(losses: Path) -> float:
    """Sum the training time over all the runs that the log holds; each starts again at 0."""
    with open(losses) as file:
        seconds = [float(row[2]) for row in csv.reader(file)]
    return sum(max(0.0, b - a) for a, b in itertools.pairwise(seconds)) / 60


_CARD = """# {name}

A small convolutional autoencoder (`vae/`, own class `StemAutoencoder`) with unit-variance latents
at a quarter of the frame's size, for partial diffusion inversion of camera frames of robots in
simulation. The noise schedule is Stable Diffusion's. No photographs were used.
{canonical}
- Made by `{command}`
- Settings: `{training}`
- Data: {data}, under random lights,
  textures, colours and cameras; MIT licence.
- Training time of the codec: {minutes:.0f} minutes on {device} with {threads} threads.
- Denoiser: {denoiser}
- Never trained on: {held_out}the `dev` and `test` textures, lights and colours.

PSNR in dB of stem frames against {measured} on held-out scenes, by inversion steps of 50 (0: the
codec alone). From 5 steps on a lower value is meant: the noise is there to take detail away.

| frames | {header} |
| --- | {rule} |
{rows}

Limits: made for simulated table-top scenes and Gymnasium's MuJoCo bodies. Photographs, text and
faces come out blurred; train an own backbone with `stemob train-backbone` for another domain.
"""

_MADE = {
    "nominal": "gives every frame the nominal appearance of its scene, whatever it came in",
    "flat": "gives every geom its plain nominal colour under one light, whatever it came in",
    "roles": "draws objects in the plain colour that they are seen in, the robot in its own, and "
    "table, floor,\nwalls and sky in one grey each, all under one light",
    "foreground": "draws objects in the plain colour that they are seen in and the robot in greys, "
    "under one\nlight, and all else (table, floor, walls, fixtures, sky) in one even grey",
}

_CANONICAL = """
Its decoder {made}; encoder and
noise are those of `{plain}`. This goes beyond Stem-OB, takes renders to train, and is to be
reported apart from it. On scenes that it does not know it may invent, remove or recolour objects:
look at its frames first.
"""
