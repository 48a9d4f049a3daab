"""Which level? Convergence and structure kept, measured for many settings; a row of CSV for each.

*Convergence* is the distance between one state under two appearances over the distance between two
states under one appearance: below 1, a change of light or texture moves a frame less than a change
of layout does. *Structure kept* is how well a small probe, trained on clean stem frames, reads
positions from stem frames that are clean and that are perturbed. *Own state* is retrieval: how
often the clean frame that is nearest to a perturbed one shows the same state.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stemob_wrappers.extras import needs

with needs("report"):
    from rich.console import Console
    from rich.progress import Progress

from stemob_wrappers.augment import Augmentation, colour_jitter, random_conv
from stemob_wrappers.config import Method, NoisePolicy, StemConfig
from stemob_wrappers.diffusion.noise import draw_noise, noise_key
from stemob_wrappers.levels.probe import reading_errors
from stemob_wrappers.levels.retrieval import own_state_share
from stemob_wrappers.levels.rows import Row, read_rows, write_rows
from stemob_wrappers.renders.pairs import (
    SPLIT,
    Pairs,
    list_images,
    load_pairs,
    read_pairs,
    render_pairs,
    save_pairs,
)
from stemob_wrappers.stem.identity import frame_digest, installed_versions
from stemob_wrappers.stem.pipeline import StemPipeline
from stemob_wrappers.work import digest, write_text

CONVERGENCE_STATES = 64
BATCH = 64
AUGMENTATIONS: dict[str, Augmentation | None] = {
    "": None,
    " + jitter": colour_jitter,
    " + random conv": random_conv,
}
"""What a probe is trained under, and how its row's name ends."""

PROBE_SEEDS = 5
DETERMINISTIC = ("ddim", "ddim-renoise", "ddim-fixed-point")

# Raised when the probe or its augmentations come to give other figures, or a row to hold more.
PROBE = 3


@dataclass(frozen=True)
class Study:
    """What to measure.

    Attributes:
        env_id: env to render the states of; or
        folders: two folders of matching clean and perturbed images (no positions, so no probe).
        backbones, methods, noises, steps: every combination is measured.
        num_steps: steps of the whole process.
        states, appearances, size, severity, seed: see ``render_pairs``.
        probe_steps: optimiser steps of each probe.
        probe_seeds: probes of each setting.
        augmented: whether each setting is measured with probes trained under augmentation, too.
    """

    env_id: str | None = None
    folders: tuple[str, str] | None = None
    backbones: tuple[str, ...] = ("embedded",)
    methods: tuple[Method, ...] = ("ddpm",)
    noises: tuple[NoisePolicy, ...] = ("frame", "fixed")
    steps: tuple[int, ...] = (0, 3, 5, 10, 15, 25)
    num_steps: int = 50
    states: int = 600
    appearances: int = 5
    size: int = 84
    severity: int = 3
    seed: int = 0
    probe_steps: int = 300
    probe_seeds: int = PROBE_SEEDS
    augmented: bool = False
    configs: tuple[StemConfig, ...] = field(init=False)

    def __post_init__(self) -> None:
        if (self.env_id is None) == (self.folders is None):
            raise ValueError(
                "name either an env id, or a folder of clean and one of perturbed images; received "
                + ("neither" if self.env_id is None else "both")
            )
        configs = {
            StemConfig(
                backbone=backbone,
                method=method,
                # Nothing is drawn there, so one policy stands for all.
                noise=self.noises[0] if steps == 0 or method in DETERMINISTIC else noise,
                inversion_steps=steps,
                num_steps=self.num_steps,
                seed=self.seed,
            ): None
            for backbone in self.backbones
            for method in self.methods
            for noise in self.noises
            for steps in self.steps
            if steps or method == self.methods[0]  # without steps all methods are the codec alone
        }
        object.__setattr__(self, "configs", tuple(configs))


