"""Which level? Convergence and structure kept, measured for many settings; a row of CSV for each.

*Convergence* is the distance between one state under two appearances over the distance between two
states under one appearance: below 1, a change of light or texture moves a frame less than a change
of layout does. *Structure kept* is how well a small probe, trained on clean stem frames, reads
positions from stem frames that are clean and that are perturbed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress

from stemob_wrappers.augment import Augmentation, colour_jitter, random_conv
from stemob_wrappers.config import StemConfig
from stemob_wrappers.identity import frame_digest
from stemob_wrappers.levels.pairs import (
    Pairs,
    load_pairs,
    read_pairs,
    render_pairs,
    save_pairs,
)
from stemob_wrappers.levels.probe import probe_errors
from stemob_wrappers.levels.rows import Row, append_row, read_rows, write_rows
from stemob_wrappers.levels.settings import Study, digest_of_inputs, write_settings
from stemob_wrappers.noise import draw_noise, noise_key
from stemob_wrappers.pipeline import StemPipeline

TEST_SHARE = 0.2
CONVERGENCE_STATES = 64
BATCH = 64
AUGMENTATIONS: dict[str, Augmentation | None] = {
    "": None,
    " + jitter": colour_jitter,
    " + random conv": random_conv,
}
"""What a probe is trained under, and how its row's name ends."""


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
        >>> run_study(Study("stemob/Lift-v0"), Path("levels")) # doctest: +SKIP
    """
    pairs = study_pairs(study, out)
    table = out / digest_of_inputs(study) / "levels.csv"
    done = read_rows(table)
    found: list[Row] = []
    endings = list(AUGMENTATIONS) if study.augmented else [""]
    jobs: list[tuple[StemConfig | None, str]] = [(None, ending) for ending in AUGMENTATIONS]
    jobs += [(config, ending) for config in study.configs for ending in endings]
    with Progress() as progress:
        for config, ending in progress.track(jobs, description="levels"):
            if config is None:
                row = _find(done, Row("raw" + ending)) or _baseline(ending, pairs, study)
            else:
                pipeline = StemPipeline(config, cache=False, device=device)
                row = _find(done, _setting(pipeline, ending))
                row = row or _measure(pipeline, ending, pairs, study)
            if row not in done:
                append_row(row, table)
            found.append(row)
    write_rows(found, out / "levels.csv")
    write_settings(study, pairs, out / "levels.json")
    return found


def recommend(rows: Sequence[Row], slack_cm: float = 0.5) -> Row | None:
    """Return the stem row with the lowest perturbed error whose clean error is hardly worse.

    Args:
        rows: of one study.
        slack_cm: how much worse than the best stem row on clean frames it may be.

    Returns:
        a row, or None where nothing was read (folders of images have no positions).

    Example:
        >>> recommend([Row("stem", clean_cm=1.0, perturbed_cm=5.0)]).perturbed_cm
        5.0
    """
    stems = [row for row in rows if row.name == "stem" and np.isfinite(row.perturbed_cm)]
    if not stems:
        return None
    limit = min(row.clean_cm for row in stems) + slack_cm
    return min((r for r in stems if r.clean_cm <= limit), key=lambda row: row.perturbed_cm)


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


# --- rows ----------------------------------------------------------------------------------------


def _baseline(ending: str, pairs: Pairs, study: Study) -> Row:
    row = Row("raw" + ending, pixels=convergence(pairs.frames[:, :CONVERGENCE_STATES]))
    return dataclasses.replace(row, **_probe(pairs.frames, pairs, study, AUGMENTATIONS[ending]))


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
                inverted = pipeline.inverter.latents(*(t.to(pipeline.device) for t in tensors))
                latents.append(inverted.float().numpy(force=True))
    inverted = np.concatenate(latents).reshape(looks, -1, *latents[0].shape[1:])
    return dataclasses.replace(
        _setting(pipeline, ending),
        pixels=convergence(stems[:, :CONVERGENCE_STATES]),
        latents=convergence(inverted),
        **_probe(stems, pairs, study, AUGMENTATIONS[ending]),
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


def _probe(
    frames: NDArray[np.uint8], pairs: Pairs, study: Study, augment: Augmentation | None
) -> dict[str, float]:
    if pairs.points is None:
        return {}
    held_out = max(2, round(TEST_SHARE * frames.shape[1]))
    train, tests = frames[0, :-held_out], [look[-held_out:] for look in frames]
    errors = np.array(
        [
            probe_errors(
                train,
                pairs.points[:-held_out],
                tests,
                pairs.points[-held_out:],
                seed=seed,
                steps=study.probe_steps,
                augment=augment,
            )
            for seed in range(study.probe_seeds)
        ]
    )  # [seeds, looks, points]
    perturbed = errors[:, 1:].mean(axis=1)
    effector = [name == "end effector" for name in pairs.names]
    overall = perturbed.mean(axis=1)
    return {
        "clean_cm": float(np.median(errors[:, 0].mean(axis=1))),
        "perturbed_cm": float(np.median(overall)),
        "perturbed_low_cm": float(overall.min()),
        "perturbed_high_cm": float(overall.max()),
        "effector_cm": _median_of(perturbed, np.array(effector)),
        "objects_cm": _median_of(perturbed, ~np.array(effector)),
    }


def _median_of(errors: NDArray[np.float64], points: NDArray[np.bool_]) -> float:
    return float(np.median(errors[:, points].mean(axis=1))) if points.any() else np.nan


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
