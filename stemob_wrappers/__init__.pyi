from . import datasets, evaluation, perturb, vector
from .backbones import load_backbone
from .cache import FrameCache
from .config import StemConfig
from .envs.wrapping import wrap_robosuite
from .stem.pipeline import StemPipeline
from .wrappers.observation import StemObservation
from .wrappers.rendering import RenderObservation, make

__version__: str

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
    "wrap_robosuite",
]
