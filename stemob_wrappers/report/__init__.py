"""Pages for people: pairing of episodes, statistics, plots, HTML."""

import importlib

PACKAGES = ("jinja2", "matplotlib", "scipy")


def check_installed() -> None:
    """Import what reports need, so that nothing fails at the last plot after hours.

    Raises:
        ImportError: a package is missing; the message says how to install it.

    Example:
        >>> check_installed()
    """
    for package in PACKAGES:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ImportError(
                f"reports need {package} ({error}): pip install 'stemob_wrappers[report]'"
            ) from error
