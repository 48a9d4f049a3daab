"""The command line, ``stemob``: one file a group of commands."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from stemob_wrappers.cli.app import main as run

    run()
