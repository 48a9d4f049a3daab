"""The command line, ``stemob …``: parse and dispatch only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

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
Noise = Annotated[str, typer.Option(help="frame, fixed, episode or fresh.")]
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
    typer.Option("--model", "--method", help="ddpm, ddim, ddim-renoise, …"),
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
    inversion_steps: InversionSteps = 5,
    backbone: Backbone = "embedded",
    noise: Noise = "frame",
    seed: Seed = 0,
    codec: Annotated[
        str | None, typer.Option(help="Another autoencoder than the backbone's own.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Revision of a hub model.")] = None,
    resolution: Annotated[
        str | None, typer.Option(help="Side to invert at, or 'model' for the backbone's own.")
    ] = None,
    grid: Annotated[
        bool, typer.Option(help="Write several levels of an image side by side.")
    ] = False,
) -> None:
    """Turn an image, a folder of images or a video into stem frames."""
    from stemob_wrappers.cli.invert import invert_files
    from stemob_wrappers.config import StemConfig

    source, target = source or img_path, target or output_path
    if source is None or target is None:
        raise typer.BadParameter("name what to read and where to write: stemob invert IN OUT")
    config = StemConfig(
        backbone=backbone,
        method=model,
        num_steps=num_steps,
        inversion_steps=inversion_steps,
        noise=noise,
        seed=seed,
        codec=codec,
        revision=revision,
        resolution=_resolution(resolution),
    )
    invert_files(source, target, config, grid=grid)


def _resolution(text: str | None) -> int | Literal["model"] | None:
    if text is None or text == "model":
        return text
    try:
        return int(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"--resolution must be a number of pixels or 'model', received {text!r}"
        ) from error


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for demo.png.")] = Path("out"),
    steps: Annotated[int, typer.Option(help="Control steps that are timed per env.")] = 60,
) -> None:
    """Wrap robosuite Lift and HalfCheetah, step them, draw what the policy sees."""
    from stemob_wrappers.cli.demo import run_demo

    run_demo(out, steps)


@app.command()
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
        typer.Option("--canonical", help="Train a decoder that gives frames their nominal look."),
    ] = False,
    scenes: Annotated[
        Path | None, typer.Option(help="Folder of rendered scenes; rendered when missing.")
    ] = None,
    num_scenes: Annotated[int, typer.Option(help="Scenes to render, 144 frames each.")] = 350,
    steps: Annotated[int, typer.Option(help="Optimiser steps of the codec.")] = 7_000,
    denoiser_steps: Annotated[
        int, typer.Option(help="Optimiser steps of the denoiser, for the DDIM methods; 0: none.")
    ] = 1_600,
    seed: Annotated[int, typer.Option(help="Seed of scenes, weights, crops and noise.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that render.")] = 2,
    device: Annotated[str, typer.Option(help="Where the networks train.")] = "cpu",
) -> None:
    """Render scenes and train a backbone on them; run it again to go on where it stopped."""
    import shlex
    import sys

    from stemob_wrappers.training.recipe import make_backbone

    make_backbone(
        out,
        env_id=env,
        cameras=camera or (),
        canonical=canonical,
        scenes=scenes,
        num_scenes=num_scenes,
        steps=steps,
        denoiser_steps=denoiser_steps,
        seed=seed,
        workers=workers,
        device=device,
        command=shlex.join(["stemob", *sys.argv[1:]]),
    )


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
    size: Annotated[
        int | None,
        typer.Option(help="Height and width of the frames; 84, or as the env observes."),
    ] = None,
    camera: Annotated[str | None, typer.Option(help="Camera; the env's own if left out.")] = None,
    inversion_steps: InversionSteps = 5,
    backbone: Backbone = "embedded",
    seed: Annotated[int, typer.Option(help="Seed of the resets and changes.")] = 0,
) -> None:
    """Draw what a suite of perturbations does to an env, raw and as stem frames."""
    from stemob_wrappers.cli.preview import preview
    from stemob_wrappers.config import StemConfig

    config = StemConfig(backbone=backbone, inversion_steps=inversion_steps)
    for path in preview(env, suite, out, config, size=size, camera=camera, seed=seed):
        typer.echo(path)


@app.command()
def invert_dataset(
    source: Annotated[
        Path | None, typer.Argument(help="HDF5 file, folder of images and videos, or video.")
    ] = None,
    target: Annotated[Path | None, typer.Argument(help="Where the result goes.")] = None,
    original_file: Annotated[
        Path | None, typer.Option("--original_file", help="Same as SOURCE.")
    ] = None,
    new_file: Annotated[Path | None, typer.Option("--new_file", help="Same as TARGET.")] = None,
    keys: Annotated[
        str | None,
        typer.Option("--keys", "--obs_key", help="Images below obs, with commas; all if left out."),
    ] = None,
    filter_key: Annotated[str | None, typer.Option(help="Mask that lists the demos.")] = None,
    num_trajs: Annotated[
        int | None, typer.Option("--num_trajs", "--num-trajs", help="Only the first N demos.")
    ] = None,
    model: Model = "ddpm",
    num_steps: NumSteps = 50,
    inversion_steps: InversionSteps = 5,
    image_size: Annotated[
        int | None,
        typer.Option("--image_size", "--resolution", help="Side that frames are inverted at."),
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--batch_size", "--batch-size", help="Frames in one batch.")
    ] = 64,
    backbone: Backbone = "embedded",
    noise: Annotated[str, typer.Option(help="frame, fixed, episode or fresh.")] = "frame",
    seed: Seed = 0,
    draws: Annotated[int, typer.Option(help="Noise draws a frame, as extra demos.")] = 1,
    workers: Annotated[int, typer.Option(help="Processes on this machine.")] = 1,
    shard_index: Annotated[int, typer.Option(help="Which shard this run makes.")] = 0,
    num_shards: Annotated[int, typer.Option(help="Shards, for merge-shards.")] = 1,
    cache: Annotated[Path | None, typer.Option(help="Folder of a frame cache.")] = None,
    device: Annotated[str | None, typer.Option(help="Where the backbone runs.")] = None,
    dtype: Annotated[str, typer.Option(help="Floating type that it runs in.")] = "float32",
    overwrite: Annotated[bool, typer.Option(help="Replace a target that is there.")] = False,
    verify: Annotated[
        bool, typer.Option(help="Check the result against the source; only that if it is there.")
    ] = False,
) -> None:
    """Write a copy of a data set whose camera frames are stem frames; run it again to go on."""
    from stemob_wrappers import datasets
    from stemob_wrappers.config import StemConfig

    source, target = source or original_file, target or new_file
    if source is None or target is None:
        raise typer.BadParameter("name what to read and where to write: invert-dataset SRC DST")
    config = StemConfig(
        backbone=backbone,
        method=model,
        num_steps=num_steps,
        inversion_steps=inversion_steps,
        noise=noise,
        seed=seed,
        resolution=image_size,
    )
    failed: list[str] = []
    if overwrite or not (verify and target.exists()):
        summary = datasets.invert_dataset(
            source,
            target,
            config,
            keys=None if keys is None else keys.split(","),
            filter_key=filter_key,
            num_trajs=num_trajs,
            draws=draws,
            batch_size=batch_size,
            workers=workers,
            shard=None if num_shards == 1 else (shard_index, num_shards),
            overwrite=overwrite,
            cache=cache,
            device=device,
            dtype=dtype,
            progress=True,
        )
        typer.echo(str(summary))
        failed += summary.failed
    if verify:
        problems = datasets.verify_dataset(source, target, device=device)
        typer.echo("\n".join(problems) or f"{target}: verified")
        failed += problems
    if failed:
        raise typer.Exit(1)


@app.command()
def merge_shards(
    target: Annotated[Path, typer.Argument(help="Where the whole data set goes.")],
    shards: Annotated[list[Path], typer.Argument(help="Every shard, in any order.")],
    overwrite: Annotated[bool, typer.Option(help="Replace a target that is there.")] = False,
) -> None:
    """Put the shards of a converted data set together; HDF5 only."""
    from stemob_wrappers import datasets

    missing = datasets.merge_shards(target, shards, overwrite=overwrite)
    typer.echo(f"{target}: {len(shards)} shards merged")
    if missing:
        typer.echo(f"not in any shard: {', '.join(missing)}")
        raise typer.Exit(1)


@app.command()
def visualize(
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
    invert_level: Annotated[
        int | None,
        typer.Option("--inversion_steps", help="Invert a raw file's frames, to the right."),
    ] = None,
    every: Annotated[int, typer.Option(help="Write every N-th frame.")] = 1,
    fps: Annotated[float, typer.Option(help="Frames a second of a video.")] = 20.0,
) -> None:
    """Write the frames of a demo as PNGs or as a video, raw beside stem."""
    from stemob_wrappers.cli import visualize as show
    from stemob_wrappers.config import StemConfig

    source, output = source or input_file, output or output_folder or Path("hdf5_images")
    if source is None:
        raise typer.BadParameter("name the file to read: stemob visualize FILE FOLDER")
    config = None if invert_level is None else StemConfig(inversion_steps=invert_level)
    count = show.visualize(
        source, output, demo=demo, key=key, raw=raw, config=config, every=every, fps=fps
    )
    typer.echo(f"{output}: {count} frames of {demo}")


@app.command()
def levels(
    env: Annotated[
        str | None, typer.Option(help="Id of the env whose states are rendered.")
    ] = None,
    clean: Annotated[Path | None, typer.Option(help="Folder of clean images instead.")] = None,
    perturbed: Annotated[
        Path | None, typer.Option(help="Folder of the same states, perturbed.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for table, plot and picture.")] = Path("levels"),
    table: Annotated[
        bool, typer.Option("--table", help="Only print steps, timestep, alpha_bar and SNR.")
    ] = False,
    backbone: Annotated[list[str] | None, typer.Option(help="Repeat for several.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="Repeat for several.")] = None,
    noise: Annotated[list[str] | None, typer.Option(help="Repeat for several.")] = None,
    steps: Annotated[str, typer.Option(help="Inversion steps, by commas.")] = "0,3,5,10,15,25",
    num_steps: NumSteps = 50,
    states: Annotated[int, typer.Option(help="Layouts to render.")] = 600,
    looks: Annotated[int, typer.Option(help="Appearances, the unchanged one included.")] = 5,
    size: Annotated[int, typer.Option(help="Side of the frames in pixels.")] = 84,
    severity: Annotated[int, typer.Option(help="Of the changes, 1 to 5.")] = 3,
    seed: Annotated[int, typer.Option(help="Of layouts, looks and noise.")] = 0,
    augmented: Annotated[
        bool, typer.Option("--augmented", help="Probes on stem frames with augmentation, too.")
    ] = False,
) -> None:
    """Measure which noise level to choose; run it again to go on where it stopped."""
    from stemob_wrappers.levels.report import print_table, report_study
    from stemob_wrappers.levels.study import Study

    backbones = tuple(backbone or ["embedded"])
    if table:
        print_table(backbones, num_steps)
        return
    if (clean is None) != (perturbed is None):
        raise typer.BadParameter("--clean and --perturbed name the two folders of one study")
    folders = None if clean is None or perturbed is None else (str(clean), str(perturbed))
    study = Study(
        env_id=env,
        folders=folders,
        backbones=backbones,
        methods=tuple(method or ["ddpm"]),
        noises=tuple(noise or ["frame", "fixed"]),
        steps=tuple(int(part) for part in steps.split(",")),
        num_steps=num_steps,
        states=states,
        appearances=looks,
        size=size,
        severity=severity,
        seed=seed,
        augmented=augmented,
    )
    report_study(study, out)


@app.command()
def evaluate(
    env: Annotated[list[str], typer.Option(help="Id of the env; repeat for several.")],
    policy: Annotated[
        list[str],
        typer.Option(
            help="module:function, module:function:PATH (which loads it) or PPO:path.zip; repeat "
            "for several."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for results and report.")],
    condition: Annotated[
        list[str] | None,
        typer.Option(help="raw, or a backbone; repeat. Without any: raw and embedded."),
    ] = None,
    arm: Annotated[list[str] | None, typer.Option(hidden=True)] = None,  # its former name
    suite: Annotated[
        str, typer.Option(help="all, or groups such as lighting,texture, by commas.")
    ] = "all",
    severity: Annotated[
        list[int] | None, typer.Option(help="1 to 5; repeat for several. Without any: 4.")
    ] = None,
    episodes: Annotated[int, typer.Option(help="In each cell, for each condition.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the episodes.")] = 0,
    split: Annotated[
        Literal["dev", "test"], typer.Option(help="test to report, dev to choose settings.")
    ] = "test",
    num_envs: Annotated[int, typer.Option(help="Processes that simulate.")] = 2,
    env_kwargs: Annotated[
        str, typer.Option(help="Arguments of the env, as JSON: '{\"size\": 84}'.")
    ] = "{}",
    success_return: Annotated[
        float | None, typer.Option(help="Return that is a success, if the env tells none.")
    ] = None,
    model: Model = "ddpm",
    num_steps: NumSteps = 50,
    inversion_steps: InversionSteps = 5,
    noise: Noise = "frame",
    depends: Annotated[
        list[Path] | None,
        typer.Option(
            help="File or folder that decides what policies do, beside their code; repeat."
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="Where the backbones run.")] = None,
) -> None:
    """Compare how much success policies keep under visual change; run it again to go on."""
    from stemob_wrappers import evaluation
    from stemob_wrappers.config import StemConfig
    from stemob_wrappers.evaluation.policies import cross
    from stemob_wrappers.report.page import write_report

    config = StemConfig(
        method=model,
        num_steps=num_steps,
        inversion_steps=inversion_steps,
        noise=noise,
    )
    results = evaluation.evaluate(
        cross(policy, [*(condition or []), *(arm or [])] or ["raw", "embedded"], config),
        env,
        suite=suite.split(","),
        severities=severity or [4],
        episodes=episodes,
        seed=seed,
        split=split,
        num_envs=num_envs,
        env_kwargs=_json_object("--env-kwargs", env_kwargs),
        success_return=success_return,
        out=out,
        depends=depends or (),
        device=device,
        progress=True,
    )
    typer.echo(write_report(results.content, results.folder))


def _json_object(option: str, text: str) -> dict[str, Any]:
    import json

    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise typer.BadParameter(f"{option} must be a JSON object, received {text!r}")
    return value


cache_app = typer.Typer(help="Look after a frame cache on disk.", no_args_is_help=True)
app.add_typer(cache_app, name="cache")
CachePath = Annotated[
    Path | None,
    typer.Option("--path", help="Its folder; STEMOB_CACHE or the platform's if left out."),
]


@cache_app.command()
def stats(path: CachePath = None) -> None:
    """Say what the cache holds."""
    from stemob_wrappers.cache import open_disk

    disk = open_disk(path)
    held = disk.stats()
    typer.echo(
        f"{disk.path}: {held.entries} frames, {held.bytes_used / 2**20:.1f} MiB, "
        f"{held.temporaries} temporary files, longest unread for {held.oldest_seconds / 3600:.1f} h"
    )


@cache_app.command("verify")
def verify_cache(
    path: CachePath = None,
    remove: Annotated[bool, typer.Option(help="Delete what is unsound.")] = False,
) -> None:
    """Read every frame and name the files that are torn or foreign."""
    from stemob_wrappers.cache import open_disk

    sound, unsound = open_disk(path).verify(remove=remove)
    for file in unsound:
        typer.echo(f"{'removed' if remove else 'unsound'}: {file}")
    typer.echo(f"{sound} sound, {len(unsound)} unsound")
    if unsound and not remove:
        raise typer.Exit(1)


@cache_app.command()
def prune(
    size: Annotated[int, typer.Option("--bytes", min=0, help="Disk space to keep to.")],
    path: CachePath = None,
) -> None:
    """Remove the longest unread frames beyond a number of bytes."""
    from stemob_wrappers.cache import open_disk

    typer.echo(f"{open_disk(path).prune(size)} frames removed")


@cache_app.command()
def clear(path: CachePath = None) -> None:
    """Remove every frame."""
    from stemob_wrappers.cache import open_disk

    typer.echo(f"{open_disk(path).clear()} frames removed")


def main() -> None:
    """Run the command line; an expected error is one line, not a traceback."""
    import sys

    from gymnasium.error import Error as GymnasiumError

    from stemob_wrappers.scene.gl import GLError

    try:
        app()
    except (ValueError, OSError, ImportError, GLError, GymnasiumError) as error:
        notes = getattr(error, "__notes__", [])
        typer.echo("\n".join([f"stemob: {error}", *notes]), err=True)
        sys.exit(1)
