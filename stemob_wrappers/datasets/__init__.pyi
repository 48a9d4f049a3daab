from .invert import invert_dataset
from .parts import Summary
from .robomimic.shards import merge_shards
from .torch_transform import StemBatchTransform, StemTransform
from .verify import read_provenance, verify_dataset

__all__ = [
    "StemBatchTransform",
    "StemTransform",
    "Summary",
    "invert_dataset",
    "merge_shards",
    "read_provenance",
    "verify_dataset",
]
