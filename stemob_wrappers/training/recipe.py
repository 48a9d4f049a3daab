"""From nothing to a backbone: render scenes, train codec and denoiser, write the model card."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.renders.files import default_scenes_dir, load_scene
from stemob_wrappers.renders.fill import fill
from stemob_wrappers.renders.plans import plan_env_scenes, plan_scenes, plan_task_scenes
from stemob_wrappers.training.batches import FrameSource
from stemob_wrappers.training.card import SIZES, held_out_frames, scenes_in_words, write_card
from stemob_wrappers.training.codec import TrainConfig, check_decoder_steps, train_backbone
from stemob_wrappers.training.denoiser import DenoiserConfig, train_denoiser
from stemob_wrappers.training.loop import LOG_FILE


def make_backbone(
    out: Path,
    *,
    env_id: str | None = None,
    cameras: Sequence[str] = (),
    canonical: bool = False,
    scenes: Path | None = None,
    num_scenes: int = 350,
    num_task_scenes: int = 160,
    steps: int = TrainConfig.steps,
    decoder_steps: int = 0,
    denoiser_steps: int = 1_600,
    seed: int = 0,
    workers: int = 2,
    device: str = "cpu",
    command: str = "",
) -> Path:
    """Make a backbone folder; a run that was stopped goes on where it was.

    Args:
        out: folder of the backbone, which ``StemConfig(backbone=...)`` takes.
        env_id: a MuJoCo env to train on, going on from ``"embedded"``; None trains from nothing on
            many tasks and procedural tables.
        cameras: of the env, by name; none for its own.
        canonical: whether ``out`` becomes the backbone whose decoder gives every frame its scene's
            nominal appearance. The plain one, which has the same encoder, is put into
            ``out/plain``.
        scenes: folder of rendered scenes, filled where scenes are missing; None takes the
            platform's cache folder.
        num_scenes: scenes to render, of 144 frames each.
        num_task_scenes: scenes of known tasks through a policy's cameras, beside them; none for an
            env.
        steps: optimiser steps of the codec.
        decoder_steps: further ones of the canonical decoder alone.
        denoiser_steps: optimiser steps of the denoiser, which the DDIM methods need; 0 trains none.
        seed: of scenes, weights, crops and noise.
        workers: processes that render.
        device: where the networks are trained.
        command: what the model card says the backbone was made by.

    Raises:
        ValueError: the folders hold scenes or a checkpoint of other settings, or there are
            ``decoder_steps`` without ``canonical``.
    """
    check_decoder_steps(decoder_steps, canonical)
    scenes = scenes or default_scenes_dir() / (env_id or "all").replace("/", "-")
    folders, start = [scenes], None
    if env_id is None:
        fill(plan_scenes(num_scenes, seed=seed), scenes, workers)
        if num_task_scenes:
            folders.append(scenes.parent / f"{scenes.name}-tasks")
            fill(plan_task_scenes(num_task_scenes, seed=seed), folders[1], workers)
    else:
        start = "embedded-canonical"
        fill(plan_env_scenes(env_id, num_scenes, cameras=cameras, seed=seed), scenes, workers)
    config = TrainConfig(steps=steps, decoder_steps=decoder_steps, seed=seed, start=start)
    train_backbone(folders, out, config, canonical=canonical, device=device)
    plain = out / "plain" if canonical else out
    if denoiser_steps:
        denoiser = DenoiserConfig(steps=denoiser_steps, seed=seed)
        frames = FrameSource(scenes)
        unet = train_denoiser(frames, str(plain), out / "denoiser", denoiser, device=device)
        shutil.copytree(unet, plain / "unet", dirs_exist_ok=True)
    held_out = {
        size: _held_out(
            scenes.parent / f"{scenes.name}-held-out" / str(size), size, env_id, cameras
        )
        for size in SIZES
    }
    logs = [log for log in (out / LOG_FILE, out / "decoder" / LOG_FILE) if log.exists()]
    data = scenes_in_words(folders)
    for backbone in dict.fromkeys([plain, out]):
        write_card(backbone, data, held_out, command=command, logs=logs, device=device)
    return out


def _held_out(
    folder: Path, size: int, env_id: str | None, cameras: Sequence[str]
) -> NDArray[np.uint8]:
    """Frames to measure on: the env differently seen, or without one tasks never trained on."""
    if env_id is None:
        return held_out_frames(folder, size)
    plans = plan_env_scenes(
        env_id, 5, cameras=cameras, seed=1, size=size, states=6, appearances=4, split="dev"
    )
    return np.concatenate([load_scene(path).frames for path in fill(plans, folder)])
