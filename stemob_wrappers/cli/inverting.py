"""``stemob invert``, ``invert-dataset`` and ``merge-shards``: frames into stem frames."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from stemob_wrappers.extras import needs

with needs("cli"):
    import typer

from stemob_wrappers.cli.options import Device, Overwrite, stem_options
from stemob_wrappers.config import StemConfig


@stem_options()
def invert(
    config: StemConfig,
    source: Annotated[Path | None, typer.Argument(help="Image, folder of images, video.")] = None,
    target: Annotated[Path | None, typer.Argument(help="Where the result goes.")] = None,
    img_path: Annotated[Path | None, typer.Option("--img_path", help="Same as SOURCE.")] = None,
    output_path: Annotated[
        Path | None, typer.Option("--output_path", help="Same as TARGET.")
    ] = None,
    grid: Annotated[
        bool, typer.Option(help="Write several levels of an image side by side.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Turn an image, a folder of images or a video into stem frames."""
    from stemob_wrappers.cli.invert import invert_files

    source, target = source or img_path, target or output_path
    if source is None or target is None:
        raise typer.BadParameter("name what to read and where to write: stemob invert IN OUT")
    invert_files(source, target, config, grid=grid, overwrite=overwrite)


@stem_options()
def invert_dataset(
    config: StemConfig,
    source: Annotated[
        Path | None, typer.Argument(help="HDF5 file, LeRobot, Minari or image folder, video.")
    ] = None,
    target: Annotated[Path | None, typer.Argument(help="Where the result goes.")] = None,
    original_file: Annotated[
        Path | None, typer.Option("--original_file", help="Same as SOURCE.")
    ] = None,
    new_file: Annotated[Path | None, typer.Option("--new_file", help="Same as TARGET.")] = None,
    keys: Annotated[
        str | None,
        typer.Option("--keys", "--obs_key", help="Names of images, with commas; all if left out."),
    ] = None,
    filter_key: Annotated[str | None, typer.Option(help="Mask that lists the demos.")] = None,
    num_trajs: Annotated[
        int | None,
        typer.Option("--num_trajs", "--num-trajs", min=1, help="Only the first N demos."),
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--batch_size", "--batch-size", min=1, help="Frames in one batch.")
    ] = 64,
    draws: Annotated[int, typer.Option(min=1, help="Noise draws a frame, as extra demos.")] = 1,
    to: Annotated[
        str | None, typer.Option(help="lerobot: write a LeRobot data set of an HDF5 file.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes, or actors on Ray; one, or all it has.")
    ] = None,
    engine: Annotated[
        str, typer.Option(help="local, ray or ray=ADDRESS; the result is the same.")
    ] = "local",
    shard_index: Annotated[int, typer.Option(min=0, help="Which shard this run makes.")] = 0,
    num_shards: Annotated[int, typer.Option(min=1, help="Shards, for merge-shards.")] = 1,
    cache: Annotated[Path | None, typer.Option(help="Folder of a frame cache.")] = None,
    device: Device = None,
    dtype: Annotated[str, typer.Option(help="Floating type that it runs in.")] = "float32",
    allow_short: Annotated[
        bool, typer.Option(help="Keep what can be read of a damaged video, and list it.")
    ] = False,
    max_pixels: Annotated[
        int | None, typer.Option(min=1, help="Fail pictures that declare more; 2^25 if left out.")
    ] = None,
    overwrite: Overwrite = False,
    verify: Annotated[
        bool, typer.Option(help="Check the result against the source; only that if it is there.")
    ] = False,
) -> None:
    """Write a copy of a data set whose camera frames are stem frames; run it again to go on."""
    from stemob_wrappers import datasets

    if to not in (None, "lerobot"):
        raise typer.BadParameter(f"--to must be lerobot, received {to!r}")
    source, target = source or original_file, target or new_file
    if source is None or target is None:
        raise typer.BadParameter("name what to read and where to write: invert-dataset SRC DST")
    failed: list[str] = []
    if overwrite or not (verify and target.exists()):
        summary = datasets.invert_dataset(
            source,
            target,
            config,
            keys=None if keys is None else keys.split(","),
            filter_key=filter_key,
            num_trajs=num_trajs,
            to=None if to is None else "lerobot",
            draws=draws,
            batch_size=batch_size,
            workers=workers,
            engine=engine,
            shard=None if num_shards == 1 else (shard_index, num_shards),
            overwrite=overwrite,
            cache=cache,
            device=device,
            dtype=dtype,
            allow_short=allow_short,
            max_pixels=max_pixels,
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


def merge_shards(
    target: Annotated[Path, typer.Argument(help="Where the whole data set goes.")],
    shards: Annotated[list[Path], typer.Argument(help="Every shard, in any order.")],
    overwrite: Overwrite = False,
) -> None:
    """Put the shards of a converted data set together; HDF5 only."""
    from stemob_wrappers import datasets

    missing = datasets.merge_shards(target, shards, overwrite=overwrite)
    typer.echo(f"{target}: {len(shards)} shards merged")
    if missing:
        typer.echo(f"not in any shard: {', '.join(missing)}")
        raise typer.Exit(1)
