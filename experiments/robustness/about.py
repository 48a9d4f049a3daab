"""What the rows of the robustness table are, in words, and what each is compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.imitation.augment_demos import DEFAULT as COPIES
from experiments.robustness.conditions import CANONICAL, OWN, ConditionSpec, epochs_for
from stemob_wrappers.report.comparison import BEYOND, NO_STEM, STEM


def about_rows(
    specs: Sequence[ConditionSpec],
    demos: Mapping[str, int],
    epochs: Mapping[str, int],
    augmented_epochs: Mapping[str, int],
) -> dict[str, dict[str, Any]]:
    """Group, meaning, control and training of every row, as `report.comparison` takes them.

    Args:
        specs: the rows.
        demos, epochs, augmented_epochs: by task, as for `run.Study`.

    Example:
        >>> about_rows([ConditionSpec("srm", augment="srm")], {"Lift": 150}, {"Lift": 20}, {})
        {'srm': {'group': 'No stem', 'means': 'Learns from raw frames of the nominal scene, \
with srm in training; tested on raw frames.', 'control': None, 'literature': True, \
'training': 'Lift: 150 demonstrations, 20 epochs'}}
    """
    return {
        spec.name: {
            "group": _group(spec),
            "means": _means(spec),
            "control": _control(spec, specs),
            "literature": _is_literature(spec),
            "training": _training(spec, demos, epochs, augmented_epochs),
        }
        for spec in specs
    }


def _group(spec: ConditionSpec) -> str:
    stems = {spec.train_stem, spec.test_stem}
    if stems == {None}:
        return NO_STEM
    return BEYOND if CANONICAL in stems else STEM


def _means(spec: ConditionSpec) -> str:
    frames = _frames(spec.train_stem)
    scene = "the nominal scene" if spec.appearance is None else "scenes of random appearance"
    number = f"{spec.augmented} cop{'y' if spec.augmented == 1 else 'ies'}"
    copies = f", {number} of each ({', '.join(COPIES)})" if spec.augmented else ""
    augment = "" if spec.augment == "none" else f", with {spec.augment} in training"
    tested = _frames(spec.test_stem)
    return f"Learns from {frames} of {scene}{copies}{augment}; tested on {tested}."


def _frames(stem: str | None) -> str:
    if stem is None:
        return "raw frames"
    return f"stem frames ({'a backbone trained on the task itself' if stem == OWN else stem})"


def _control(spec: ConditionSpec, specs: Sequence[ConditionSpec]) -> str | None:
    """The row that has all of it but the stem."""
    without = dataclasses.replace(spec, name="", train_stem=None, test_stem=None)
    for other in specs:
        if other.name != spec.name and dataclasses.replace(other, name="") == without:
            return other.name
    return None


def _is_literature(spec: ConditionSpec) -> bool:
    alone = ConditionSpec(spec.name, augment=spec.augment)
    return spec == alone and spec.augment != "none"


def _training(
    spec: ConditionSpec,
    demos: Mapping[str, int],
    epochs: Mapping[str, int],
    augmented_epochs: Mapping[str, int],
) -> str:
    return "; ".join(
        f"{task}: {max(1, spec.augmented) * count} demonstrations, "
        f"{epochs_for(spec, task, epochs, augmented_epochs)} epochs"
        for task, count in demos.items()
    )
