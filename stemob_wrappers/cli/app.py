"""The command line, ``stemob …``: its commands, and errors as one line."""

from __future__ import annotations

import sys
from typing import Any

from stemob_wrappers.extras import needs

with needs("cli"):
    import typer

from stemob_wrappers.cli.caching import cache_app
from stemob_wrappers.cli.doctoring import doctor
from stemob_wrappers.cli.inverting import invert, invert_dataset, merge_shards
from stemob_wrappers.cli.making import train_backbone
from stemob_wrappers.cli.measuring import bench, evaluate, levels
from stemob_wrappers.cli.showing import demo, perturb, visualize

app = typer.Typer(
    name="stemob",
    help="Stem-like observations for robot learning.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    invert,
    demo,
    train_backbone,
    perturb,
    invert_dataset,
    merge_shards,
    visualize,
    doctor,
    levels,
    evaluate,
    bench,
):
    app.command()(command)
app.add_typer(cache_app, name="cache")

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
    except (ValueError, OSError, ImportError, GLError, GymnasiumError) as error:
        message = "\n".join([str(error), *getattr(error, "__notes__", [])])
    except (typer.Abort, KeyboardInterrupt):
        message = "stopped"
    typer.echo(f"stemob: {' '.join(message.split())}", err=True)
    sys.exit(2)
