"""``stemob train-backbone``: render scenes, and train a backbone on them."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

from stemob_wrappers.extras import needs

with needs("cli"):
    import typer


def train_backbone(
    out: Annotated[Path, typer.Option(help="Folder for the backbone.")],
    env: Annotated[str | None, typer.Option(help="Id of a MuJoCo env to train on.")] = None,
    camera: Annotated[
        list[str] | None,
        typer.Option(
            help="Camera of the env, its own if left out. Name each that a policy sees: frames of "
            "one that was not rendered come out as nonsense."
        ),
    ] = None,
    frames: Annotated[
        Path | None, typer.Option(help="Folder of recorded images to train on, without a model.")
    ] = None,
    canonical: Annotated[
        bool, typer.Option("--canonical", help="Make the backbone that gives frames one look.")
    ] = False,
    target: Annotated[
        str, typer.Option(help="That look: foreground, roles, flat or nominal.")
    ] = "foreground",
    views: Annotated[
        Path | None, typer.Option(help="Folder of rendered views; rendered when missing.")
    ] = None,
    num_scenes: Annotated[
        int, typer.Option(min=0, help="Scenes to render, 32 to 96 views each; 0: what is there.")
    ] = 400,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps of the codec.")] = 5_000,
    denoiser_steps: Annotated[
        int,
        typer.Option(min=0, help="Optimiser steps of the denoiser, for the DDIM methods; 0: none."),
    ] = 400,
    look_scale: Annotated[
        float, typer.Option(min=0.01, max=1, help="How loud looks are in the latents.")
    ] = 0.5,
    start: Annotated[
        str, typer.Option(help="Canonical backbone to go on from, a name or a folder.")
    ] = "embedded-canonical",
    seed: Annotated[int, typer.Option(min=0, help="Seed of scenes, crops, looks and noise.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that render and draw looks.")] = 1,
) -> None:
    """Render scenes and train a backbone on them; run it again to go on where it stopped."""
    from stemob_wrappers.training.recipe import make_backbone
    from stemob_wrappers.training.relit import RelitConfig
    from stemob_wrappers.training.synthesis import TARGETS

    if target not in TARGETS:
        raise typer.BadParameter(f"--target is one of {', '.join(TARGETS)}; received {target!r}")
    make_backbone(
        out,
        RelitConfig(steps=steps, targets=(target,), look_scale=look_scale, seed=seed, start=start),
        env_id=env,
        cameras=camera or (),
        frames=frames,
        canonical=canonical,
        views=views,
        num_scenes=num_scenes,
        denoiser_steps=denoiser_steps,
        workers=workers,
        command=shlex.join(["stemob", *sys.argv[1:]]),
    )
