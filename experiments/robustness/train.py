"""Demonstrations, their stem frames and the policies trained on them, in a work folder.

Everything is filed under what it was made with, is made once and is taken up again where it was
left. The scripts of experiments/imitation do the work, as anyone would call them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from experiments.imitation import bc, class_lite, collect, dbc, diffusion_policy, vinn
from experiments.imitation.augment_demos import augment_demos
from experiments.robustness.conditions import ConditionSpec, Level
from stemob_wrappers import StemPipeline
from stemob_wrappers.datasets import invert_dataset
from stemob_wrappers.evaluation import Condition
from stemob_wrappers.work import digest

SCRIPTS: dict[str, ModuleType] = {
    "bc": bc,
    "diffusion": diffusion_policy,
    "dbc": dbc,
    "class": class_lite,
    "vinn": vinn,
}
UNTRAINED = ("vinn",)  # remembers frames: no epochs, no seed, and no augmentation of a training


@dataclass(frozen=True)
class Recipe:
    """How policies are made.

    Attributes:
        demos: demonstrations of each task.
        epochs: passes over them, by task.
        augmented_epochs: passes over augmented demonstrations, three times as many, by task.
        script: a key of SCRIPTS.
        level: of the stems.
        workers: processes that render demonstrations, and that turn them into stem frames.
        size: of the frames, in pixels.
    """

    demos: dict[str, int]
    epochs: dict[str, int]
    augmented_epochs: dict[str, int]
    script: str
    level: Level
    workers: int
    size: int = 84


class TrainedPolicies:
    """The policies of conditions, and the demonstrations that they learn from, made at need.

    Args:
        folder: where all of it lies.
        recipe: how it is made.
    """

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.folder = folder
        self.recipe = recipe

    def check(self, conditions: list[ConditionSpec]) -> None:
        """Load every backbone that the conditions name, before hours are spent on the first ones.

        Raises:
            ValueError, OSError: one cannot be loaded; the message names the conditions.
            ValueError: a condition augments the training of policies that are not trained.
        """
        augmenting = [spec.name for spec in conditions if spec.augment != "none"]
        if augmenting and self.recipe.script in UNTRAINED:
            raise ValueError(
                f"{self.recipe.script} is not trained, so no frames are augmented in training, as "
                f"{', '.join(augmenting)} would have it: leave them out with --conditions"
            )
        stems = {
            stem
            for condition in conditions
            for stem in (condition.train_stem, condition.test_stem)
            if stem
        }
        for backbone in sorted(stems):
            names = [
                condition.name
                for condition in conditions
                if backbone in (condition.train_stem, condition.test_stem)
            ]
            try:
                self._fingerprint(backbone)
            except (ValueError, OSError) as error:
                raise type(error)(
                    f"{error}. It is asked for by {', '.join(names)}: leave them out with "
                    "--conditions"
                ) from error

    def condition(self, spec: ConditionSpec, task: str, seed: int) -> Condition:
        """A trained condition of a task, for the evaluation."""
        return Condition(
            name=spec.name,
            policy=f"{SCRIPTS[self.recipe.script].__name__}:load:{self.policy(spec, task, seed)}",
            stem=self.recipe.level.stem(spec.test_stem),
            training_seed=seed,
            task=f"stemob/{task}-v0",
            allow_mismatch=spec.train_stem != spec.test_stem,
        )

    def frames_path(self, spec: ConditionSpec, task: str) -> Path:
        """Where the demonstrations lie, or would lie, that a condition learns from."""
        look = "nominal" if spec.appearance is None else "random"
        name = f"{task}-{look}-{self.recipe.demos[task]}"
        if self.recipe.size != Recipe.size:
            name += f"-{self.recipe.size}px"
        if spec.augmented:
            name += "-augmented"
        if spec.train_stem is not None:
            name += f"-{spec.train_stem}-{self._fingerprint(spec.train_stem)[:12]}"
        return self.folder / "demos" / f"{name}.hdf5"

    def frames(self, spec: ConditionSpec, task: str) -> Path:
        """Those demonstrations: collected, then augmented, then stem frames if it has a stem."""
        target = self.frames_path(spec, task)
        if target.exists():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        if spec.train_stem is not None:
            source = self.frames(dataclasses.replace(spec, train_stem=None), task)
            stem = self.recipe.level.stem(spec.train_stem)
            summary = invert_dataset(
                source, target, stem, workers=self.recipe.workers, progress=True
            )
            if summary.failed:
                raise RuntimeError(f"{source} has demonstrations that failed: {summary.failed}")
        elif spec.augmented:
            source = self.frames(dataclasses.replace(spec, augmented=False), task)
            augment_demos(source, target)
        else:
            collect.collect(
                task,
                target,
                episodes=self.recipe.demos[task],
                workers=self.recipe.workers,
                appearance=spec.appearance,
                size=self.recipe.size,
            )
        return target

    def policy(self, spec: ConditionSpec, task: str, seed: int) -> Path:
        """The file of a trained policy; conditions that differ at test time only share it.

        One that is there needs no demonstrations any more: they, or a GPU, may be elsewhere.
        """
        frames = self.frames_path(spec, task)
        epochs = (self.recipe.augmented_epochs if spec.augmented else self.recipe.epochs)[task]
        made_with: dict[str, Any] = {
            "script": self.recipe.script,
            "demos": frames.name,
            "augment": spec.augment,
            "seed": seed,
            "epochs": epochs,
        }
        name = f"{frames.stem}-{spec.augment}-s{seed}-{digest(made_with, size=6)}"
        out = self.folder / "policies" / self.recipe.script / name
        finished = out / "policy.safetensors"
        if finished.exists():
            return finished
        script = SCRIPTS[self.recipe.script]
        training: dict[str, Any] = {"augment": spec.augment, "seed": seed, "epochs": epochs}
        if self.recipe.script in UNTRAINED:
            training = {}
        config = script.Config(demos=str(self.frames(spec, task)), out=str(out), **training)
        return script.train(config)

    def _fingerprint(self, backbone: str) -> str:
        return StemPipeline(self.recipe.level.stem(backbone), cache=False).fingerprint


def env_kwargs(task: str, size: int, horizon: int | None = None) -> dict[str, Any]:
    """The env of a task as its demonstrations were recorded."""
    return {
        "cameras": list(collect.CAMERAS),
        "size": size,
        "horizon": horizon or collect.HORIZONS[task],
    }
