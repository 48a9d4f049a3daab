"""The gallery of the site: every perturbation at every severity, every level of both backbones.

``python docs/build_site/gallery.py FOLDER`` draws the page and its pictures there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from stemob_wrappers.config import StemConfig
from stemob_wrappers.explore.shown import Change, EnvFrame, Shown
from stemob_wrappers.explore.studio import Studio
from stemob_wrappers.perturb.corruptions import CORRUPTIONS
from stemob_wrappers.perturb.factors import FACTORS
from stemob_wrappers.perturb.names import SEVERITIES
from stemob_wrappers.pictures import Image, write_image
from stemob_wrappers.work import write_text

STATE = EnvFrame("stemob/Lift-v0", steps=12)
WITH_SKY = EnvFrame("HalfCheetah-v5", steps=12)  # Lift's walls hide the sky
BACKBONES = ("embedded", "embedded-canonical")
LOOK = Change("table_texture", 4)
PER_ROW = 10
ABOUT = """# Gallery

*Drawn by `python docs/build_site/gallery.py build/gallery` when the site is built.* Everything on
this page can be had live: [`stemob explore`](explore.md).

## Perturbations

One state of robosuite Lift{sky}. From left to right: the nominal scene, then severities 1 to 5.
Upper row: what the camera sees. Lower row: the stem frames of `embedded` at its default level.
"""
LEVELS = """
### {backbone}

Steps {first} to {last} of {steps}, {per_row} a line, from no noise on. Upper row of each line: the
nominal scene; lower row: the same state under another table texture.

![Stem frames of {backbone} at each step from {first} to {last}]({file})
"""


def draw_gallery(folder: Path) -> Path:
    """Draw all pictures and write ``gallery.md`` beside them; returns its path."""
    with Studio((STATE, WITH_SKY)) as studio:
        missing = [name for name in FACTORS if name not in studio.factors(STATE)]
        parts = [ABOUT.format(sky=_elsewhere(missing))]
        for factor in (*FACTORS, *CORRUPTIONS):
            state = WITH_SKY if factor in missing else STATE
            write_image(folder / f"{factor}.jpg", _severities(studio, state, factor))
            parts.append(
                f"\n### `{factor}`\n\n![{factor}: the nominal scene and severities 1 to 5, raw "
                f"above stem]({factor}.jpg)\n"
            )
        parts.append("\n## Levels\n")
        steps = StemConfig().num_steps
        for backbone in BACKBONES:
            file = f"levels-{backbone}.jpg"
            write_image(folder / file, _levels(studio, backbone))
            parts.append(
                LEVELS.format(
                    backbone=backbone, first=0, last=steps, steps=steps, per_row=PER_ROW, file=file
                )
            )
    page = folder / "gallery.md"
    write_text(page, "".join(parts))
    return page


def _elsewhere(missing: list[str]) -> str:
    names = ", ".join(f"`{name}`" for name in missing)
    return f" ({names}: of {WITH_SKY.env_id}, as Lift has no such thing)" if missing else ""


def _severities(studio: Studio, state: EnvFrame, factor: str) -> Image:
    nominal = studio.see(Shown(state)).looks[0]
    looks = [
        nominal,
        *(studio.see(Shown(state, Change(factor, s))).looks[1] for s in SEVERITIES),
    ]
    return np.vstack(
        [np.hstack([look.raw for look in looks]), np.hstack([look.stem for look in looks])]
    )


def _levels(studio: Studio, backbone: str) -> Image:
    config = StemConfig(backbone)
    seen = [
        studio.see(Shown(STATE, LOOK, config.replace(inversion_steps=n))).looks
        for n in range(config.num_steps + 1)
    ]
    blank = np.full_like(seen[0][0].stem, 255)
    columns = [np.vstack([look.stem for look in looks]) for looks in seen]
    columns += [np.vstack([blank, blank])] * (-len(columns) % PER_ROW)
    lines = [np.hstack(columns[n : n + PER_ROW]) for n in range(0, len(columns), PER_ROW)]
    return np.vstack(lines)


if __name__ == "__main__":
    print(draw_gallery(Path(sys.argv[1])))
