"""Everything that is written beside its place and renamed there, in two versions to tell apart."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tiny_models  # noqa: F401 - with what it imports
import torch
from torch import nn

from stemob_wrappers.backbones.load import load_backbone
from stemob_wrappers.backbones.networks import StemAutoencoder, StemDenoiser, load_network
from stemob_wrappers.cache.disk import DiskTier
from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets import invert_dataset, merge_shards, read_provenance
from stemob_wrappers.datasets.pictures import source as _pictures  # noqa: F401 - imported early
from stemob_wrappers.datasets.robomimic import source as _robomimic  # noqa: F401
from stemob_wrappers.evaluation.results import CellFiles, Record, write_csv
from stemob_wrappers.pictures import read_image, write_image
from stemob_wrappers.renders.files import Scene, load_scene, write_scene
from stemob_wrappers.report.contact_sheet import write_contact_sheet
from stemob_wrappers.training.loop import CHECKPOINT_FILE, Run, _load_checkpoint, _save_checkpoint
from stemob_wrappers.training.relit import RelitConfig
from stemob_wrappers.training.written import write_backbone
from stemob_wrappers.videos import read_video, write_video
from stemob_wrappers.work import write_text

VERSIONS = (0, 1)
FRAMES = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16, 3), np.uint8)
CONFIGS = (StemConfig(inversion_steps=5, seed=1), StemConfig(inversion_steps=5))


class Publish(NamedTuple):
    """One way of publishing.

    Attributes:
        write: writes a version into a folder, over the one that is there.
        read: returns what tells the versions apart, or None where there is none; errors are not
            expected.
    """

    write: Callable[[Path, int], None]
    read: Callable[[Path], Any]


def publish(name: str, folder: Path, version: int) -> None:
    PUBLISHES[name].write(folder, version)


def convert(source: Path, target: Path, version: int, overwrite: bool) -> None:
    invert_dataset(source, target, CONFIGS[version], overwrite=overwrite)


def _write_entries(folder: Path, version: int) -> None:
    tier = DiskTier(folder, 2**20)
    for number in range(2 + version):
        tier.put(bytes([number] * 16), FRAMES[0, number])


def _read_entries(folder: Path) -> int | None:
    found = [DiskTier(folder, 2**20).get(bytes([number] * 16)) for number in range(3)]
    for frame, right in zip(found, FRAMES[0], strict=True):
        assert frame is None or (frame == right).all()
    return None  # a miss is computed again: any entry may be missing


def _write_picture(folder: Path, version: int) -> None:
    write_image(folder / "new" / "a.png", FRAMES[version, 0])


def _read_picture(folder: Path) -> bytes | None:
    path = folder / "new" / "a.png"
    return read_image(path).tobytes() if path.exists() else None


def _write_video(folder: Path, version: int) -> None:
    write_video(folder / "a.mp4", FRAMES[version], 20)


def _read_video(folder: Path) -> bytes | None:
    path = folder / "a.mp4"
    return b"".join(frame.tobytes() for frame in read_video(path)) if path.exists() else None


def _training(version: int) -> tuple[Run, nn.Module, nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(version)
    model, average = nn.Linear(40, 40), nn.Linear(40, 40)
    optimiser = torch.optim.AdamW(model.parameters())
    model(torch.ones(40)).sum().backward()
    optimiser.step()
    return Run(10, 0.1, 0.9, {}), model, average, optimiser


def _write_checkpoint(folder: Path, version: int) -> None:
    run, model, average, optimiser = _training(version)
    _save_checkpoint(folder / CHECKPOINT_FILE, run, 1 + version, model, average, optimiser)


def _read_checkpoint(folder: Path) -> Any:
    run, model, average, optimiser = _training(0)
    step = _load_checkpoint(folder / CHECKPOINT_FILE, run, model, average, optimiser)
    return (step, float(sum(x.detach().sum() for x in average.parameters()))) if step else None


def _write_backbone(folder: Path, version: int) -> None:
    torch.manual_seed(version)
    codec = StemAutoencoder(2, 2, width=32, context_width=32, deep_width=32).eval()
    write_backbone(codec, folder / "backbone", RelitConfig())


def _read_backbone(folder: Path) -> str | None:
    if not (folder / "backbone" / "model_index.json").exists():
        return None
    return load_backbone(str(folder / "backbone")).digest


def _write_network(folder: Path, version: int) -> None:
    torch.manual_seed(version)
    StemDenoiser(latent_channels=4, width=32, deep_width=32).save_pretrained(folder / "unet")


def _read_network(folder: Path) -> float | None:
    if not (folder / "unet" / "config.json").exists():
        return None
    network: Any = load_network(StemDenoiser, folder / "unet")
    return float(sum(x.detach().double().sum() for x in network.parameters()))


def _record(version: int) -> Record:
    return Record("raw", 0, "stemob/Lift-v0", "clean", [1], [True], [version], [1.0], {})


def _write_cell(folder: Path, version: int) -> None:
    files = CellFiles(folder / "cells")
    files.write(files.path("raw", "Lift-v0", "clean", {}), _record(version), {}, 1.0)


def _read_cell(folder: Path) -> Any:
    files = CellFiles(folder / "cells")
    path = files.path("raw", "Lift-v0", "clean", {})
    found = files.read(path)
    assert (found is not None) == path.exists()  # one that is there is whole
    return None if found is None else json.dumps(dataclasses.asdict(found[0]))


def _write_table(folder: Path, version: int) -> None:
    write_csv([_record(version)] * 500, folder / "results.csv")


def _write_report(folder: Path, version: int) -> None:
    pair = (f"version {version}", FRAMES[version, 0], FRAMES[version, 1])
    write_contact_sheet(folder / "report.html", [pair], title="report", made_by={})


def _write_note(folder: Path, version: int) -> None:
    write_text(folder / "note.json", json.dumps({"version": version}) * 300)


def _bytes_of(name: str) -> Callable[[Path], bytes | None]:
    def read(folder: Path) -> bytes | None:
        return (folder / name).read_bytes() if (folder / name).exists() else None

    return read


def _write_scene(folder: Path, version: int) -> None:
    scene = Scene(FRAMES[:1], np.zeros((1, 9), np.float32), {"version": version})
    write_scene(scene, folder / "scenes" / "scene-00000.safetensors")


def _read_scene(folder: Path) -> Any:
    path = folder / "scenes" / "scene-00000.safetensors"
    return load_scene(path).metadata["version"] if path.exists() else None


def _merge(folder: Path, version: int) -> None:
    shards = sorted(folder.with_name(f"shards{version}").glob("*.hdf5"))
    merge_shards(folder / "merged.hdf5", shards, overwrite=True)


def _read_merged(folder: Path) -> Any:
    path = folder / "merged.hdf5"
    return read_provenance(path)["fingerprint"] if path.exists() else None


PUBLISHES = {
    "cache entries": Publish(_write_entries, _read_entries),
    "picture": Publish(_write_picture, _read_picture),
    "video": Publish(_write_video, _read_video),
    "checkpoint": Publish(_write_checkpoint, _read_checkpoint),
    "backbone": Publish(_write_backbone, _read_backbone),
    "network": Publish(_write_network, _read_network),
    "result cell": Publish(_write_cell, _read_cell),
    "table of results": Publish(_write_table, _bytes_of("results.csv")),
    "report": Publish(_write_report, _bytes_of("report.html")),
    "note": Publish(_write_note, _bytes_of("note.json")),
    "scene": Publish(_write_scene, _read_scene),
    "merged shards": Publish(_merge, _read_merged),
}
