"""The command line, ``stemob …``: its commands, and errors as one line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Annotated, Any

from stemob_wrappers.extras import needs

with needs("cli"):
    import typer
    from rich.logging import RichHandler

from stemob_wrappers import __version__
from stemob_wrappers.cli.caching import cache_app
from stemob_wrappers.cli.config_file import with_config_file
from stemob_wrappers.cli.doctoring import doctor
from stemob_wrappers.cli.exploring import explore
from stemob_wrappers.cli.inverting import invert, invert_dataset, merge_shards
from stemob_wrappers.cli.making import train_backbone
from stemob_wrappers.cli.measuring import bench, evaluate, levels, report
from stemob_wrappers.cli.showing import demo, perturb, visualize

app = typer.Typer(
    name="stemob",
    help="Stem-like observations for robot learning.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# By the job that people come with: the command, and how it is called.
PANELS: dict[str, dict[Callable[..., None], str]] = {
    "Look": {
        demo: "stemob demo",
        explore: "stemob explore --env stemob/Lift-v0",
        invert: "stemob invert photo.png stem.png --inversion-steps 5",
        perturb: "stemob perturb --env stemob/Lift-v0 --suite lighting --out sheet",
        visualize: "stemob visualize stem-demos.hdf5 frames --raw demos.hdf5",
    },
    "Convert": {
        invert_dataset: "stemob invert-dataset demos.hdf5 stem-demos.hdf5 --workers 2",
        merge_shards: "stemob merge-shards stem-demos.hdf5",
        doctor: "stemob doctor demos.hdf5 --out doctor.html",
    },
    "Choose and measure": {
        levels: "stemob levels --env stemob/Lift-v0 --out levels",
        evaluate: "stemob evaluate --env stemob/Lift-v0 --policy policy.py:load --out out",
        report: "stemob report out --reference augmented",
        bench: "stemob bench stemob/Lift-v0",
    },
    "Train": {train_backbone: "stemob train-backbone --env stemob/Lift-v0 --out my-backbone"},
}
for panel, commands in PANELS.items():
    for command, example in commands.items():
        app.command(rich_help_panel=panel, epilog=f"Example: {example}")(with_config_file(command))
app.add_typer(
    cache_app, name="cache", rich_help_panel="Convert", epilog="Example: stemob cache stats"
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stemob_wrappers {__version__}")
        raise typer.Exit


@app.callback()
def settings(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log what is done, and how long it takes.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log errors only.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version."
        ),
    ] = False,
) -> None:
    """Stem-like observations for robot learning."""
    level = logging.ERROR if quiet else logging.DEBUG if verbose else logging.WARNING
    logging.getLogger("stemob_wrappers").setLevel(level)
    logging.basicConfig(format="%(message)s", handlers=[RichHandler(show_path=False)])


# Typer brings click along, in a place that differs from version to version.
UsageError: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError")


def main() -> None:
    """Run the command line and exit.

    The code is 0 if all is well, 1 if something was found to be wrong, and 2 if the command could
    not do what it was told; then one line says why.
    """
    from gymnasium.error import Error as GymnasiumError

    from stemob_wrappers.scene.gl import GLError

    try:
        sys.exit(app(standalone_mode=False))
    except UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            sys.exit(2)
        message = error.format_message()
        if getattr(error, "option_name", None) in ("-v", "--verbose", "-q", "--quiet"):
            message += "; put it before the command, as in: stemob -v demo"
    except (ValueError, OSError, ImportError, GLError, GymnasiumError) as error:
        message = "\n".join([str(error), *getattr(error, "__notes__", [])])
    except (typer.Abort, KeyboardInterrupt):
        message = "stopped"
    typer.echo(f"stemob: {' '.join(message.split())}", err=True)
    sys.exit(2)
