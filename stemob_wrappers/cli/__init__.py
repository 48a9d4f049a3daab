"""The command line, ``stemob``: one file a group of commands."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    try:
        from stemob_wrappers.cli.app import main as run
    except ImportError as error:  # Typer is optional
        print(f"stemob: {error}", file=sys.stderr)
        sys.exit(2)
    run()
