"""The command line, ``stemob …``: parse and dispatch only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="stemob",
    help="Stem-like observations for robot learning.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Backbone = Annotated[str, typer.Option(help="Embedded backbone, folder or hub name.")]
Seed = Annotated[int, typer.Option(help="Seed of the noise.")]
NumSteps = Annotated[
    int, typer.Option("--num_steps", "--num-steps", help="Steps of the full noising process.")
]
InversionSteps = Annotated[
    int,
    typer.Option("--inversion_steps", "--inversion-steps", help="Steps that a frame climbs."),
]
Model = Annotated[
    str,
    typer.Option("--model", "--method", help="ddpm, ddim (ReNoise, as the authors call it), …"),
]


@app.command()
def invert(
    source: Annotated[Path | None, typer.Argument(help="Image, folder of images, video.")] = None,
    target: Annotated[Path | None, typer.Argument(help="Where the result goes.")] = None,
    img_path: Annotated[Path | None, typer.Option("--img_path", help="Same as SOURCE.")] = None,
    output_path: Annotated[
        Path | None, typer.Option("--output_path", help="Same as TARGET.")
    ] = None,
    model: Model = "ddpm",
    num_steps: NumSteps = 50,
    inversion_steps: InversionSteps = 10,
    backbone: Backbone = "embedded",
    seed: Seed = 0,
    grid: Annotated[
        bool, typer.Option(help="Write several levels of an image side by side.")
    ] = False,
) -> None:
    """Turn an image, a folder of images or a video into stem frames."""
    from stemob_wrappers.config import StemConfig, method_of_model
    from stemob_wrappers.convert import invert_files

    source, target = source or img_path, target or output_path
    if source is None or target is None:
        raise typer.BadParameter("name what to read and where to write: stemob invert IN OUT")
    config = StemConfig(
        backbone=backbone,
        method=method_of_model(model),
        num_steps=num_steps,
        inversion_steps=inversion_steps,
        seed=seed,
    )
    invert_files(source, target, config, grid=grid)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for demo.png.")] = Path("out"),
    steps: Annotated[int, typer.Option(help="Control steps that are timed per env.")] = 60,
) -> None:
    """Wrap robosuite Lift and HalfCheetah, step them, draw what the policy sees."""
    from stemob_wrappers.demo import run_demo

    run_demo(out, steps)


@app.command()
def train_backbone(
    out: Annotated[Path, typer.Option(help="Folder for the backbone.")],
    scenes: Annotated[
        Path | None, typer.Option(help="Folder of rendered scenes; rendered when missing.")
    ] = None,
    num_scenes: Annotated[int, typer.Option(help="Scenes to render, 144 frames each.")] = 76,
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Seed of scenes, weights, crops and noise.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that render.")] = 2,
    device: Annotated[str, typer.Option(help="Where the networks train.")] = "cpu",
) -> None:
    """Render scenes and train a backbone on them; run it again to go on where it stopped."""
    import shlex
    import sys

    from stemob_wrappers.training.card import write_card
    from stemob_wrappers.training.scenes import default_scenes_dir, render_scenes
    from stemob_wrappers.training.train import TrainConfig, train_backbone

    scenes = scenes or default_scenes_dir()
    render_scenes(scenes, num_scenes=num_scenes, seed=seed, workers=workers)
    train_backbone(scenes, out, TrainConfig(steps=steps, seed=seed), device=device)
    command = shlex.join(["stemob", *sys.argv[1:]])
    write_card(out, scenes, scenes.parent / "held-out", command, workers=workers)


@app.command()
def perturb(
    env: Annotated[str, typer.Option(help="Id of the env, such as stemob/Lift-v0.")],
    out: Annotated[Path, typer.Option(help="Folder for the picture and the numbers.")],
    suite: Annotated[
        str,
        typer.Option(
            help="lighting, texture, colour, background, camera, distractors, corruption or all."
        ),
    ] = "all",
    size: Annotated[int, typer.Option(help="Height and width of the frames.")] = 84,
    camera: Annotated[str | None, typer.Option(help="Camera; the env's own if left out.")] = None,
    inversion_steps: InversionSteps = 10,
    backbone: Backbone = "embedded",
    seed: Annotated[int, typer.Option(help="Seed of the resets and changes.")] = 0,
) -> None:
    """Draw what a suite of perturbations does to an env, raw and as stem frames."""
    from stemob_wrappers.config import StemConfig
    from stemob_wrappers.perturb.preview import preview

    config = StemConfig(backbone=backbone, inversion_steps=inversion_steps)
    for path in preview(env, suite, out, config, size=size, camera=camera, seed=seed):
        typer.echo(path)


def main() -> None:
    """Run the command line; an expected error is one line, not a traceback."""
    import sys

    try:
        app()
    except (ValueError, TypeError, OSError, ImportError) as error:
        typer.echo(f"stemob: {error}", err=True)
        sys.exit(1)
