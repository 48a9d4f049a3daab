"""Compare policies under visual change, cell by cell; run it again to go on where it stopped."""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stemob_wrappers.extras import needs

with needs("report"):
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

from stemob_wrappers.config import StemConfig
from stemob_wrappers.evaluation.cells import SuiteLike, choose_cells, episode_seeds
from stemob_wrappers.evaluation.clips import pairs_to_film, record_clip
from stemob_wrappers.evaluation.content import contents_of
from stemob_wrappers.evaluation.jobs import Runner
from stemob_wrappers.evaluation.learned import as_tested
from stemob_wrappers.evaluation.policies import Condition
from stemob_wrappers.evaluation.results import Record, Results
from stemob_wrappers.report import check_installed
from stemob_wrappers.report.comparison import compare
from stemob_wrappers.report.pairing import FORMAT
from stemob_wrappers.splits import Split
from stemob_wrappers.stem.identity import installed_versions


def evaluate(
    conditions: Sequence[Condition],
    env_ids: str | Sequence[str],
    *,
    suite: SuiteLike = "all",
    apart: SuiteLike = (),
    severities: Sequence[int] = (4,),
    episodes: int = 20,
    seed: int = 0,
    split: Split = "test",
    num_envs: int = 2,
    chunk: int = 1,
    env_kwargs: dict[str, Any] | None = None,
    out: str | os.PathLike[str],
    depends: Sequence[str | os.PathLike[str]] = (),
    device: str | None = None,
    reference: str | None = None,
    success_return: float | None = None,
    clip: bool = False,
    progress: bool = False,
) -> Results:
    """Roll every condition out in the nominal scene and in each cell of a suite, and compare them.

    All conditions see the same episodes: episode e has the same reset seed for each of them, in
    each cell, which decides the task's randomness and the perturbation. Every sub-env has a fixed
    list of episodes. Each finished cell is written to ``out`` at once: the same call goes on where
    one was stopped, and its results differ in nothing but timings and provenance from those of a
    run that was not. With more episodes, the missing ones alone are played. A policy whose code, or
    what it loads, has changed since is played again.

    A policy that tells what it learned from (its ``learned_from``, as those of ``experiments`` and
    models of Stable-Baselines3 saved under `StemVecEnv` have it) is tested on the same frames, or,
    if its condition allows a mismatch, in a row whose name says on what.

    Writes ``results.json``, ``results.csv`` (one row an episode) and pictures of every cell, from
    which `report.write_report` makes one page.

    Args:
        conditions: what is compared; of one name, training seed and task there is one.
        env_ids: registered envs. One that observes no image is rendered as
            `stemob_wrappers.make` does it, with ``size`` and ``camera`` of ``env_kwargs``.
        suite: ``"all"``, another suite's name, or a sequence of groups and single cells.
        apart: further cells, which are played and shown, but count in no mean.
        severities: of the suites' cells, 1 to 5.
        episodes: in each cell, for each condition.
        seed: of the episodes.
        split: "test" for results that are reported; "dev" for choosing settings. Textures, looks
            and reset seeds of the two have nothing in common.
        num_envs: worker processes; one env runs in this process.
        chunk: how many actions the policies give at once, [N, chunk, ...]; the envs run them as one
            step (`wrappers.chunk.ActionChunk`) and render what is seen after the last.
        env_kwargs: arguments of `gymnasium.make` for all envs, or a dict of such by env id.
        out: folder for results, finished cells and pictures.
        depends: files and folders that decide what the policies do, beside their source files and
            what their names load: cells are played again if one of these has changed.
        device: where the stems' backbones run; None takes CUDA where there is some.
        reference: the condition that others are compared with; None is the best one without a stem.
        success_return: for envs whose info has neither ``success`` nor ``is_success``: an episode
            succeeds if its return reaches this.
        clip: play one episode again that a condition without a stem failed and one with a stem
            did not, and keep a video of both in ``clips/``, for the report.
        progress: show a bar.

    Raises:
        ValueError: no conditions, two of them alike, none for an env, an env that lacks what a cell
            changes, an unknown name, a number out of range, or a policy, backbone or env that does
            not fit. Finished cells are kept.
        RuntimeError: a script calls this without a ``__main__`` guard, for worker processes.
        ImportError: a policy that cannot be loaded, or a package is missing that reports need.
        OSError: a policy or backbone that cannot be loaded, or nothing at a path of ``depends``.
        gymnasium.error.Error: an unknown env.

    Example:
        >>> import numpy as np
        >>> from stemob_wrappers import StemConfig
        >>> from stemob_wrappers.evaluation import Condition, evaluate
        >>> def stand(images):
        ...     return np.zeros((len(images), 6))
        >>> conditions = [Condition("raw", stand), Condition("stem", stand, StemConfig())]
        >>> settings = {"suite": "lighting", "episodes": 1, "num_envs": 1, "success_return": -9.0}
        >>> settings |= {"env_kwargs": {"size": 48, "max_episode_steps": 3}, "out": "results"}
        >>> evaluate(conditions, "HalfCheetah-v5", **settings).summary["rows"][0]["gen"]["value"]
        1.0
    """
    check_installed()
    if num_envs > 1:
        _check_guarded()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    tasks = [env_ids] if isinstance(env_ids, str) else list(env_ids)
    env_kwargs = dict(env_kwargs or {})
    _check(conditions, tasks, reference)
    _check_numbers(num_envs=num_envs, chunk=chunk)
    _check_plain(env_kwargs)
    cells = choose_cells(suite, severities)
    others = choose_cells(apart, severities)
    left_out = [name for name in others if name not in cells]
    cells |= others
    fingerprints = _fingerprints(conditions, device)
    # A policy that cannot be loaded, or learned from other frames, is named now, not after hours.
    tested = [as_tested(c, c.load(), c.stem and fingerprints[c.stem]) for c in conditions]
    if reference is not None:
        reference = tested[[c.name for c in conditions].index(reference)].name
    conditions = tested
    _check_distinct(conditions)
    with _bar(progress) as bar:
        runner = Runner(
            folder=Path(out),
            cells=cells,
            seeds=episode_seeds(seed, split, episodes),
            split=split,
            num_envs=min(num_envs, episodes),
            chunk=chunk,
            env_kwargs=_by_task(env_kwargs, tasks),
            success_return=success_return,
            fingerprints=fingerprints,
            depends=contents_of([Path(path) for path in depends]),
            device=device,
            bar=bar,
        )
        finished = runner.run(tasks, conditions)
    records = [record for record, _ in finished]
    content: dict[str, Any] = {
        "format": FORMAT,
        "reference": reference or conditions[0].name,
        "cells": list(cells),
        "apart": left_out,
        "settings": {
            "env_ids": tasks,
            "suite": suite if isinstance(suite, str) else [str(part) for part in suite],
            "severities": list(severities),
            "split": split,
            "episodes": episodes,
            "seed": seed,
            "num_envs": num_envs,
            "chunk": chunk,
            "env_kwargs": env_kwargs,
            "success_return": success_return,
            "reference": reference,
            "depends": [str(path) for path in depends],
            "device": device,
        },
        "conditions": [
            condition.describe(None if condition.stem is None else fingerprints[condition.stem])
            for condition in conditions
        ],
        "records": [dataclasses.asdict(record) for record in records],
        "frames": runner.frames(tasks, conditions),
        "clips": _clips(conditions, records, runner) if clip else [],
        "provenance": {
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "versions": {"python": platform.python_version(), **installed_versions()},
            "started": started,
            "wall_seconds": round(sum(seconds for _, seconds in finished), 1),
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        },
    }
    content["summary"] = compare(content, reference)
    content["reference"] = content["summary"]["reference"]
    results = Results(content, Path(out))
    results.write()
    return results


