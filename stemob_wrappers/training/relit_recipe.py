r"""From rendered views to a backbone: render, train on views lit anew, train the denoiser, card.

    python -m stemob_wrappers.training.relit_recipe --views DIR --num-scenes 400 --out DIR
    python -m stemob_wrappers.training.relit_recipe --env stemob/Lift-v0 --num-scenes 40 \
        --steps 1500 --views DIR --out DIR

Run it again to go on where it stopped. ``DIR/<target>`` is the canonical backbone of each target,
``DIR/<target>/plain`` the plain one; ``StemConfig(backbone=...)`` takes either.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from stemob_wrappers.backbones.folder import StemFolder
from stemob_wrappers.renders.env_views import plan_env_views
from stemob_wrappers.renders.files import default_scenes_dir
from stemob_wrappers.renders.views import Plan, fill_views, plan_views
from stemob_wrappers.training.card import SIZES, held_out_frames, write_card
from stemob_wrappers.training.denoiser import DenoiserConfig, train_denoiser
from stemob_wrappers.training.loop import LOG_FILE
from stemob_wrappers.training.relit import LookSource, RelitConfig, train_on_views
from stemob_wrappers.training.synthesis import TARGETS


def make_relit_backbone(
    out: Path,
    views: Path,
    config: RelitConfig | None = None,
    *,
    env_id: str | None = None,
    cameras: Sequence[str] = (),
    num_scenes: int = 400,
    without: Sequence[str] = (),
    denoiser_steps: int = 400,
    workers: int = 1,
    command: str = "",
) -> Path:
    """Make the backbones of all targets; a run that was stopped goes on where it was.

    Args:
        out: folder of the run.
        views: folder of rendered views, filled where files are missing; with ``num_scenes`` 0 what
            is there is taken as it is.
        config: settings of the training.
        env_id: a MuJoCo env to train on; None trains on many tasks and procedural tables.
        cameras: of the env, by name; none for its own.
        num_scenes: scenes to render; of an env, files of 32 views.
        without: tasks that are not rendered, to choose a backbone on; none for an env.
        denoiser_steps: optimiser steps of the denoiser, which the DDIM methods need and which goes
            on from that of ``config.start``; 0 trains none.
        workers: processes that render, and then draw looks beside the one that trains.
        command: what the model cards say the backbones were made by.

    Returns:
        ``out``.

    Raises:
        ValueError: a setting is out of range, or ``out`` holds a checkpoint of other settings.
    """
    config = config or RelitConfig()
    if num_scenes:
        plans: Sequence[Plan] = (
            plan_views(num_scenes, seed=config.seed, without=without)
            if env_id is None
            else plan_env_views(env_id, num_scenes, cameras=cameras, seed=config.seed)
        )
        fill_views(plans, views, workers)
    images = LookSource(views)
    train_on_views([views], out, config, workers=workers)
    if denoiser_steps:
        start = StemFolder.named(config.start)
        known = config.start if (start.plain or start).path.joinpath("unet").is_dir() else None
        settings = DenoiserConfig(steps=denoiser_steps, seed=config.seed, start=known)
        codec = str(out / config.targets[0] / "plain")
        unet = train_denoiser(images, codec, out / "denoiser", settings)
        for target in config.targets:
            shutil.copytree(unet, out / target / "plain" / "unet", dirs_exist_ok=True)
    held_out = {
        size: held_out_frames(default_scenes_dir() / "held-out" / str(size), size) for size in SIZES
    }
    counts = images.source.counts
    data = f"{sum(counts)} views at 128 px of {len(counts)} rendered MuJoCo scenes, painted and lit"
    for target in config.targets:
        for backbone in (out / target / "plain", out / target):
            logs = [out / LOG_FILE]
            write_card(backbone, data, held_out, command=command, logs=logs, device="cpu")
    return out


def main(arguments: list[str] | None = None) -> None:
    """The command line: ``python -m stemob_wrappers.training.relit_recipe``."""
    parser = argparse.ArgumentParser(description="Make a backbone from views that are lit anew.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--views", type=Path, default=default_scenes_dir().parent / "views")
    parser.add_argument("--env", dest="env_id", help="id of a MuJoCo env to train on")
    parser.add_argument("--camera", dest="cameras", nargs="*", default=(), help="of the env")
    parser.add_argument("--num-scenes", type=int, default=400, help="0 takes the views there are")
    parser.add_argument("--without", nargs="*", default=(), help="tasks to choose on, left out")
    parser.add_argument("--denoiser-steps", type=int, default=400)
    parser.add_argument("--workers", type=int, default=1, help="that render and draw looks")
    parser.add_argument("--threads", type=int, default=1, help="threads that train")
    for field in dataclasses.fields(RelitConfig):
        name = "--" + field.name.replace("_", "-")
        if isinstance(field.default, bool):
            parser.add_argument(name, action="store_true")
        elif isinstance(field.default, tuple):
            parser.add_argument(name, nargs="+", default=field.default, choices=TARGETS)
        else:
            parser.add_argument(name, type=type(field.default), default=field.default)
    given = vars(parser.parse_args(arguments))
    torch.set_num_threads(given.pop("threads"))
    settings = {field.name: given.pop(field.name) for field in dataclasses.fields(RelitConfig)}
    settings["targets"] = tuple(settings["targets"])
    command = shlex.join(["python", "-m", "stemob_wrappers.training.relit_recipe", *sys.argv[1:]])
    out = make_relit_backbone(config=RelitConfig(**settings), command=command, **given)
    print(f"wrote {', '.join(str(out / target) for target in settings['targets'])}")


if __name__ == "__main__":
    main()
