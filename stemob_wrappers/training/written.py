"""The folder of a trained backbone, in diffusers' layout."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from stemob_wrappers import __version__
from stemob_wrappers.backbones.export import write_graph
from stemob_wrappers.backbones.folder import INDEX_FILE
from stemob_wrappers.backbones.networks import StemAutoencoder
from stemob_wrappers.diffusion.schedule import SD_SCHEDULE
from stemob_wrappers.work import write_text


def write_backbone(
    model: StemAutoencoder, out: Path, config: Any, *, plain: str | None = None
) -> None:
    """Write codec, schedule and index of a trained backbone into a folder.

    Args:
        config: what it was trained with, a dataclass.
        plain: for a canonical backbone, where from ``out`` the one is that has its encoder.
    """
    model.save_pretrained(out / "vae")
    scheduler = {"_class_name": "DDIMScheduler", **SD_SCHEDULE}
    write_text(out / "scheduler" / "scheduler_config.json", json.dumps(scheduler, indent=2) + "\n")
    index = {
        "_class_name": "StemBackbone",
        "vae": ["stemob_wrappers", "StemAutoencoder"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "stemob_wrappers": __version__,
        "training": dataclasses.asdict(config),
    }
    if plain is not None:
        index["plain"] = plain
    write_text(out / INDEX_FILE, json.dumps(index, indent=2) + "\n")
    write_graph(out)
