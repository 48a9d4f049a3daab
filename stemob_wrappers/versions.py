"""Which packages made a result, for the files that say where it comes from."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("stemob_wrappers", "torch", "diffusers", "numpy", "gymnasium", "mujoco", "robosuite")


def installed_versions() -> dict[str, str]:
    """Versions of this package and of those that its results depend on, by name.

    Example:
        >>> "torch" in installed_versions()
        True
    """
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue  # an extra that is not installed took no part
    return found
