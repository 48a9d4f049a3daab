"""Stem-like observations for robot learning: partial diffusion inversion as a Gymnasium wrapper.

Importing this package registers the ``stemob/…`` environments and loads neither torch nor
robosuite; public names are imported at first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stemob_wrappers import envs

__version__ = "0.1.0"

if TYPE_CHECKING:
    from stemob_wrappers.backbones import load_backbone
    from stemob_wrappers.cache import FrameCache
    from stemob_wrappers.config import StemConfig
    from stemob_wrappers.pipeline import StemPipeline
    from stemob_wrappers.wrappers.observation import StemObservation
    from stemob_wrappers.wrappers.rendering import RenderObservation, make

__all__ = [
    "FrameCache",
    "RenderObservation",
    "StemConfig",
    "StemObservation",
    "StemPipeline",
    "load_backbone",
    "make",
]

_HOMES = {
    "FrameCache": "cache",
    "RenderObservation": "wrappers.rendering",
    "StemConfig": "config",
    "StemObservation": "wrappers.observation",
    "StemPipeline": "pipeline",
    "load_backbone": "backbones",
    "make": "wrappers.rendering",
}

envs.register()


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562): torch takes seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
