"""How large a table is: tasks, trainings, demonstrations, episodes and cells."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.robustness.train import UNTRAINED
from stemob_wrappers.perturb.suites import Cell

SUITE = ("lighting", "texture", "colour", "background")
SEVERITY = 4
APART = (
    *(Cell(group, 3) for group in SUITE),
    Cell("appearance", 3),
    Cell("camera", SEVERITY),
    Cell("distractors", SEVERITY),
)
"""Further cells, which Gen leaves out: a curve over severities, all four at once, what moves."""


@dataclass(frozen=True)
class Study:
    """How large a table is.

    Attributes:
        name: of its files.
        tasks: training seeds by task.
        demos: demonstrations by task.
        epochs: of each training, by task.
        augmented_epochs: the same over three augmented copies of each; over more or fewer copies
            a training has as many steps.
        episodes: in each cell.
        split: of textures, looks and episodes.
        suite: the cells beside the nominal one, of severity 4.
        horizon: steps of an episode at most; None leaves what collect.py has.
        size: of the frames, in pixels.
        apart: whether the cells of `APART` are played, too.
    """

    name: str
    tasks: dict[str, int]
    demos: dict[str, int]
    epochs: dict[str, int]
    augmented_epochs: dict[str, int]
    episodes: int
    split: str
    suite: Sequence[str] = SUITE
    horizon: int | None = None
    size: int = 84
    apart: bool = False


DEMOS = {"Lift": 150, "Stack": 350, "Door": 150, "PickPlaceCan": 200}
EPOCHS = {"Lift": 20, "Stack": 24, "Door": 20, "PickPlaceCan": 24}
AUGMENTED_EPOCHS = {"Lift": 20, "Stack": 8, "Door": 10, "PickPlaceCan": 8}
"""Of Stack and PickPlaceCan as many steps as EPOCHS."""
SCREEN = Study("robustness-screen", {"Lift": 1}, DEMOS, EPOCHS, AUGMENTED_EPOCHS, 12, "dev")
FULL = Study("robustness", {"Lift": 3, "Stack": 2}, DEMOS, EPOCHS, AUGMENTED_EPOCHS, 20, "test")
MINIATURE = Study(
    "robustness-miniature", {"Lift": 1}, {"Lift": 2}, {"Lift": 1}, {"Lift": 1}, 1, "dev",
    ("lighting",), 8, 48,
)  # fmt: skip


def study_of(settings: argparse.Namespace) -> Study:
    """The study that was asked for, with what was changed of it."""
    study = MINIATURE if settings.miniature else SCREEN if settings.screen else FULL
    tasks = dict(study.tasks)
    if settings.policy in UNTRAINED:
        tasks = dict.fromkeys(tasks, 1)  # every seed would give the same policy
    if settings.tasks:
        named = (task.partition(":") for task in settings.tasks.split(","))
        tasks = {task: int(seeds or tasks.get(task, 1)) for task, _, seeds in named}
    return dataclasses.replace(
        study,
        tasks=tasks,
        demos={task: settings.demos or study.demos[task] for task in tasks},
        epochs={task: settings.epochs or study.epochs[task] for task in tasks},
        augmented_epochs={task: settings.epochs or study.augmented_epochs[task] for task in tasks},
        episodes=settings.episodes or study.episodes,
        split=settings.split or study.split,
        apart=settings.apart,
    )
