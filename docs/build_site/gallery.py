"""The gallery of the site: every perturbation at every severity, every level of both backbones.

``python docs/build_site/gallery.py FOLDER`` draws the page and its pictures there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from stemob_wrappers.config import StemConfig
from stemob_wrappers.explore.looks import Look, pixel_distance
from stemob_wrappers.explore.shown import Change, EnvFrame, Shown
from stemob_wrappers.explore.studio import Studio
from stemob_wrappers.perturb.corruptions import CORRUPTIONS
from stemob_wrappers.perturb.factors import FACTORS
from stemob_wrappers.perturb.names import SEVERITIES
from stemob_wrappers.pictures import Image, write_image
from stemob_wrappers.work import write_text

STATES = (EnvFrame("stemob/Lift-v0", steps=12), EnvFrame("HalfCheetah-v5", steps=12))
VISIBLE = 0.05  # mean distance in grey levels, of one severity at least
BACKBONES = ("embedded", "embedded-canonical")
LOOK = Change("table_texture", 4)
PER_ROW = 10
ABOUT = """# Gallery

*Drawn by `python docs/build_site/gallery.py build/gallery` when the site is built.* Everything on
this page can be had live: [`stemob explore`](explore.md).

## Perturbations

One state of robosuite Lift, or of HalfCheetah for what Lift does not show (its sky is out of
sight). From left to right: the nominal scene, then severities 1 to 5. Upper row: what the camera
sees. Lower row: the stem frames of `embedded` at its default level.
"""
LEVELS = """
### {backbone}

Steps {first} to {last} of {steps}, {per_row} a line, from no noise on. Upper row of each line: the
nominal scene; lower row: the same state under another table texture.

![Stem frames of {backbone} at each step from {first} to {last}](gallery/{file})
"""


def draw_gallery(folder: Path) -> Path:
    """Draw all pictures into ``gallery/`` and write ``gallery.md`` beside it; returns its path."""
    parts = [ABOUT]
    pictures = folder / "gallery"
    with Studio(STATES) as studio:
        for factor in (*FACTORS, *CORRUPTIONS):
            state, looks = _severities(studio, factor)
            raws, stems = [look.raw for look in looks], [look.stem for look in looks]
            write_image(pictures / f"{factor}.jpg", np.vstack([np.hstack(raws), np.hstack(stems)]))
            parts.append(
                f"\n### `{factor}`\n\n![{factor} on {state.env_id}: the nominal scene and "
                f"severities 1 to 5, raw above stem](gallery/{factor}.jpg)\n"
            )
        parts.append("\n## Levels\n")
        steps = StemConfig().num_steps
        for backbone in BACKBONES:
            file = f"levels-{backbone}.jpg"
            write_image(pictures / file, _levels(studio, backbone))
            parts.append(
                LEVELS.format(
                    backbone=backbone, first=0, last=steps, steps=steps, per_row=PER_ROW, file=file
                )
            )
    page = folder / "gallery.md"
    write_text(page, "".join(parts))
    return page


def _severities(studio: Studio, factor: str) -> tuple[EnvFrame, list[Look]]:
    """The first state that shows a factor, or else the last, and its looks from the nominal one."""
    found: list[tuple[EnvFrame, list[Look]]] = []
    for state in STATES:
        if factor not in studio.factors(state):
            continue
        looks = [
            *studio.see(Shown(state)).looks,
            *(studio.see(Shown(state, Change(factor, s))).looks[1] for s in SEVERITIES),
        ]
        found.append((state, looks))
        if any(pixel_distance(looks[0].raw, look.raw) > VISIBLE for look in looks):
            break
    return found[-1]


def _levels(studio: Studio, backbone: str) -> Image:
    config = StemConfig(backbone)
    seen = [
        studio.see(Shown(STATES[0], LOOK, config.replace(inversion_steps=n))).looks
        for n in range(config.num_steps + 1)
    ]
    blank = np.full_like(seen[0][0].stem, 255)
    columns = [np.vstack([look.stem for look in looks]) for looks in seen]
    columns += [np.vstack([blank, blank])] * (-len(columns) % PER_ROW)
    lines = [np.hstack(columns[n : n + PER_ROW]) for n in range(0, len(columns), PER_ROW)]
    return np.vstack(lines)


if __name__ == "__main__":
    print(draw_gallery(Path(sys.argv[1])))
