"""Changes of appearance for MuJoCo scenes and for pixels; nothing here is loaded before use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stemob_wrappers.lazy import lazy_names

if TYPE_CHECKING:
    from stemob_wrappers.perturb import suites
    from stemob_wrappers.perturb.pixels import PixelPerturbation, VectorPixelPerturbation
    from stemob_wrappers.perturb.scene import ScenePerturbation

__all__ = ["PixelPerturbation", "ScenePerturbation", "VectorPixelPerturbation", "suites"]

_HOMES = {
    "PixelPerturbation": "pixels",
    "ScenePerturbation": "scene",
    "VectorPixelPerturbation": "pixels",
    "suites": "suites",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
