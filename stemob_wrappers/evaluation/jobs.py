"""The jobs of an evaluation: every condition in every cell of every task, once."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import uuid
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from stemob_wrappers.extras import needs

with needs("report"):
    from rich.progress import Progress, TaskID

from stemob_wrappers.config import StemConfig
from stemob_wrappers.evaluation.cells import check_cells, short_name
from stemob_wrappers.evaluation.learned import keys_for
from stemob_wrappers.evaluation.policies import RAW, Condition
from stemob_wrappers.evaluation.results import CellFiles, Record, digest_of
from stemob_wrappers.evaluation.rollouts import open_vector_env, play
from stemob_wrappers.perturb.suites import Cell
from stemob_wrappers.pictures import write_image
from stemob_wrappers.splits import Split
from stemob_wrappers.wrappers.spaces import find_images, get, name

log = logging.getLogger(__name__)


@dataclass
class Runner:
    """Plays what no file has yet.

    Attributes:
        folder: where finished cells (``cells/``) and pictures (``frames/``) go.
        cells: what is changed, by name; None is the nominal scene.
        seeds: reset seed of each episode.
        split, num_envs, chunk, success_return: of the envs and episodes.
        env_kwargs: arguments of `gymnasium.make` by env id.
        fingerprints: of each stem.
        depends: what else decides the policies' actions, as `content.contents_of` tells it.
        device: where the stems' backbones run.
        bar: what is told of each episode that was played.
    """

    folder: Path
    cells: dict[str, Cell | None]
    seeds: list[int]
    split: Split
    num_envs: int
    chunk: int
    env_kwargs: dict[str, dict[str, Any]]
    success_return: float | None
    fingerprints: dict[StemConfig, str]
    depends: Any
    device: str | None
    bar: Progress
    _line: TaskID = field(init=False)

    def __post_init__(self) -> None:
        self._files = CellFiles(self.folder / "cells")
        self._identities: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._line = self.bar.add_task("")

    def run(
        self, tasks: Sequence[str], conditions: Sequence[Condition]
    ) -> list[tuple[Record, float]]:
        """Return the record of every job, in order, and the seconds that it took.

        Raises:
            ValueError: an env lacks what a cell changes, or a policy does not fit it.
        """
        for condition in conditions:
            self._identities[_key(condition)] = _identity(condition)
        jobs = [
            (task, cell, condition)
            for task in tasks
            for cell in self.cells
            for condition in conditions
            if condition.task in (None, task)
        ]
        done = [len(played[0].seeds) if (played := self._played(*job)) else 0 for job in jobs]
        self.bar.update(self._line, total=len(self.seeds) * len(jobs), completed=sum(done))
        unfinished = {
            job[0] for job, count in zip(jobs, done, strict=True) if count < len(self.seeds)
        }
        for task in tasks:
            if task in unfinished:
                check_cells(task, self.env_kwargs[task], self.cells, self.split)
            for cell in self.cells:
                self._run_cell(task, cell, [job[2] for job in jobs if job[:2] == (task, cell)])
        return [finished for job in jobs if (finished := self._finished(*job)) is not None]

    def frames(self, tasks: Sequence[str], conditions: Sequence[Condition]) -> list[dict[str, str]]:
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
            for stem, label in _stems(
                [condition for condition in conditions if condition.task in (None, task)]
            ).items()
            for path in sorted(self._pictures(task, cell, stem).glob("*.png"))
        ]

    def _run_cell(self, task: str, cell: str, conditions: Sequence[Condition]) -> None:
        """Play what has no file yet in one vector env, and save the first frames."""
        todo = [
            condition for condition in conditions if self._finished(task, cell, condition) is None
        ]
        unseen = [
            stem for stem in _stems(conditions) if not self._pictures(task, cell, stem).is_dir()
        ]
        if not (todo or unseen):
            log.info("%s %s: all conditions were played before", short_name(task), cell)
            return
        names = ", ".join(condition.name for condition in todo)
        log.info(
            "%s %s: playing %s", short_name(task), cell, names or "nothing, for pictures alone"
        )
        where = (task, self.env_kwargs[task], self.cells[cell], self.split)
        with open_vector_env(*where, self.num_envs, self.chunk) as venv:
            for stem in unseen:
                self._save_first_frames(venv, stem, self._pictures(task, cell, stem))
            for condition in todo:
                self.bar.update(
                    self._line, description=f"{short_name(task)} {cell} {condition.name}"
                )
                self._play(venv, task, cell, condition)

    def _play(
        self, venv: VectorEnv[Any, Any, Any], task: str, cell: str, condition: Condition
    ) -> None:
        try:
            policy = condition.load()
            self._check_unchanged(condition)
            before = self._played(task, cell, condition)
            seeds = self.seeds[len(before[0].seeds) if before else 0 :]
            episodes = play(
                venv,
                policy,
                seeds,
                stem=condition.stem,
                keys=keys_for(policy, venv.single_observation_space),
                device=self.device,
                success_return=self.success_return,
                each_episode=self._advance,
            )
        except Exception as error:
            error.add_note(
                f"while condition {condition.name!r} played {task} in the cell {cell}; the cells "
                f"that are finished are kept in {self.folder}: run the same again to go on"
            )
            raise
        record = Record(
            condition=condition.name,
            training_seed=condition.training_seed,
            task=task,
            cell=cell,
            seeds=seeds,
            successes=episodes.successes,
            lengths=episodes.lengths,
            returns=episodes.returns,
            ms_per_step=episodes.ms_per_step,
        )
        seconds = episodes.seconds
        if before is not None:
            record, seconds = before[0].followed_by(record), before[1] + seconds
        settings = self._settings(task, cell, condition)
        self._files.write(self._file(task, cell, condition), record, settings, seconds)

    def _check_unchanged(self, condition: Condition) -> None:
        """The cell goes into a file of what the policy was when the evaluation began."""
        before = self._identities[_key(condition)]
        if before["content"] is not None and condition.identity() != before:
            raise ValueError(
                f"the policy {condition.policy!r} was changed while the evaluation ran; its cells "
                "would not be those of one policy"
            )

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
        for path, layout in find_images(seen.single_observation_space).items():
            image = np.asarray(get(observation, path))[:1]
            camera = name(path).replace("/", " ") or "pixels"
            write_image(temporary / f"{camera}.png", layout.to_frames(image)[-1])
        with contextlib.suppress(FileExistsError):  # another process was as quick
            os.rename(temporary, folder)
        shutil.rmtree(temporary, ignore_errors=True)

    def _pictures(self, task: str, cell: str, stem: StemConfig | None) -> Path:
        settings = self._cell_settings(task, cell) | {"stem": self._fingerprint(stem)}
        return self.folder / "frames" / short_name(task) / f"{cell}-{digest_of(settings)}"

    def _finished(self, task: str, cell: str, condition: Condition) -> tuple[Record, float] | None:
        """The record of all episodes, and the seconds that they took."""
        played = self._played(task, cell, condition)
        return played if played and len(played[0].seeds) == len(self.seeds) else None

    def _played(self, task: str, cell: str, condition: Condition) -> tuple[Record, float] | None:
        """The same of as many of the episodes as have been played, by this run or others."""
        played = self._files.read(self._file(task, cell, condition))
        if played is None:
            return None
        record = played[0].first(len(self.seeds))
        return record, played[1] * len(record.seeds) / len(played[0].seeds)

    def _file(self, task: str, cell: str, condition: Condition) -> Path:
        return self._files.path(condition.name, task, cell, self._settings(task, cell, condition))

    def _settings(self, task: str, cell: str, condition: Condition) -> dict[str, Any]:
        """All that decides a record: a file with other settings is another file."""
        return self._cell_settings(task, cell) | {
            "condition": condition.name,
            **self._identities[_key(condition)],
            "depends": self.depends,
            "fingerprint": self._fingerprint(condition.stem),
        }

    def _cell_settings(self, task: str, cell: str) -> dict[str, Any]:
        return {
            "task": task,
            "cell": cell,
            "split": self.split,
            "first_seed": self.seeds[0],  # of how many is no matter: more begin with the same ones
            "num_envs": self.num_envs,
            "chunk": self.chunk,
            "env_kwargs": self.env_kwargs[task],
            "success_return": self.success_return,
        }

    def _fingerprint(self, stem: StemConfig | None) -> str | None:
        return None if stem is None else self.fingerprints[stem]


def _key(condition: Condition) -> tuple[Any, ...]:
    return (condition.name, condition.training_seed, condition.task)


def _identity(condition: Condition) -> dict[str, Any]:
    identity = condition.identity()
    if identity["content"] is None:
        warnings.warn(
            f"the state of the policy of condition {condition.name!r} cannot be told, so its cells "
            "are played again by every evaluation; name it, as 'module:function:PATH', to go on "
            "where one was stopped",
            stacklevel=2,
        )
        identity["run"] = uuid.uuid4().hex
    return identity


def _stems(conditions: Sequence[Condition]) -> dict[StemConfig | None, str]:
    """The distinct stems, and the first condition of each; no stem is there always, as "raw"."""
    found: dict[StemConfig | None, str] = {None: RAW}
    for condition in conditions:
        found.setdefault(condition.stem, condition.name)
    return found
