"""Fill the template of a page: figures as text, pictures inside the page, names escaped."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stemob_wrappers.extras import needs

with needs("report"):
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stemob_wrappers.work import whole_file

Interval = Mapping[str, float]
"""The ends "low" and "high" of an interval, as rates or differences of rates."""


def write_page(path: Path, template: str, **values: Any) -> Path:
    """Write a page that loads nothing from anywhere; return its path.

    Args:
        path: of the file; it appears whole or not at all.
        template: file name of a Jinja2 template of this folder.
        values: what the template names. Texts among them are escaped.

    Raises:
        jinja2.UndefinedError: the template names what ``values`` lacks.

    Example:
        >>> sheet = {"title": "a < b", "pairs": [], "made_by": "{}"}
        >>> page = write_page(Path("sheet.html"), "contact_sheet.html.j2", **sheet)
        >>> "<h1>a &lt; b</h1>" in page.read_text()
        True
    """
    text = _templates().get_template(template).render(values)
    with whole_file(path) as temporary:
        # A name that came from the command line may hold bytes that are no text.
        temporary.write_text(text, encoding="utf-8", errors="xmlcharrefreplace")
    return path


def data_url(content: bytes, mime: str) -> str:
    """A picture as the source of an ``img``.

    Example:
        >>> data_url(b"abc", "image/png")
        'data:image/png;base64,YWJj'
    """
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def percent(value: float) -> str:
    """A rate as percent with one decimal.

    Example:
        >>> percent(0.625)
        '62.5'
    """
    return f"{100 * value:.1f}".replace("-", "−")


def points(value: float) -> str:
    """A difference of rates in points, with its sign.

    Example:
        >>> points(-0.2), points(0.0)
        ('−20.0', '+0.0')
    """
    return f"{100 * value:+.1f}".replace("-", "−").replace("−0.0", "+0.0")


def span(interval: Interval) -> str:
    """The ends of the interval of a rate, in whole percent.

    Example:
        >>> span({"low": 0.514, "high": 0.8})
        '51–80'
    """
    return f"{100 * interval['low']:.0f}–{100 * interval['high']:.0f}"


def span_of_points(interval: Interval, sign: str = "+") -> str:
    """The ends of the interval of a difference, in points; none is rounded to 0.

    Args:
        interval: of a difference of rates.
        sign: "+" to write the sign of positive ends too, "-" not to.

    Example:
        >>> span_of_points({"low": -0.1, "high": 0.3}), span_of_points({"low": 0.002, "high": 0.2})
        ('−10 to +30', '+0.2 to +20')
    """
    ends = [100 * interval[end] for end in ("low", "high")]
    low, high = (f"{end:{sign}.{int(0 < abs(end) < 0.5)}f}".replace("-", "−") for end in ends)
    return f"{low} to {high}"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds.

    Example:
        >>> duration(3750)
        '1 h 2 min 30 s'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours} h"] * (hours > 0) + [f"{minutes} min"] * (hours + minutes > 0)
    return " ".join([*parts, f"{rest} s"])


def _templates() -> Environment:
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= {each.__name__: each for each in (percent, points, span, span_of_points)}
    return found
