from .evaluate import evaluate
from .policies import Condition, load_policy
from .results import Record, Results

__all__ = [
    "Condition",
    "Record",
    "Results",
    "evaluate",
    "load_policy",
]
