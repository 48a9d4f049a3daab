"""The pictures, figures and lines to copy as HTML; the page puts them beside the settings."""

from __future__ import annotations

import base64
from html import escape

from stemob_wrappers.explore.copied import as_command, as_python
from stemob_wrappers.explore.looks import GAIN, Distances, Frame, Look, Seen, difference
from stemob_wrappers.explore.shown import Change, Shown
from stemob_wrappers.pictures import encode_image


def draw_panel(shown: Shown, seen: Seen) -> str:
    """HTML of the frames of a setting, and its figures; it names nothing outside of itself."""
    rows = [_row("As it is", "", seen.looks[0])]
    if shown.change is not None and seen.distances is not None:
        rows.append(_row(_words(shown.change), " of the changed look", seen.looks[1]))
        rows.append(_between(seen.looks[0], seen.looks[1], seen.distances))
    return "".join([*map(_note, seen.notes), _facts(seen), *rows])


def draw_copied(shown: Shown) -> str:
    """HTML of what can be copied, each with a button that copies it."""
    which = " (the changed look)" if shown.change is not None else ""
    return "".join(
        f'<div class="head"><h2>As {name}{which}</h2><button type="button" '
        f'data-copies="as-{name.lower()}">Copy as {name}</button></div>'
        f'<pre id="as-{name.lower()}" class="{style}" tabindex="0">{escape(text)}</pre>'
        for name, style, text in (
            ("Python", "", as_python(shown)),
            ("command", "wrapped", as_command(shown)),
        )
    )


def draw_message(text: str) -> str:
    """HTML that says what went wrong."""
    return f'<p class="message" role="alert">{escape(text)}</p>'


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def _facts(seen: Seen) -> str:
    steps, most = seen.level
    return (
        f'<p class="facts"><b>Level {steps} of {most}</b>: {seen.alpha_bar:.0%} of the variance of '
        f"the signal is left (alpha_bar {seen.alpha_bar:.3f}). "
        f"<b>{seen.milliseconds:.1f} ms</b> a frame with {escape(seen.engine)}.</p>"
    )


def _words(change: Change) -> str:
    return f"{change.factor.replace('_', ' ').capitalize()}, severity {change.severity}"


def _row(heading: str, which: str, look: Look) -> str:
    apart = difference(look.raw, look.stem)
    figures = [
        _figure(look.raw, "Raw", f"Raw frame{which}"),
        _figure(look.stem, "Stem", f"Stem frame{which}"),
        _figure(apart, f"Difference × {GAIN}", f"Difference of raw and stem frame{which}"),
    ]
    return f'<h2>{escape(heading)}</h2><div class="frames">{"".join(figures)}</div>'


def _between(one: Look, other: Look, distances: Distances) -> str:
    raw = _figure(
        difference(one.raw, other.raw),
        f"Raw: <b>{distances.raw:.1f}</b> grey levels",
        "Difference of the raw frames of both looks",
    )
    stem = _figure(
        difference(one.stem, other.stem),
        f"Stem: <b>{distances.stem:.1f}</b> grey levels",
        "Difference of the stem frames of both looks",
    )
    latents = (
        f'<dl class="latents"><dt>Latents, as encoded</dt><dd>{distances.latents:.3f}</dd>'
        f"<dt>Latents at this level, noise included</dt><dd>{distances.noised:.3f}</dd></dl>"
    )
    return f'<h2>Between both looks</h2><div class="frames">{raw}{stem}{latents}</div>'


def _figure(frame: Frame, caption: str, alt: str) -> str:
    encoded = base64.b64encode(encode_image(frame)).decode()
    height, width = frame.shape[:2]
    return (
        f'<figure><img src="data:image/png;base64,{encoded}" alt="{escape(alt)}" width="{width}" '
        f'height="{height}"><figcaption>{caption}</figcaption></figure>'
    )