def run_study(study: Study, out: Path, *, device: str | None = None) -> list[Row]:
    """Measure every setting of a study; what ``out`` holds of the same study is not done again.

    Args:
        study: what to measure.
        out: folder for ``levels.csv``, ``levels.json``, which says what was measured, and, in a
            folder inside, what a later run goes on from.
        device: where the backbones run.

    Returns:
        the rows: baselines first, then the settings in their order.

    Example:
        >>> from stemob_wrappers.pictures import write_image
        >>> rng = np.random.default_rng(0)
        >>> for look in ("clean", "perturbed"):
        ...     for state in range(4):
        ...         frame = rng.integers(0, 256, (32, 32, 3), np.uint8)
        ...         write_image(Path(look, f"{state}.png"), frame)
        >>> study = Study(folders=("clean", "perturbed"), steps=(0, 5), noises=("frame",))
        >>> [row.name for row in run_study(study, Path("levels"))]
        ['raw', 'raw + jitter', 'raw + random conv', 'stem', 'stem']
    """
    pairs = study_pairs(study, out)
    table = out / digest_of_inputs(study) / "levels.csv"
    done = read_rows(table)
    found: list[Row] = []
    endings = list(AUGMENTATIONS) if study.augmented else [""]
    jobs: list[tuple[StemConfig | None, str]] = [(None, ending) for ending in AUGMENTATIONS]
    jobs += [(config, ending) for config in study.configs for ending in endings]
    with Progress(console=Console(stderr=True)) as progress:
        for config, ending in progress.track(jobs, description="levels"):
            if config is None:
                row = _find(done, Row("raw" + ending)) or _baseline(ending, pairs, study)
            else:
                pipeline = StemPipeline(
                    config, cache=False, device=device, engine="torch"
                )  # for latents
                row = _find(done, _setting(pipeline, ending))
                row = row or _measure(pipeline, ending, pairs, study)
            if not progress.console.is_terminal:
                print(f"levels: {len(found) + 1} of {len(jobs)}", file=sys.stderr, flush=True)
            if row not in done:
                done.append(row)
                write_rows(done, table)
            found.append(row)
    write_rows(found, out / "levels.csv")
    write_settings(study, pairs, out / "levels.json")
    return found


def convergence(features: NDArray[Any]) -> float:
    """Distance across appearances over distance across states, by root mean square.

    Args:
        features: [A, S, ...], appearance 0 the unchanged one.

    Example:
        >>> convergence(np.array([[[0.0], [2.0]], [[1.0], [3.0]]]))
        0.5
    """
    flat = features.reshape(*features.shape[:2], -1).astype(np.float64)
    across_looks = np.sqrt(((flat[1:] - flat[:1]) ** 2).mean(-1)).mean()
    others = np.roll(flat, 1, axis=1)
    across_states = np.sqrt(((flat - others) ** 2).mean(-1)).mean()
    return float(across_looks / across_states)


def _baseline(ending: str, pairs: Pairs, study: Study) -> Row:
    measured = _of_frames(pairs.frames, pairs, study, ending)
    return dataclasses.replace(Row("raw" + ending), **measured)


def _setting(pipeline: StemPipeline, ending: str) -> Row:
    """The row of a pipeline before anything is measured."""
    config = pipeline.config
    return Row(
        "stem" + ending,
        config.backbone,
        config.method,
        config.noise,
        config.inversion_steps,
        pipeline.inverter.alpha_bar,
        fingerprint=pipeline.fingerprint,
    )


def _find(rows: Sequence[Row], setting: Row) -> Row | None:
    """The row of a setting; the fingerprint tells whether its weights are still the same."""
    names = ("name", "backbone", "method", "noise", "inversion_steps", "fingerprint")
    key = attrgetter(*names)
    return next((row for row in rows if key(row) == key(setting)), None)


