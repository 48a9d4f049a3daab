"""An HTML page of frames before and after, in one file."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_STYLE = (
    "body{font:14px sans-serif;margin:2em}figure{display:inline-block;margin:0 1em 1em 0}"
    "img{width:168px;image-rendering:pixelated;margin-right:4px}figcaption{color:#555}"
    "pre{background:#f4f4f4;padding:1em;overflow:auto}"
)


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
        >>> write_contact_sheet(
        ...     Path("sheet.html"), [("demo_0", black, black)], title="a", made_by={}
        ... ) # doctest: +SKIP
    """
    figures = [
        f'<figure><img src="{_as_url(before)}" alt="before"><img src="{_as_url(after)}" '
        f'alt="after"><figcaption>{html.escape(label)}</figcaption></figure>'
        for label, before, after in pairs
    ]
    path.write_text(
        f"<!doctype html><meta charset='utf-8'><title>{html.escape(title)}</title>"
        f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>\n"
        + "\n".join(figures)
        + f"\n<pre>{html.escape(json.dumps(made_by, indent=2))}</pre>\n",
        encoding="utf-8",
    )
    return path


def _as_url(frame: NDArray[np.uint8]) -> str:
    _, encoded = cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return "data:image/png;base64," + base64.b64encode(encoded.tobytes()).decode()