def _clips(
    conditions: Sequence[Condition], records: Sequence[Record], runner: Runner
) -> list[dict[str, Any]]:
    """The first clip that can be had, of the pairs of conditions in their order."""
    for left, right in pairs_to_film(conditions):
        found = record_clip(
            records,
            left,
            right,
            cells=runner.cells,
            env_kwargs=runner.env_kwargs,
            split=runner.split,
            folder=runner.folder,
            chunk=runner.chunk,
            success_return=runner.success_return,
            device=runner.device,
        )
        if found is not None:
            return [found]
    return []


def _check(conditions: Sequence[Condition], tasks: Sequence[str], reference: str | None) -> None:
    names = sorted({condition.name for condition in conditions})
    if not conditions or not tasks:
        raise ValueError("evaluate needs at least one condition and one env")
    if reference is not None and reference not in names:
        raise ValueError(f"reference must be one of {', '.join(names)}; received {reference!r}")
    _check_distinct(conditions)
    for condition in conditions:
        if condition.task is not None and condition.task not in tasks:
            raise ValueError(
                f"condition {condition.name!r} is for {condition.task!r}, which is not evaluated: "
                f"its task must be None or one of {', '.join(tasks)}"
            )
    for task in tasks:
        if not any(condition.task in (None, task) for condition in conditions):
            raise ValueError(f"no condition is for {task}; leave it out or give a condition for it")


