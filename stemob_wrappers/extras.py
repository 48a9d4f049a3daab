"""Optional packages: a missing one is named together with the line that installs it."""

import contextlib
import importlib
import importlib.util
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def needs(extra: str, purpose: str = "this") -> Iterator[None]:
    """Import optional packages in the block; a missing one names the extra that brings it.

    Args:
        extra: an optional dependency in pyproject.toml, such as ``"datasets"``.
        purpose: what needs the package, as the error says it.

    Raises:
        ModuleNotFoundError: a package is missing. What goes wrong inside one that is installed is
            raised as it is.

    Example:
        >>> with needs("datasets", "reading a HDF5 file"):
        ...     import no_such_package
        Traceback (most recent call last):
        ModuleNotFoundError: reading a HDF5 file needs no_such_package, which is not installed: pip
        install 'stemob_wrappers[datasets]'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if " needs " in str(error) or error.name is None:  # said already, by what it imports
            raise
        package = error.name.partition(".")[0]
        raise ModuleNotFoundError(
            f"{purpose} needs {package}, which is not installed: "
            f"pip install 'stemob_wrappers[{extra}]'",
            name=package,
        ) from error


class OnUse:
    """A package that is imported when something of it is first asked for.

    Example:
        >>> OnUse("json", "datasets").loads("[1]")
        [1]
    """

    def __init__(self, package: str, extra: str) -> None:
        self._package, self._extra = package, extra

    def __getattr__(self, name: str) -> Any:
        with needs(self._extra):
            return getattr(importlib.import_module(self._package), name)


def find_installed(package: str) -> None:
    """Look for a package without importing it.

    Raises:
        ModuleNotFoundError: it is not installed.

    Example:
        >>> find_installed("numpy")
    """
    if importlib.util.find_spec(package) is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
