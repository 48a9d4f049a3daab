"""What can be told of a page's accessibility without a browser."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise


class Outline(HTMLParser):
    """The tags of a page with their attributes, and the text of its title and headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.titles: dict[str, list[str]] = {"title": [], "h1": []}
        self._inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = [tag]

    def handle_data(self, data):
        for tag in self._inside:
            self.titles.setdefault(tag, []).append(data.strip())

    def handle_endtag(self, tag):
        self._inside = []


def faults(text: str) -> list[str]:
    """What is wrong with a page: names, headings, texts for pictures, tables, focus, contrast."""
    page = Outline(text)
    found = []

    def of(*names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in page.tags if tag in names]

    if not of("html")[0].get("lang"):
        found.append("the page does not say its language")
    if not any(page.titles["title"]):
        found.append("the page has no title")
    zoom = [meta.get("content") or "" for meta in of("meta") if meta.get("name") == "viewport"]
    if len(zoom) != 1 or "width=device-width" not in zoom[0] or "maximum-scale" in zoom[0]:
        found.append(f"a phone cannot show or enlarge it: {zoom}")
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    if levels.count(1) != 1 or levels[0] != 1:
        found.append(f"one h1 must come first: {levels}")
    found += [f"h{a} is followed by h{b}" for a, b in pairwise(levels) if b > a + 1]
    found += [f"no text for {str(each)[:80]}" for each in of("img") if not each.get("alt")]
    found += ["a video has no name" for each in of("video") if not each.get("aria-label")]
    found += ["a video cannot be stopped" for each in of("video") if "controls" not in each]
    found += ["a heading of a table has no scope" for each in of("th") if not each.get("scope")]
    regions = [each for each in of("div") if each.get("class") == "wide"]
    found += [
        f"no keyboard reaches what scrolls: {each}"
        for each in regions
        if (each.get("role"), each.get("tabindex")) != ("region", "0") or not each.get("aria-label")
    ]
    labels = [each.get("aria-label") for each in regions]
    found += [f"two regions are called {label}" for label in set(labels) if labels.count(label) > 1]
    if len(of("main")) != 1:
        found.append("one main part is needed")
    return found + pale(text)


def pale(text: str) -> list[str]:
    """Colours of text whose contrast on some background of the page is below 4.5 to 1 (WCAG AA)."""
    style = re.search("<style>(.*?)</style>", text, re.DOTALL)
    assert style
    grounds = set(re.findall(r"background: (#\w{6})", style[1]))
    inks = set(re.findall(r"(?<![-\w])color: (#\w{6})", style[1]))
    assert grounds
    assert inks
    return [
        f"{ink} on {ground}: {contrast(ink, ground):.1f} to 1"
        for ink in sorted(inks)
        for ground in sorted(grounds)
        if contrast(ink, ground) < 4.5
    ]


def contrast(a: str, b: str) -> float:
    """The ratio of two colours' luminances, as WCAG 2 defines it.

    >>> contrast("#000000", "#ffffff")
    21.0
    """

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
