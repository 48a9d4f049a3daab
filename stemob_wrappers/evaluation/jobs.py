"""The jobs of an evaluation: every arm in every cell of every task, those without a file first."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from rich.progress import Progress, TaskID

from stemob_wrappers.config import StemConfig
from stemob_wrappers.evaluation.cells import check_cells, short_name
from stemob_wrappers.evaluation.policies import RAW, Arm
from stemob_wrappers.evaluation.results import CellFiles, Record, digest_of
from stemob_wrappers.evaluation.rollouts import open_vector_env, play
from stemob_wrappers.perturb.suites import Cell
from stemob_wrappers.pictures import write_image
from stemob_wrappers.splits import Split
from stemob_wrappers.wrappers.spaces import find_images, get, name


@dataclass
class Runner:
    """Plays what no file has yet.

    Attributes:
        folder: where finished cells (``cells/``) and pictures (``frames/``) go.
        cells: the conditions by name; None is the nominal scene.
        seeds: reset seed of each episode.
        split, num_envs, success_return: of the envs and episodes.
        env_kwargs: arguments of `gymnasium.make` by env id.
        fingerprints: of each stem.
        device: where the stems' backbones run.
        bar: what is told of each episode that was played.
    """

    folder: Path
    cells: dict[str, Cell | None]
    seeds: list[int]
    split: Split
    num_envs: int
    env_kwargs: dict[str, dict[str, Any]]
    success_return: float | None
    fingerprints: dict[StemConfig, str]
    device: str | None
    bar: Progress
    _line: TaskID = field(init=False)

    def __post_init__(self) -> None:
        self._files = CellFiles(self.folder / "cells")
        self._line = self.bar.add_task("")

    def run(self, tasks: Sequence[str], arms: Sequence[Arm]) -> list[tuple[Record, float]]:
        """Return the record of every job, in order, and the seconds that it took.

        Raises:
            ValueError: an env lacks what a cell changes, or a policy does not fit it.
        """
        jobs = [
            (task, cell, arm)
            for task in tasks
            for cell in self.cells
            for arm in arms
            if arm.task in (None, task)
        ]
        missing = [job for job in jobs if self._finished(*job) is None]
        done = len(self.seeds) * (len(jobs) - len(missing))
        self.bar.update(self._line, total=len(self.seeds) * len(jobs), completed=done)
        for task in tasks:
            if any(job[0] == task for job in missing):
                check_cells(task, self.env_kwargs[task], self.cells, self.split)
            for cell in self.cells:
                self._run_cell(task, cell, [job[2] for job in jobs if job[:2] == (task, cell)])
        return [finished for job in jobs if (finished := self._finished(*job)) is not None]

    def frames(self, tasks: Sequence[str], arms: Sequence[Arm]) -> list[dict[str, str]]:
        """Where the pictures of each cell lie: the first frame, raw and of each stem."""
        return [
            {
                "task": task,
                "cell": cell,
                "camera": path.stem.replace(" ", "/"),
                "label": label,
                "path": path.relative_to(self.folder).as_posix(),
            }
            for task in tasks
            for cell in self.cells
            for stem, label in _stems([arm for arm in arms if arm.task in (None, task)]).items()
            for path in sorted(self._pictures(task, cell, stem).glob("*.png"))
        ]

    def _run_cell(self, task: str, cell: str, arms: Sequence[Arm]) -> None:
        """Play all arms that have no file yet in one vector env, and save the first frames."""
        todo = [arm for arm in arms if self._finished(task, cell, arm) is None]
        unseen = [stem for stem in _stems(arms) if not self._pictures(task, cell, stem).is_dir()]
        if not (todo or unseen):
            return
        where = (task, self.env_kwargs[task], self.cells[cell], self.split, self.num_envs)
        with open_vector_env(*where) as venv:
            for stem in unseen:
                self._save_first_frames(venv, stem, self._pictures(task, cell, stem))
            for arm in todo:
                self.bar.update(self._line, description=f"{short_name(task)} {cell} {arm.name}")
                self._play(venv, task, cell, arm)

    def _play(self, venv: VectorEnv[Any, Any, Any], task: str, cell: str, arm: Arm) -> None:
        try:
            episodes = play(
                venv,
                arm.load(),
                self.seeds,
                stem=arm.stem,
                device=self.device,
                success_return=self.success_return,
                each_episode=self._advance,
            )
        except Exception as error:
            error.add_note(
                f"while arm {arm.name!r} played {task} in the cell {cell}; the cells that are "
                f"finished are kept in {self.folder}: run the same again to go on"
            )
            raise
        record = Record(
            arm=arm.name,
            training_seed=arm.training_seed,
            task=task,
            cell=cell,
            seeds=self.seeds,
            successes=episodes.successes,
            lengths=episodes.lengths,
            returns=episodes.returns,
            ms_per_step=episodes.ms_per_step,
        )
        settings = self._settings(task, cell, arm)
        self._files.write(self._file(task, cell, arm), record, settings, episodes.seconds)

    def _advance(self) -> None:
        self.bar.advance(self._line)

    def _save_first_frames(
        self, venv: VectorEnv[Any, Any, Any], stem: StemConfig | None, folder: Path
    ) -> None:
        from stemob_wrappers.vector import StemObservation

        seen: Any = venv
        if stem is not None:
            seen = StemObservation(venv, stem, cache=False, device=self.device)
        observation, _ = seen.reset(seed=[self.seeds[0]] * venv.num_envs)
        temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
        for path, layout in find_images(venv.single_observation_space).items():
            image = np.asarray(get(observation, path))[:1]
            camera = name(path).replace("/", " ") or "pixels"
            write_image(temporary / f"{camera}.png", layout.to_frames(image)[-1])
        with contextlib.suppress(FileExistsError):  # another process was as quick
            os.rename(temporary, folder)
        shutil.rmtree(temporary, ignore_errors=True)

    def _pictures(self, task: str, cell: str, stem: StemConfig | None) -> Path:
        settings = self._condition(task, cell) | {"stem": self._fingerprint(stem)}
        return self.folder / "frames" / short_name(task) / f"{cell}-{digest_of(settings)}"

    def _finished(self, task: str, cell: str, arm: Arm) -> tuple[Record, float] | None:
        return self._files.read(self._file(task, cell, arm))

    def _file(self, task: str, cell: str, arm: Arm) -> Path:
        return self._files.path(arm.name, task, cell, self._settings(task, cell, arm))

    def _settings(self, task: str, cell: str, arm: Arm) -> dict[str, Any]:
        """All that decides a record: a file with other settings is another file."""
        return self._condition(task, cell) | {
            "arm": arm.name,
            **arm.identity(),
            "fingerprint": self._fingerprint(arm.stem),
        }

    def _condition(self, task: str, cell: str) -> dict[str, Any]:
        return {
            "task": task,
            "cell": cell,
            "split": self.split,
            "seeds": self.seeds,
            "num_envs": self.num_envs,
            "env_kwargs": self.env_kwargs[task],
            "success_return": self.success_return,
        }

    def _fingerprint(self, stem: StemConfig | None) -> str | None:
        return None if stem is None else self.fingerprints[stem]


def _stems(arms: Sequence[Arm]) -> dict[StemConfig | None, str]:
    """The distinct stems, and the first arm that has each; no stem is there always, as "raw"."""
    found: dict[StemConfig | None, str] = {None: RAW}
    for arm in arms:
        found.setdefault(arm.stem, arm.name)
    return found
