"""What was found in demonstrations as one HTML file, stored frames beside new renders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.doctor.examine import Comparison, Examination
from stemob_wrappers.pictures import encode_image
from stemob_wrappers.report.render import data_url, write_page

COLUMNS = (
    "stored",
    "what the policy will see",
    "difference, times 4",
    "the same with the faults found",
    "difference, times 4",
)


def write_sheet(found: Examination, path: Path) -> Path:
    """Write the page of an examination and return its path.

    Example:
        >>> page = write_sheet(Examination(Path("demo.hdf5")), Path("doctor.html"))
        >>> "nothing is wrong" in page.read_text()
        True
    """
    return write_page(
        path,
        "doctor.html.j2",
        title=f"{found.path.name}, its states rendered again",
        verdict=verdict(found),
        findings=found.findings,
        images=[_image(comparison) for comparison in found.comparisons],
        columns=COLUMNS,
        facts=found.facts,
    )


def verdict(found: Examination) -> str:
    """One line on what was found.

    Example:
        >>> verdict(Examination(Path("demo.hdf5")))
        'nothing is wrong: the states look as they are stored'
    """
    if not found.findings:
        return "nothing is wrong: the states look as they are stored"
    return "found: " + ", ".join(dict.fromkeys(finding.fault for finding in found.findings))


def _image(comparison: Comparison) -> dict[str, Any]:
    return {
        "key": comparison.key,
        "apart": f"{comparison.apart:.1f}",
        "rows": [
            (label, list(_pictures(stored, seen, mended)))
            for label, stored, seen, mended in comparison.rows
        ],
    }


def _pictures(
    stored: NDArray[np.uint8], seen: NDArray[np.uint8], mended: NDArray[np.uint8]
) -> Iterator[str]:
    for frame in (stored, seen, _difference(stored, seen), mended, _difference(stored, mended)):
        yield data_url(encode_image(frame), "image/png")


def _difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.minimum(4 * np.abs(one.astype(int) - other), 255).astype(np.uint8)
