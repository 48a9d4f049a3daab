"""The pieces that a self-contained HTML page is put together from."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape

Interval = Mapping[str, float]
"""The ends "low" and "high" of an interval, as rates or differences of rates."""

# Should a mistake ever put an address into the page, the browser refuses to load it.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

_STYLE = """
body { font: 15px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif;
  color: #1c2530; background: #fff; margin: 0 auto; padding: 40px 32px 80px; max-width: 1180px; }
h1 { font-size: 29px; line-height: 1.2; letter-spacing: -.015em; margin: 0 0 4px; }
h2 { font-size: 20px; margin: 52px 0 10px; padding-top: 14px; border-top: 1px solid #dfe4ea; }
h3 { font-size: 15px; margin: 26px 0 8px; }
p { margin: 8px 0; max-width: 82ch; }
.sub, .note, small { color: #5d6b7a; }
.note { font-size: 13px; }
.headline { font-size: 18px; margin: 22px 0 6px; padding: 14px 20px; background: #f2f6fb;
  border-left: 4px solid #2660a4; max-width: none; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 10px 0; }
th { font-size: 12.5px; font-weight: 600; color: #44515f; vertical-align: bottom; }
th, td { padding: 6px 11px; text-align: right; border-bottom: 1px solid #e6eaef;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 2px; }
td:first-child { font-weight: 600; }
thead th { border-bottom: 2px solid #aab4c0; }
td small { display: block; font-size: 11.5px; line-height: 1.25; font-weight: 400; }
td.best { font-weight: 700; }
td.up { color: #10703c; font-weight: 600; }
td.down { color: #b3261e; font-weight: 600; }
table.plain td { text-align: left; font-weight: 400; vertical-align: top; }
table.plain td.code { white-space: normal; overflow-wrap: anywhere; }
table.plain th { text-align: left; }
table.plain td:first-child { color: #44515f; white-space: nowrap; padding-right: 24px; }
table.strip td { padding: 3px 4px; border: 0; text-align: center; }
table.strip th { padding: 2px 4px 4px; text-align: center; border: 0; font-weight: 500; }
table.strip td:first-child { padding-right: 14px; text-align: left; }
table.strip img { width: 126px; image-rendering: pixelated; border-radius: 3px; display: block; }
table.figures { width: 100%; }
img.plot { max-width: 100%; display: block; margin: 22px 0 8px; }
code { font: 12.5px/1.5 ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace; }
"""


def page(title: str, sections: Iterable[str]) -> str:
    """A whole page that loads nothing.

    Example:
        >>> page("Results", ["<p>None yet.</p>"]).startswith("<!doctype html>")
        True
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(sections)
        + "\n</body>\n</html>\n"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table.

    Args:
        head: a text for each column; none for a table without a head.
        rows: of cells as :func:`cell` makes them.
        kind: class of the table in the style sheet.

    Example:
        >>> "<td>0.5</td>" in table(["rate"], [[cell("0.5")]])
        True
    """
    titles = "".join(f"<th>{escape(text)}</th>" for text in head)
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    thead = f"<thead><tr>{titles}</tr></thead>\n" if head else ""
    return (
        f'<div class="wide"><table class="{kind}">\n{thead}<tbody>\n{body}\n</tbody></table></div>'
    )


def cell(text: str, below: str = "", *, kind: str = "", shade: float = 0.0) -> str:
    """A cell of a table, with a smaller text below and a shade from 0 (none) to 1.

    Example:
        >>> cell("90.0", "70–97", kind="best")
        '<td class="best">90.0<small>70–97</small></td>'
    """
    classes = f' class="{kind}"' if kind else ""
    style = f' style="background: rgba(38, 96, 164, {0.3 * shade:.3f})"' if shade else ""
    small = f"<small>{escape(below)}</small>" if below else ""
    return f"<td{classes}{style}>{escape(text)}{small}</td>"


def image(content: bytes, mime: str, alternative: str, kind: str = "") -> str:
    """A picture inside the page.

    Example:
        >>> image(b"", "image/png", "nothing")
        '<img class="" alt="nothing" src="data:image/png;base64,">'
    """
    data = base64.b64encode(content).decode()
    return f'<img class="{kind}" alt="{escape(alternative)}" src="data:{mime};base64,{data}">'


def percent(value: float) -> str:
    """A rate as percent with one decimal.

    Example:
        >>> percent(0.625)
        '62.5'
    """
    return f"{100 * value:.1f}"


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
