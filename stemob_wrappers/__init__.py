"""Stem-like observations for robot learning: partial diffusion inversion as a Gymnasium wrapper.

Importing this package registers the ``stemob/…`` environments and loads neither torch nor
robosuite; public names are imported at first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stemob_wrappers import envs
from stemob_wrappers.lazy import lazy_names

__version__ = "0.1.0"

if TYPE_CHECKING:
    from stemob_wrappers import datasets, evaluation, perturb, vector
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
    "datasets",
    "evaluation",
    "load_backbone",
    "make",
    "perturb",
    "vector",
]

_HOMES = {
    "FrameCache": "cache",
    "RenderObservation": "wrappers.rendering",
    "StemConfig": "config",
    "StemObservation": "wrappers.observation",
    "StemPipeline": "pipeline",
    "datasets": "datasets",
    "evaluation": "evaluation",
    "load_backbone": "backbones",
    "make": "wrappers.rendering",
    "perturb": "perturb",
    "vector": "vector",
}

envs.register()


__getattr__, __dir__ = lazy_names(__name__, _HOMES)
