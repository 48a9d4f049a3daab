"""From renders or recorded frames to a backbone: render, train, write the card."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from stemob_wrappers.backbones.folder import StemFolder
from stemob_wrappers.renders.env_views import plan_env_views
from stemob_wrappers.renders.files import default_scenes_dir, load_scene
from stemob_wrappers.renders.fill import fill
from stemob_wrappers.renders.plans import plan_env_scenes
from stemob_wrappers.renders.views import Plan, fill_views, plan_views
from stemob_wrappers.splits import HELD_OUT
from stemob_wrappers.training.card import SIZES, held_out_frames, write_card
from stemob_wrappers.training.denoiser import DenoiserConfig, ImageSource, train_denoiser
from stemob_wrappers.training.loop import LOG_FILE
from stemob_wrappers.training.recorded import RecordedFrames
from stemob_wrappers.training.relit import Batches, LookSource, RelitConfig, train

RUN = "run"  # folder of what is only needed to go on


def make_backbone(
    out: Path,
    config: RelitConfig | None = None,
    *,
    env_id: str | None = None,
    cameras: Sequence[str] = (),
    frames: Path | None = None,
    canonical: bool = False,
    views: Path | None = None,
    num_scenes: int = 400,
    without: Sequence[str] = (),
    denoiser_steps: int = 400,
    workers: int = 1,
    command: str = "",
) -> Path:
    """Make a backbone folder; a run that was stopped goes on where it was.

    Args:
        out: folder of the backbone, which ``StemConfig(backbone=...)`` takes.
        config: settings of the training; its first target is what a canonical decoder gives.
        env_id: a MuJoCo env to train on; None trains on many tasks and procedural tables.
        cameras: of the env, by name; none for its own.
        frames: folder of recorded images to train on in place of renders.
        canonical: whether ``out`` becomes the backbone whose decoder gives every frame one look.
            The plain one, which has the same encoder, is put into ``out/plain``.
        views: folder of rendered views, filled where files are missing; None takes the platform's
            cache folder.
        num_scenes: scenes to render, of 32 to 96 views each; 0 takes the views that there are.
        without: tasks that are not rendered, to choose a backbone on; none for an env.
        denoiser_steps: optimiser steps of the denoiser, which the DDIM methods need and which goes
            on from that of ``config.start``; 0 trains none.
        workers: processes that render, and then draw looks beside the one that trains.
        command: what the model cards say the backbone was made by.

    Returns:
        ``out``.

    Raises:
        ValueError: a setting is out of range, there are both ``env_id`` and ``frames``, or ``out``
            holds a checkpoint of other settings.
    """
    config = config or RelitConfig()
    if frames is not None and env_id is not None:
        raise ValueError(
            f"a backbone is trained on an env or on recorded frames; received {env_id} and {frames}"
        )
    run = out / RUN
    if frames is not None:
        config = dataclasses.replace(config, targets=("nominal",), roles=0.0)
        recorded = RecordedFrames(frames, config)
        images: ImageSource = _Images(recorded)
        data = f"{len(recorded.paths)} recorded images, painted over"
        train(recorded, run, config)
    else:
        views = views or default_scenes_dir().parent / "views" / (env_id or "all").replace("/", "-")
        if num_scenes:
            plans: Sequence[Plan] = (
                plan_views(num_scenes, seed=config.seed, without=without)
                if env_id is None
                else plan_env_views(env_id, num_scenes, cameras=cameras, seed=config.seed)
            )
            fill_views(plans, views, workers)
        images = LookSource(views)
        counts = images.source.counts
        data = f"{sum(counts)} views of {len(counts)} rendered MuJoCo scenes, painted and lit"
        if env_id is not None:
            data += f", of {env_id} through {' and '.join(cameras) or 'its own camera'}"
        train(Batches([views], config), run, config, workers=workers)
    target = run / config.targets[0]
    if denoiser_steps:
        unet = _train_denoiser(images, target / "plain", run / "denoiser", config, denoiser_steps)
        shutil.copytree(unet, target / "plain" / "unet", dirs_exist_ok=True)
    shutil.copytree(target if canonical else target / "plain", out, dirs_exist_ok=True)
    held_out = {size: _held_out(size, env_id, cameras) for size in SIZES}
    # What an env of one's own, or its pictures, may show is not for us to say.
    of_ours = env_id is None and frames is None
    for backbone in (out / "plain", out) if canonical else (out,):
        write_card(
            backbone,
            data,
            held_out,
            command=command,
            logs=[run / LOG_FILE],
            device="cpu",
            held_out_names=[*itertools.chain(*HELD_OUT.values())] if of_ours else (),
        )
    return out


class _Images:
    """The images alone of recorded batches."""

    def __init__(self, recorded: RecordedFrames) -> None:
        self.recorded = recorded

    def batch(self, rng: np.random.Generator, batch_size: int) -> torch.Tensor:
        images = self.recorded[int(rng.integers(2**31))].images.flatten(0, 1)
        return images[:batch_size]


def _train_denoiser(
    images: ImageSource, plain: Path, out: Path, config: RelitConfig, steps: int
) -> Path:
    start = StemFolder.named(config.start)
    known = config.start if (start.plain or start).path.joinpath("unet").is_dir() else None
    settings = DenoiserConfig(steps=steps, seed=config.seed, start=known)
    return train_denoiser(images, str(plain), out, settings)


def _held_out(size: int, env_id: str | None, cameras: Sequence[str]) -> NDArray[np.uint8]:
    """Frames to measure on: the env differently seen, or without one tasks never trained on."""
    name = "-".join([env_id or "all", *cameras]).replace("/", "-")
    folder = default_scenes_dir() / "held-out" / name / str(size)
    if env_id is None:
        return held_out_frames(folder, size)
    plans = plan_env_scenes(
        env_id, 5, cameras=cameras, seed=1, size=size, states=6, appearances=4, split="dev"
    )
    return np.concatenate([load_scene(path).frames for path in fill(plans, folder)])
