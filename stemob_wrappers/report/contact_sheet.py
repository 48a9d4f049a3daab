"""A data set's frames before and after, side by side on one page."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.extras import needs

with needs("report"):
    import cv2

from stemob_wrappers.report.render import data_url, write_page


def write_contact_sheet(
    path: Path,
    pairs: Iterable[tuple[str, NDArray[np.uint8], NDArray[np.uint8]]],
    *,
    title: str,
    made_by: dict[str, Any],
) -> Path:
    """Write a page of (label, frame before, frame after), uint8 [H, W, 3], and return its path.

    Example:
        >>> black = np.zeros((8, 8, 3), np.uint8)
        >>> write_contact_sheet(Path("a.html"), [("demo_0", black, black)], title="a", made_by={})
        PosixPath('a.html')
    """
    return write_page(
        path,
        "contact_sheet.html.j2",
        title=title,
        pairs=[(label, _as_url(before), _as_url(after)) for label, before, after in pairs],
        made_by=json.dumps(made_by, indent=2),
    )


def _as_url(frame: NDArray[np.uint8]) -> str:
    _, encoded = cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return data_url(encoded.tobytes(), "image/png")
