"""Check a converted data set against its source."""

from __future__ import annotations

import os
from pathlib import Path

from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets.formats import comparison_of, reader_of
from stemob_wrappers.datasets.stems import Stems
from stemob_wrappers.made_by import read_provenance


def verify_dataset(
    source: str | os.PathLike[str], target: str | os.PathLike[str], *, device: str | None = None
) -> list[str]:
    """Return what is wrong with a converted data set; an empty list if nothing is.

    Counts, names, types and shapes are compared, all that is no image bit for bit (in HDF5 also
    attributes, links and storage), and a sample of frames is computed again from the source.

    Args:
        source: the file or folder that was converted.
        target: the result of ``invert_dataset``.
        device: where the backbone runs.

    Raises:
        FileNotFoundError: no such source or target.
        ValueError: the target was not written by ``invert_dataset``.

    Example:
        >>> import numpy as np
        >>> from stemob_wrappers.datasets import invert_dataset
        >>> from stemob_wrappers.pictures import write_image
        >>> write_image(Path("frames/0.png"), np.zeros((32, 32, 3), np.uint8))
        >>> _ = invert_dataset("frames", "stem")
        >>> verify_dataset("frames", "stem")
        []
    """
    source, target = Path(source), Path(target)
    if not source.exists():
        raise FileNotFoundError(f"no data set at {source}")
    made_by = read_provenance(target)
    stems = Stems(
        StemConfig.from_dict(made_by["config"]),
        draws=made_by["draws"],
        cache=False,
        device=device,
        dtype=made_by["dtype"],
    )
    problems = []
    if stems.pipelines[0].fingerprint != made_by["fingerprint"]:
        problems.append(
            f"fingerprint {made_by['fingerprint']} in the data set, but its config gives "
            f"{stems.pipelines[0].fingerprint} here: the weights are others"
        )
    compare = comparison_of(source, made_by)
    return problems + compare(reader_of(source, made_by), target, made_by, stems)
