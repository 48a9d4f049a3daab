"""Changes of appearance for MuJoCo scenes and for pixels; nothing here is loaded before use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stemob_wrappers.perturb import suites
    from stemob_wrappers.perturb.pixels import PixelPerturbation, VectorPixelPerturbation
    from stemob_wrappers.perturb.scene import ScenePerturbation

__all__ = ["PixelPerturbation", "ScenePerturbation", "VectorPixelPerturbation", "suites"]

_HOMES = {
    "PixelPerturbation": "pixels",
    "ScenePerturbation": "scene",
    "VectorPixelPerturbation": "pixels",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562): scenes need MuJoCo, pixels do not."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOMES.get(name, name)}")
    value = getattr(module, name) if name in _HOMES else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
