"""Recorded frames through the same pipeline as live ones: one file per format, one runner.

Names are imported at first use: h5py is an optional dependency.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stemob_wrappers.lazy import lazy_names

if TYPE_CHECKING:
    from stemob_wrappers.datasets.parts import Summary
    from stemob_wrappers.datasets.provenance import read_provenance
    from stemob_wrappers.datasets.runner import invert_dataset
    from stemob_wrappers.datasets.shards import merge_shards
    from stemob_wrappers.datasets.torch_transform import StemTransform
    from stemob_wrappers.datasets.verify import verify_dataset

__all__ = [
    "StemTransform",
    "Summary",
    "invert_dataset",
    "merge_shards",
    "read_provenance",
    "verify_dataset",
]

_HOMES = {
    "StemTransform": "torch_transform",
    "Summary": "parts",
    "invert_dataset": "runner",
    "merge_shards": "shards",
    "read_provenance": "provenance",
    "verify_dataset": "verify",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