def _check_guarded() -> None:
    """Raise where worker processes would run the calling script again, each from its start."""
    frame = sys._getframe(1)
    while frame is not None and not (
        frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") == "__main__"
    ):
        frame = frame.f_back
    path = Path(frame.f_code.co_filename) if frame is not None else None
    if frame is None or path is None or not path.is_file():
        return
    for part in ast.parse(path.read_bytes()).body:
        if part.lineno <= frame.f_lineno <= (part.end_lineno or part.lineno):
            if isinstance(part, ast.If) and "__name__" in ast.unparse(part.test):
                return
            raise RuntimeError(
                f"worker processes run {path} again from its start: put what line "
                f'{frame.f_lineno} does under `if __name__ == "__main__":`, or take num_envs=1'
            )


def _check_distinct(conditions: Sequence[Condition]) -> None:
    keys = [(condition.name, condition.training_seed, condition.task) for condition in conditions]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(
                f"condition {key[0]!r} is there twice with training seed {key[1]} and task "
                f"{key[2]}; give each its own name, or its training seed"
            )


def _check_numbers(**settings: int) -> None:
    for name, number in settings.items():
        if number < 1:
            raise ValueError(f"{name} must be 1 or more, received {number}")


def _by_task(env_kwargs: dict[str, Any], tasks: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The arguments of each env."""
    if not set(env_kwargs) & set(tasks):
        return dict.fromkeys(tasks, env_kwargs)
    unknown = sorted(set(env_kwargs) - set(tasks))
    if unknown:
        raise ValueError(
            f"env_kwargs must name arguments of all envs or have a dict for each env id, received "
            f"both: {', '.join(unknown)} is none of {', '.join(tasks)}"
        )
    return {task: env_kwargs.get(task, {}) for task in tasks}


def _check_plain(env_kwargs: dict[str, Any]) -> None:
    try:
        json.dumps(env_kwargs)
    except TypeError as error:
        raise ValueError(
            f"env_kwargs go into the results and must be plain JSON values ({error}), "
            f"received {env_kwargs!r}"
        ) from error


def _fingerprints(conditions: Sequence[Condition], device: str | None) -> dict[StemConfig, str]:
    """The fingerprint of each stem; one that cannot be loaded is named with its condition."""
    from stemob_wrappers.stem.pipeline import StemPipeline

    found: dict[StemConfig, str] = {}
    for condition in conditions:
        if condition.stem is None or condition.stem in found:
            continue
        try:
            found[condition.stem] = StemPipeline(
                condition.stem, cache=False, device=device
            ).fingerprint
        except Exception as error:
            error.add_note(f"while the stem of condition {condition.name!r} was loaded")
            raise
    return found


def _bar(show: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("episodes"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not show,
    )
