"""``stemob demo``, ``perturb`` and ``visualize``: pictures for people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from stemob_wrappers.extras import needs

with needs("cli"):
    import typer

from stemob_wrappers.cli.options import EnvKwargs, json_object, stem_options
from stemob_wrappers.config import StemConfig


def demo(
    out: Annotated[Path, typer.Option(help="Folder for demo.png.")] = Path("out"),
    steps: Annotated[int, typer.Option(min=1, help="Control steps that are timed per env.")] = 60,
) -> None:
    """Wrap robosuite Lift and HalfCheetah, step them, draw what the policy sees."""
    from stemob_wrappers.cli.demo import run_demo

    run_demo(out, steps)


@stem_options(seed="--noise-seed")
def perturb(
    config: StemConfig,
    env: Annotated[str, typer.Option(help="Id of the env, such as stemob/Lift-v0.")],
    out: Annotated[Path, typer.Option(help="Folder for the picture and the numbers.")],
    suite: Annotated[
        str,
        typer.Option(
            help="lighting, texture, colour, background, camera, distractors, corruption or all."
        ),
    ] = "all",
    size: Annotated[
        int | None,
        typer.Option(min=1, help="Height and width of the frames; 84, or as the env observes."),
    ] = None,
    camera: Annotated[str | None, typer.Option(help="Camera; the env's own if left out.")] = None,
    env_kwargs: EnvKwargs = "{}",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the resets and changes.")] = 0,
) -> None:
    """Draw what a suite of perturbations does to an env, raw and as stem frames."""
    from stemob_wrappers.cli.preview import preview

    arguments = json_object("--env-kwargs", env_kwargs)
    paths = preview(
        env, suite, out, config, size=size, camera=camera, env_kwargs=arguments, seed=seed
    )
    for path in paths:
        typer.echo(path)


@stem_options(optional=True)
def visualize(
    config: StemConfig | None,
    source: Annotated[Path | None, typer.Argument(help="HDF5 file, raw or converted.")] = None,
    output: Annotated[Path | None, typer.Argument(help="Folder for PNGs, or a video.")] = None,
    input_file: Annotated[
        Path | None, typer.Option("--input_hdf5_path", "--input_file", help="Same as SOURCE.")
    ] = None,
    output_folder: Annotated[
        Path | None, typer.Option("--output_folder", help="Same as OUTPUT.")
    ] = None,
    demo: Annotated[str, typer.Option(help="Name of the demo.")] = "demo_0",
    key: Annotated[
        str | None, typer.Option("--key", "--obs_key", help="Image below obs; the first.")
    ] = None,
    raw: Annotated[
        Path | None, typer.Option(help="File that a converted one was made from, to the left.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Write every N-th frame.")] = 1,
    fps: Annotated[float, typer.Option(min=0.01, help="Frames a second of a video.")] = 20.0,
) -> None:
    """Write the frames of a demo as PNGs or as a video, raw beside stem.

    With --inversion-steps, a raw file's frames are inverted and go to the right.
    """
    from stemob_wrappers.cli import visualize as show

    source, output = source or input_file, output or output_folder or Path("hdf5_images")
    if source is None:
        raise typer.BadParameter("name the file to read: stemob visualize FILE FOLDER")
    count = show.visualize(
        source, output, demo=demo, key=key, raw=raw, config=config, every=every, fps=fps
    )
    typer.echo(f"{output}: {count} frames of {demo}")
