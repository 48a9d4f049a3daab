"""``stemob train-backbone``: render scenes, and train a backbone on them."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

from stemob_wrappers.extras import needs

with needs("cli"):
    import typer

from stemob_wrappers.cli.options import Device


def train_backbone(
    out: Annotated[Path, typer.Option(help="Folder for the backbone.")],
    env: Annotated[
        str | None,
        typer.Option(help="Id of a MuJoCo env to train on, going on from `embedded`."),
    ] = None,
    camera: Annotated[
        list[str] | None, typer.Option(help="Camera of the env; give it again for more.")
    ] = None,
    canonical: Annotated[
        bool,
        typer.Option(
            "--canonical", help="Train a decoder that gives frames their nominal appearance."
        ),
    ] = False,
    scenes: Annotated[
        Path | None, typer.Option(help="Folder of rendered scenes; rendered when missing.")
    ] = None,
    num_scenes: Annotated[
        int, typer.Option(min=1, help="Scenes to render, 144 frames each.")
    ] = 350,
    num_task_scenes: Annotated[
        int,
        typer.Option(
            min=0, help="Scenes of tasks by a policy's cameras beside them; not with --env."
        ),
    ] = 160,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps of the codec.")] = 7_000,
    decoder_steps: Annotated[
        int, typer.Option(min=0, help="Further ones of the canonical decoder alone.")
    ] = 0,
    denoiser_steps: Annotated[
        int,
        typer.Option(min=0, help="Optimiser steps of the denoiser, for the DDIM methods; 0: none."),
    ] = 1_600,
    seed: Annotated[int, typer.Option(min=0, help="Seed of scenes, weights, crops and noise.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that render.")] = 2,
    device: Device = "cpu",
) -> None:
    """Render scenes and train a backbone on them; run it again to go on where it stopped."""
    from stemob_wrappers.training.recipe import make_backbone

    make_backbone(
        out,
        env_id=env,
        cameras=camera or (),
        canonical=canonical,
        scenes=scenes,
        num_scenes=num_scenes,
        num_task_scenes=num_task_scenes,
        steps=steps,
        decoder_steps=decoder_steps,
        denoiser_steps=denoiser_steps,
        seed=seed,
        workers=workers,
        device=device or "cpu",
        command=shlex.join(["stemob", *sys.argv[1:]]),
    )
