"""``stemob`` as a user types it, in this process; ``from command_line import stemob``."""

import contextlib
import io
import sys
from dataclasses import dataclass
from unittest import mock

from stemob_wrappers.cli import main


@dataclass(frozen=True)
class Done:
    """What a command ended with."""

    returncode: int
    stdout: str
    stderr: str


def stemob(*arguments: object) -> Done:
    """Run a command; an exception that is no exit is a traceback to a user, and raised here."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["stemob", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
            code = 0
        except SystemExit as exit:
            code = int(exit.code or 0)
    return Done(code, out.getvalue(), err.getvalue())
