"""Pages for people: pairing of episodes, statistics, plots, HTML."""

import importlib

from stemob_wrappers.extras import needs

PACKAGES = ("jinja2", "matplotlib", "scipy")


def check_installed() -> None:
    """Import what reports need, so that nothing fails at the last plot after hours.

    Raises:
        ImportError: a package is missing; the message says how to install it.

    Example:
        >>> check_installed()
    """
    for package in PACKAGES:
        with needs("report", "a report"):
            importlib.import_module(package)
