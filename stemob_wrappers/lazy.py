"""Public names that are imported at first use, and what went wrong if they cannot be."""

from collections.abc import Callable
from typing import Any

import lazy_loader


def attach(
    package: str, file: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` for a package, from the stub beside it.

    Args:
        package: the package's ``__name__``.
        file: its ``__file__``; the stub is the .pyi of the same name.

    Example:
        >>> import stemob_wrappers.perturb
        >>> get, names, _ = attach("stemob_wrappers.perturb", stemob_wrappers.perturb.__file__)
        >>> names()[0], get("suites").__name__
        ('PixelPerturbation', 'stemob_wrappers.perturb.suites')
    """
    load, names, public = lazy_loader.attach_stub(package, file)

    def get(name: str) -> Any:
        try:
            return load(name)
        except AttributeError as error:
            if name not in public:
                raise
            # Python takes an AttributeError for a name that is not there, and says no more.
            raise ImportError(f"{package}.{name} cannot be imported: {error}") from error

    return get, names, public
