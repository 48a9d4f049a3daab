"""From a slider of the explorer to the new picture in the browser; its screenshot too.

    python benchmarks/explorer.py          # measure
    python benchmarks/explorer.py --draw   # draw docs/explore.png alone

robosuite Lift at 84 px under two looks, `embedded`. A slider's value is set in headless Chromium as
dragging does; the clock stops when the new pictures are decoded and a frame was painted. CPU time
is that of server and browser together. Needs the extra `app`, playwright, a chromium on the PATH.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import report
from playwright.sync_api import sync_playwright

from stemob_wrappers import StemConfig
from stemob_wrappers.explore.blocks import build_page
from stemob_wrappers.explore.serve import serve
from stemob_wrappers.explore.shown import Change, EnvFrame, Shown
from stemob_wrappers.explore.studio import Studio

SHOWN = Shown(EnvFrame("stemob/Lift-v0", steps=12), Change("table_texture", 4), StemConfig())
SCREENSHOT = Shown(
    EnvFrame("stemob/Lift-v0", size=168, steps=12),
    Change("table_texture", 4, 1),
    StemConfig("embedded-canonical"),
)
COLUMNS = ("slider", "median ms", "p95 ms", "CPU ms a move", "moves")
# Slider -> the values that it is moved through.
MOVES: dict[str, Sequence[int]] = {
    "Level": range(1, 41),
    "Noise seed": range(1, 41),
    "Severity": [1, 2, 3, 5],  # a look that was shown is kept: new ones only
    "Draw": range(1, 21),
    "Random steps since the reset": range(13, 33),
}
PICTURE = Path(__file__).parents[1] / "docs" / "explore.png"

TIMED = """async ([label, value]) => {
  const panel = document.querySelector('#panel');
  const input = document.querySelector(`input[type=range][aria-label*="${label}"]`);
  const before = [...panel.querySelectorAll('img')].map(image => image.src).join();
  const changed = new Promise(done => new MutationObserver((_, watch) => {
    const images = [...panel.querySelectorAll('img')];
    if (images.map(image => image.src).join() === before) return;
    watch.disconnect();
    Promise.all(images.map(image => image.decode())).then(() =>
      requestAnimationFrame(() => done(performance.now())));
  }).observe(panel, { childList: true, subtree: true, attributes: true }));
  const started = performance.now();
  input.value = value;
  input.dispatchEvent(new Event('input', { bubbles: true }));
  return await changed - started;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", type=int, default=40, help="most moves of each slider")
    parser.add_argument("--draw", action="store_true", help="only draw docs/explore.png")
    settings = parser.parse_args()
    if settings.draw:
        draw(PICTURE)
    else:
        report("explorer", COLUMNS, measure(settings.moves))


def measure(moves: int) -> list[dict[str, Any]]:
    """Milliseconds of every slider."""
    rows = []
    with opened(SHOWN, width=1280) as page:
        for slider, values in MOVES.items():
            before = cpu_seconds()
            taken = [page.evaluate(TIMED, [slider, value]) for value in list(values)[:moves]]
            cpu = 1e3 * (cpu_seconds() - before) / len(taken)
            median, p95 = np.percentile(taken, (50, 95))
            rows.append(dict(zip(COLUMNS, (slider, median, p95, cpu, len(taken)), strict=True)))
    return rows


def cpu_seconds() -> float:
    """Of this process and all below it, the browser's included: what load cannot change."""
    parents, times = {}, {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            fields = status.read_text().rpartition(")")[2].split()
            process = int(status.parent.name)
            parents[process], times[process] = int(fields[1]), sum(map(int, fields[11:13]))
    family, before = {os.getpid()}, 0
    while len(family) > before:
        before = len(family)
        family |= {process for process, parent in parents.items() if parent in family}
    return sum(times[process] for process in family) / os.sysconf("SC_CLK_TCK")


def draw(path: Path, width: int = 1280) -> None:
    """Write a screenshot of the whole page."""
    with opened(SCREENSHOT, width) as page:
        page.screenshot(path=path, full_page=True)
    print(path)


@contextlib.contextmanager
def opened(shown: Shown, width: int) -> Iterator[Any]:
    """The page in a browser, with its pictures."""
    assert isinstance(shown.source, EnvFrame)
    with Studio((shown.source,)) as studio, sync_playwright() as started:
        page = build_page(studio, shown, shown.config)
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        try:
            tab = browser.new_page(viewport={"width": width, "height": 900})
            tab.set_default_timeout(120_000)
            tab.goto(serve(page))
            tab.wait_for_selector("#panel img")
            yield tab
        finally:
            browser.close()
            page.close(verbose=False)


if __name__ == "__main__":
    main()
