"""``stemob cache stats``, ``verify``, ``prune`` and ``clear``: look after a frame cache on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from stemob_wrappers.extras import needs

with needs("cli"):
    import typer


cache_app = typer.Typer(help="Look after a frame cache on disk.", no_args_is_help=True)
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


@cache_app.command()
def verify(
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
