from .evaluate import evaluate
from .policies import Arm, load_policy
from .results import Record, Results

__all__ = [
    "Arm",
    "Record",
    "Results",
    "evaluate",
    "load_policy",
]
