"""A page of labelled pictures and one table, for perturbations and for a study of levels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stemob_wrappers.report.render import data_url, write_page


class Picture(NamedTuple):
    """A picture of a sheet.

    Attributes:
        heading: above it.
        legend: what its rows and columns are.
        alt: what it shows, for those who cannot see it.
        path: PNG file.
    """

    heading: str
    legend: str
    alt: str
    path: Path


def write_sheet(
    path: Path,
    *,
    title: str,
    summary: str,
    pictures: Sequence[Picture],
    heading: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    flags: Sequence[str] = (),
    note: str = "",
) -> Path:
    """Write the page and return its path.

    Args:
        path: of the file.
        title, summary: of the page.
        pictures: in order.
        heading, columns, rows, note: of the table; the first column names the row.
        flags: what a reader must not miss.

    Example:
        >>> table = {"heading": "Rows", "columns": ["row", "cm"], "rows": [["raw", "5.2"]]}
        >>> write_sheet(Path("a.html"), title="a", summary="b", pictures=[], **table)
        PosixPath('a.html')
    """
    shown = [
        {**each._asdict(), "source": data_url(each.path.read_bytes(), "image/png")}
        for each in pictures
    ]
    return write_page(
        path,
        "sheet.html.j2",
        title=title,
        summary=summary,
        pictures=shown,
        heading=heading,
        columns=columns,
        rows=rows,
        flags=flags,
        note=note,
    )
