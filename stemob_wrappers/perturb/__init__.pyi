from . import suites
from .pixels import PixelPerturbation, VectorPixelPerturbation
from .scene import ScenePerturbation

__all__ = [
    "PixelPerturbation",
    "ScenePerturbation",
    "VectorPixelPerturbation",
    "suites",
]
