"""Demonstrations, their stem frames and the policies trained on them, in a work folder.

Everything is filed under what it was made with, is made once and is taken up again where it was
left. The scripts of experiments/imitation do the work, as anyone would call them.
"""

from __future__ import annotations

import dataclasses
import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from experiments.robustness.conditions import ArmSpec, Level
from stemob_wrappers import StemPipeline
from stemob_wrappers.datasets import invert_dataset
from stemob_wrappers.evaluation import Arm
from stemob_wrappers.evaluation.results import digest_of

SCRIPTS = {"bc": "bc", "diffusion": "diffusion_policy"}


@dataclass(frozen=True)
class Recipe:
    """How policies are made.

    Attributes:
        demos: demonstrations of each task.
        epochs: passes over them, by task.
        copy_epochs: passes over three copies of them, by task, of the arms that have these.
        script: a key of SCRIPTS.
        level: of the stems.
        workers: processes that render demonstrations, and that turn them into stem frames.
    """

    demos: dict[str, int]
    epochs: dict[str, int]
    copy_epochs: dict[str, int]
    script: str
    level: Level
    workers: int


class Workshop:
    """Makes what an arm needs, at need.

    Args:
        folder: where all of it lies.
        recipe: how it is made.
    """

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.folder = folder
        self.recipe = recipe

    def check(self, arms: list[ArmSpec]) -> None:
        """Load every backbone that the arms name, before hours are spent on the first arms.

        Raises:
            ValueError, OSError: one cannot be loaded; the message names the arms.
        """
        stems = {stem for arm in arms for stem in (arm.train_stem, arm.test_stem) if stem}
        for backbone in sorted(stems):
            names = [arm.name for arm in arms if backbone in (arm.train_stem, arm.test_stem)]
            try:
                self._fingerprint(backbone)
            except (ValueError, OSError) as error:
                raise type(error)(
                    f"{error}. It is asked for by {', '.join(names)}: leave them out with --arms"
                ) from error

    def arm(self, spec: ArmSpec, task: str, seed: int) -> Arm:
        """A trained arm of a task, for the evaluation."""
        script = f"experiments.imitation.{SCRIPTS[self.recipe.script]}"
        return Arm(
            name=spec.name,
            policy=f"{script}:load:{self.policy(spec, task, seed)}",
            stem=self.recipe.level.stem(spec.test_stem),
            training_seed=seed,
            task=f"stemob/{task}-v0",
        )

    def frames_path(self, spec: ArmSpec, task: str) -> Path:
        """Where the demonstrations lie, or would lie, that an arm learns from."""
        look = "nominal" if spec.appearance is None else "random"
        name = f"{task}-{look}-{self.recipe.demos[task]}"
        if spec.copies:
            name += "-augmented"
        if spec.train_stem is not None:
            name += f"-{spec.train_stem}-{self._fingerprint(spec.train_stem)[:12]}"
        return self.folder / "demos" / f"{name}.hdf5"

    def frames(self, spec: ArmSpec, task: str) -> Path:
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
        elif spec.copies:
            source = self.frames(dataclasses.replace(spec, copies=False), task)
            _script("augment_demos").augment_demos(source, target)
        else:
            _script("collect").collect(
                task,
                target,
                episodes=self.recipe.demos[task],
                workers=self.recipe.workers,
                appearance=spec.appearance,
            )
        return target

    def policy(self, spec: ArmSpec, task: str, seed: int) -> Path:
        """The file of a trained policy; arms that differ at test time only share it.

        One that is there needs no demonstrations any more: they, or a GPU, may be elsewhere.
        """
        frames = self.frames_path(spec, task)
        epochs = (self.recipe.copy_epochs if spec.copies else self.recipe.epochs)[task]
        made_with: dict[str, Any] = {
            "script": self.recipe.script,
            "demos": frames.name,
            "augment": spec.augment,
            "seed": seed,
            "epochs": epochs,
        }
        name = f"{frames.stem}-{spec.augment}-s{seed}-{digest_of(made_with)}"
        out = self.folder / "policies" / self.recipe.script / name
        finished = out / "policy.safetensors"
        if finished.exists():
            return finished
        script = _script(SCRIPTS[self.recipe.script])
        config = script.Config(
            demos=str(self.frames(spec, task)),
            out=str(out),
            augment=spec.augment,
            seed=seed,
            epochs=epochs,
        )
        return script.train(config)

    def _fingerprint(self, backbone: str) -> str:
        return StemPipeline(self.recipe.level.stem(backbone), cache=False).fingerprint


def env_kwargs(task: str, horizon: int | None = None) -> dict[str, Any]:
    """The env of a task as its demonstrations were recorded, for policies that act in chunks."""
    collect = _script("collect")
    return {
        "cameras": list(collect.CAMERAS),
        "horizon": horizon or collect.HORIZONS[task],
        "chunk": _script("loop").Training.execute,
    }


def _script(name: str) -> ModuleType:
    return importlib.import_module(f"experiments.imitation.{name}")