def _measure(pipeline: StemPipeline, ending: str, pairs: Pairs, study: Study) -> Row:
    looks, states = pairs.frames.shape[:2]
    stems = np.empty_like(pairs.frames)
    latents: list[NDArray[np.float32]] = []
    for look in range(looks):
        for start in range(0, states, BATCH):
            frames = pairs.frames[look, start : start + BATCH]
            noise = _noise(pipeline, frames, look, start)
            stems[look, start : start + BATCH] = pipeline(frames, noise=noise)
            if start < CONVERGENCE_STATES:
                tensors = (torch.from_numpy(frames), torch.from_numpy(noise))
                inverter: Any = pipeline.inverter  # PyTorch's, which gives latents
                inverted = inverter.latents(*(t.to(pipeline.device) for t in tensors))
                latents.append(inverted.float().numpy(force=True))
    inverted = np.concatenate(latents).reshape(looks, -1, *latents[0].shape[1:])
    return dataclasses.replace(
        _setting(pipeline, ending),
        latents=convergence(inverted),
        **_of_frames(stems, pairs, study, ending),
    )


def _noise(
    pipeline: StemPipeline, frames: NDArray[np.uint8], look: int, start: int
) -> NDArray[np.float32]:
    """The noise that the pipeline would draw, each look being an episode of its own."""
    keys = [
        noise_key(
            pipeline.config.noise,
            frame=frame_digest(frame),
            episode=bytes([look]),
            count=look * 1_000_000 + start + index,
        )
        for index, frame in enumerate(frames)
    ]
    return draw_noise(pipeline.config.seed, keys, pipeline.noise_shape(*frames.shape[1:3]))


def _of_frames(
    frames: NDArray[np.uint8], pairs: Pairs, study: Study, ending: str
) -> dict[str, float]:
    """What is measured of frames, as fields of a row; probes are trained under one augmentation."""
    found = {
        "pixels": convergence(frames[:, :CONVERGENCE_STATES]),
        "own_state": own_state_share(frames),
        "own_state_chance": 1 / frames.shape[1],
    }
    if pairs.points is None:
        return found
    return found | reading_errors(
        frames,
        pairs.points,
        pairs.names,
        seeds=study.probe_seeds,
        steps=study.probe_steps,
        augment=AUGMENTATIONS[ending],
    )


# --- files ---------------------------------------------------------------------------------------


def study_pairs(study: Study, out: Path) -> Pairs:
    """Return a study's frames: those kept in ``out``, or rendered or read and then kept."""
    path = out / digest_of_inputs(study) / "pairs.safetensors"
    if path.exists():
        return load_pairs(path)
    if study.folders is not None:
        pairs = read_pairs(Path(study.folders[0]), Path(study.folders[1]))
    else:
        pairs = render_pairs(
            str(study.env_id),
            states=study.states,
            appearances=study.appearances,
            size=study.size,
            severity=study.severity,
            seed=study.seed,
        )
    save_pairs(pairs, path)
    return pairs


def digest_of_inputs(study: Study) -> str:
    """Name the folder of what all rows of a study share; another study gets its own."""
    shared = {
        name: value
        for name, value in dataclasses.asdict(study).items()
        if name not in ("backbones", "methods", "noises", "steps", "augmented", "configs")
    }
    shared["probe"] = PROBE
    if study.folders is not None:
        shared["files"] = [
            (path.name, path.stat().st_size, path.stat().st_mtime_ns)
            for folder in study.folders
            for path in list_images(Path(folder))
        ]
    return "work-" + digest(shared, size=6)


def write_settings(study: Study, pairs: Pairs, path: Path) -> None:
    """Write what a study measured, and with which versions, as JSON.

    Args:
        study: its settings; what only a rendered env has is null for folders.
        pairs: its frames, whose shape [looks, states, H, W, 3] is told too.
        path: of the file.
    """
    settings = dataclasses.asdict(study)
    del settings["configs"]
    settings |= {
        "split": SPLIT,
        "frames": pairs.frames.shape,
        "points": pairs.names,
        "versions": installed_versions(),
    }
    if study.folders is not None:
        settings |= dict.fromkeys(("states", "appearances", "size", "severity", "split"))
    write_text(path, json.dumps(settings, indent=2) + "\n")
