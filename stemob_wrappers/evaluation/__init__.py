"""Success kept under visual change: roll policies out, count, compare, report.

Names are imported at first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stemob_wrappers.lazy import lazy_names

if TYPE_CHECKING:
    from stemob_wrappers.evaluation.arms import Arm, load_policy
    from stemob_wrappers.evaluation.comparison import evaluate
    from stemob_wrappers.evaluation.results import Record, Results

__all__ = ["Arm", "Record", "Results", "evaluate", "load_policy"]

_HOMES = {
    "Arm": "arms",
    "Record": "results",
    "Results": "results",
    "evaluate": "comparison",
    "load_policy": "arms",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
