"""``stemob explore``: a page in the browser, or the one stem frame that it shows."""

from __future__ import annotations

import contextlib
import importlib.util
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from stemob_wrappers.extras import needs

with needs("cli"):
    import typer

from stemob_wrappers.cli.options import stem_options
from stemob_wrappers.config import StemConfig

if TYPE_CHECKING:
    from stemob_wrappers.explore.shown import Shown
    from stemob_wrappers.explore.studio import Studio

DEFAULT_ENVS = ("stemob/Lift-v0", "HalfCheetah-v5")  # the first whose simulator is installed
LOCAL = "127.0.0.1"


@stem_options(seed="--noise-seed")
def explore(
    config: StemConfig,
    env: Annotated[
        list[str] | None, typer.Option(help="Env that may be shown; repeat for several.")
    ] = None,
    size: Annotated[
        int, typer.Option(min=8, help="Height and width of its frames, in pixels.")
    ] = 84,
    camera: Annotated[
        str | None, typer.Option(help="Its camera; the env's own if left out.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of its reset and actions.")] = 0,
    steps: Annotated[int, typer.Option(min=0, help="Random actions since the reset.")] = 0,
    data: Annotated[
        Path | None, typer.Option(help="Data set whose demos may be shown: HDF5, LeRobot, ….")
    ] = None,
    demo: Annotated[
        str | None, typer.Option(help="Episode and camera in it; the first if left out.")
    ] = None,
    frame: Annotated[int, typer.Option(min=0, help="Which frame of that.")] = 0,
    picture: Annotated[Path | None, typer.Option(help="Picture to begin with.")] = None,
    change: Annotated[
        str | None, typer.Option(help="A second look: light_colour, table_texture, gamma, ….")
    ] = None,
    severity: Annotated[int, typer.Option(min=1, max=5, help="Of the change.")] = 3,
    draw: Annotated[int, typer.Option(min=0, max=999_999, help="Which of its draws.")] = 0,
    save: Annotated[
        Path | None, typer.Option(help="Write the stem frame to this file, and open no page.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at; any but this lets other computers in.")
    ] = LOCAL,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port; the first free one from 7860.")
    ] = None,
) -> None:
    """Show frames as stem frames in the browser while settings move: env, picture or data set.

    The page is served on this machine alone, sends nothing anywhere and needs no network.
    """
    from stemob_wrappers.explore.shown import Change, EnvFrame, Picture, RecordedFrame, Shown
    from stemob_wrappers.explore.studio import Studio

    ids = env if env or data or picture else _first_installed()
    envs = tuple(EnvFrame(name, size, camera, seed, steps) for name in ids or ())
    with Studio(envs, data) as studio:
        source: EnvFrame | Picture | RecordedFrame | None = envs[0] if envs else None
        if picture is not None:
            source = studio.open_picture(picture)
        elif studio.recordings is not None and not envs:
            track = demo or next(iter(studio.recordings.tracks))
            source = RecordedFrame(studio.recordings.path, track, frame)
        look = None if change is None else Change(change, severity, draw)
        shown = None if source is None else Shown(source, look, config)
        if shown is not None:
            _check(studio, shown)
        if save is not None:
            _save(studio, shown, save)
        else:
            _open(studio, shown, config, host, port)


def _first_installed() -> list[str]:
    """The env that is shown if none is named."""
    for name, package in zip(DEFAULT_ENVS, ("robosuite", "mujoco"), strict=True):
        if importlib.util.find_spec(package) is not None:
            return [name]
    return []


def _check(studio: Studio, shown: Shown) -> None:
    from stemob_wrappers.perturb.names import nearest

    possible = studio.factors(shown.source)
    if shown.change is not None and shown.change.factor not in possible:
        factor = shown.change.factor
        raise typer.BadParameter(f"--change {factor} cannot be shown; {nearest(factor, possible)}")
    studio.see(shown)


def _save(studio: Studio, shown: Shown | None, path: Path) -> None:
    from stemob_wrappers.pictures import write_image

    if shown is None:
        raise typer.BadParameter("name what to save: --env, --data or --picture")
    write_image(path, studio.see(shown).looks[-1].stem)
    typer.echo(path)


def _open(
    studio: Studio, shown: Shown | None, config: StemConfig, host: str, port: int | None
) -> None:
    from stemob_wrappers.explore.blocks import build_page
    from stemob_wrappers.explore.serve import serve

    page = build_page(studio, shown, config)
    typer.echo(f"{serve(page, host, port)} (stop with Ctrl+C)")
    if host != LOCAL:
        typer.echo(
            f"Listening at {host}: whoever reaches this machine over the network can open the page "
            "and see what it shows. There is no password, and nothing is encrypted."
        )
    with contextlib.closing(page), contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
