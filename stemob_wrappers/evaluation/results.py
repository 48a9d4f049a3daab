"""Records of an evaluation, and the files they lie in, one for each finished cell."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemob_wrappers.evaluation.cells import short_name
from stemob_wrappers.report.pairing import CLEAN, FORMAT, current_format
from stemob_wrappers.work import digest, whole_file, write_text

RESULTS_JSON, RESULTS_CSV = "results.json", "results.csv"
_LISTS = ("seeds", "successes", "lengths", "returns")  # of a record: one entry an episode
_LONGEST = 60  # characters of a name in a path; file systems take 255


@dataclass(frozen=True)
class Record:
    """One condition in one cell of one task; lists have one entry an episode.

    Attributes:
        condition, training_seed, task, cell: which; the task is an env id, the cell a name.
        seeds: reset seeds, the same for every condition.
        successes, lengths, returns: what happened.
        ms_per_step: milliseconds a step of one env, by part: env, stem, policy. Differs
            from run to run; nothing else does.
    """

    condition: str
    training_seed: int
    task: str
    cell: str
    seeds: list[int]
    successes: list[bool]
    lengths: list[int]
    returns: list[float]
    ms_per_step: dict[str, float]

    @property
    def success_rate(self) -> float:
        """Share of the episodes that succeeded, in [0, 1]."""
        return sum(self.successes) / len(self.successes)

    def first(self, count: int) -> Record:
        """The record of its first ``count`` episodes alone; times stay those of all."""
        return dataclasses.replace(self, **{name: getattr(self, name)[:count] for name in _LISTS})

    def followed_by(self, more: Record) -> Record:
        """The record of these episodes and of ``more``, which were played after them."""
        lists = {name: getattr(self, name) + getattr(more, name) for name in _LISTS}
        share = sum(self.lengths) / sum(lists["lengths"])
        times = {
            part: share * time + (1 - share) * more.ms_per_step[part]
            for part, time in self.ms_per_step.items()
        }
        return dataclasses.replace(self, **lists, ms_per_step=times)


@dataclass(frozen=True)
class Results:
    """All records of an evaluation, and what they were made with.

    Attributes:
        content: what ``results.json`` holds: plain JSON.
        folder: where it lies.
    """

    content: dict[str, Any]
    folder: Path

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> Results:
        """Read what an evaluation wrote.

        Raises:
            FileNotFoundError: no results.json in the folder.
            ValueError: one of another format.

        Example:
            >>> _ = Path("results.json").write_text('{"format": 2, "records": []}')
            >>> Results.read(".").records
            []
        """
        path = Path(folder) / RESULTS_JSON
        if not path.is_file():
            raise FileNotFoundError(f"no {path}: run the evaluation to its end first")
        content = json.loads(path.read_text())
        if content.get("format") not in (1, FORMAT):
            raise ValueError(
                f"{path} must have format {FORMAT} or 1, received {content.get('format')!r}; "
                "evaluate again with this version"
            )
        return cls(current_format(content), Path(folder))

    @property
    def records(self) -> list[Record]:
        """The records, in order."""
        return [Record(**fields) for fields in self.content["records"]]

    @property
    def summary(self) -> dict[str, Any]:
        """Rates, intervals and differences, as `statistics.summarise` gives them."""
        return self.content["summary"]

    def write(self) -> None:
        """Write ``results.json`` and ``results.csv`` into the folder."""
        write_text(self.folder / RESULTS_JSON, json.dumps(self.content, indent=1) + "\n")
        write_csv(self.records, self.folder / RESULTS_CSV)


class CellFiles:
    """Finished cells on disk; a cell that is made with other settings has another file.

    Args:
        folder: where they lie, ``FOLDER/TASK/CELL/CONDITION-….json``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, condition: str, task: str, cell: str, settings: dict[str, Any]) -> Path:
        """Where the file of a condition's cell is."""
        name = f"{file_name(condition)}-{digest_of(settings)}.json"
        return self.folder / file_name(short_name(task)) / cell / name

    def read(self, path: Path) -> tuple[Record, float] | None:
        """A finished cell and the seconds it took; None if there is no whole file."""
        try:
            content = json.loads(path.read_text())
            return Record(**content["record"]), float(content["seconds"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def write(self, path: Path, record: Record, settings: dict[str, Any], seconds: float) -> None:
        """Write a finished cell; a reader never sees half a file, also after a power cut."""
        content = {"record": dataclasses.asdict(record), "settings": settings, "seconds": seconds}
        write_text(path, json.dumps(content) + "\n", sync=True)


def file_name(name: str) -> str:
    """A name as part of a file's: without special characters, and no longer than 60.

    Example:
        >>> file_name("runs/raw: $5")
        'runs-raw-5'
    """
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[:_LONGEST]


def digest_of(settings: dict[str, Any]) -> str:
    """Hash settings to 12 hexadecimal digits.

    Example:
        >>> digest_of({"seed": 0}) == digest_of({"seed": 1})
        False
    """
    return digest({"format": FORMAT, **settings}, size=6)


def write_csv(records: Sequence[Record], path: Path) -> None:
    """Write one row an episode."""
    lines = [
        {
            "task": record.task,
            "cell": record.cell,
            "perturbed": record.cell != CLEAN,
            "condition": record.condition,
            "training_seed": record.training_seed,
            "episode": episode,
            "reset_seed": record.seeds[episode],
            "success": record.successes[episode],
            "length": record.lengths[episode],
            "return": record.returns[episode],
        }
        for record in records
        for episode in range(len(record.seeds))
    ]
    with (
        whole_file(path) as temporary,
        # A name that came from the command line may hold bytes that are no text.
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.DictWriter(file, fieldnames=list(lines[0]) if lines else ["task"])
        writer.writeheader()
        writer.writerows(lines)
