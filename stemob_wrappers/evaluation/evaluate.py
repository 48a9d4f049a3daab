"""Compare arms under visual change, cell by cell; run it again to go on where it stopped."""

from __future__ import annotations

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

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stemob_wrappers.config import StemConfig
from stemob_wrappers.evaluation.cells import SuiteLike, choose_cells, episode_seeds
from stemob_wrappers.evaluation.jobs import Runner
from stemob_wrappers.evaluation.policies import Arm
from stemob_wrappers.evaluation.results import FORMAT, Results
from stemob_wrappers.report.statistics import summarise
from stemob_wrappers.splits import Split
from stemob_wrappers.stem.identity import installed_versions


def evaluate(
    arms: Sequence[Arm],
    env_ids: str | Sequence[str],
    *,
    suite: SuiteLike = "all",
    severities: Sequence[int] = (4,),
    episodes: int = 20,
    seed: int = 0,
    split: Split = "test",
    num_envs: int = 2,
    env_kwargs: dict[str, Any] | None = None,
    out: str | os.PathLike[str],
    device: str | None = None,
    reference: str | None = None,
    success_return: float | None = None,
    progress: bool = False,
) -> Results:
    """Roll every arm out in the nominal scene and in every cell of a suite, and compare them.

    All arms see the same episodes: episode e has the same reset seed for each of them, in each
    cell, which decides the task's randomness and the perturbation. Every sub-env has a fixed list
    of episodes. Each finished cell is written to ``out`` at once: the same call goes on where one
    was stopped, and its results differ in nothing but timings and provenance from those of a run
    that was not.

    Writes ``results.json``, ``results.csv`` (one row an episode) and pictures of every cell, from
    which `report.write_report` makes one page.

    Args:
        arms: what is compared; of one name, training seed and task there is one.
        env_ids: registered envs. One that observes no image is rendered as
            `stemob_wrappers.make` does it, with ``size`` and ``camera`` of ``env_kwargs``.
        suite: ``"all"``, another suite's name, or a sequence of groups and single cells.
        severities: of the suite's cells, 1 to 5.
        episodes: in each cell, for each arm.
        seed: of the episodes.
        split: "test" for results that are reported; "dev" for choosing settings. Textures, looks
            and reset seeds of the two have nothing in common.
        num_envs: worker processes.
        env_kwargs: arguments of `gymnasium.make` for all envs, or a dict of such by env id.
        out: folder for results, finished cells and pictures.
        device: where the stems' backbones run; None takes CUDA where there is some.
        reference: the arm that others are compared with; None is the first.
        success_return: for envs whose info has neither ``success`` nor ``is_success``: an episode
            succeeds if its return reaches this.
        progress: show a bar.

    Raises:
        ValueError: no arms, two of them alike, none for an env, an env that lacks what a cell
            changes, an unknown name, a number out of range, or a policy, backbone or env that does
            not fit. Finished cells are kept.
        ImportError, OSError: a policy or backbone that cannot be loaded.
        gymnasium.error.Error: an unknown env.

    Example:
        >>> from stemob_wrappers import StemConfig
        >>> from stemob_wrappers.evaluation import Arm, evaluate
        >>> arms = [Arm("raw", "lift:act"), Arm("stem", "lift:act", StemConfig())]
        >>> results = evaluate(arms, "stemob/Lift-v0", out="results") # doctest: +SKIP
        >>> results.summary["rows"][0]["gen"] # doctest: +SKIP
        {'value': 0.35, 'low': 0.25, 'high': 0.45}
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    tasks = [env_ids] if isinstance(env_ids, str) else list(env_ids)
    env_kwargs = dict(env_kwargs or {})
    _check(arms, tasks, reference, num_envs)
    _check_plain(env_kwargs)
    cells = choose_cells(suite, severities)
    fingerprints = _fingerprints(arms, device)
    for arm in arms:
        arm.load()  # one that cannot be loaded is named now, not after hours
    with _bar(progress) as bar:
        runner = Runner(
            folder=Path(out),
            cells=cells,
            seeds=episode_seeds(seed, split, episodes),
            split=split,
            num_envs=min(num_envs, episodes),
            env_kwargs=_by_task(env_kwargs, tasks),
            success_return=success_return,
            fingerprints=fingerprints,
            device=device,
            bar=bar,
        )
        finished = runner.run(tasks, arms)
    records = [record for record, _ in finished]
    reference = reference or arms[0].name
    content = {
        "format": FORMAT,
        "reference": reference,
        "cells": list(cells),
        "settings": {
            "env_ids": tasks,
            "suite": suite if isinstance(suite, str) else [str(part) for part in suite],
            "severities": list(severities),
            "split": split,
            "episodes": episodes,
            "seed": seed,
            "num_envs": num_envs,
            "env_kwargs": env_kwargs,
            "success_return": success_return,
            "device": device,
        },
        "arms": [
            arm.describe(None if arm.stem is None else fingerprints[arm.stem]) for arm in arms
        ],
        "records": [dataclasses.asdict(record) for record in records],
        "summary": summarise(records, reference=reference, seed=seed),
        "frames": runner.frames(tasks, arms),
        "provenance": {
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "versions": {"python": platform.python_version(), **installed_versions()},
            "started": started,
            "wall_seconds": round(sum(seconds for _, seconds in finished), 1),
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        },
    }
    results = Results(content, Path(out))
    results.write()
    return results


def _check(arms: Sequence[Arm], tasks: Sequence[str], reference: str | None, num_envs: int) -> None:
    names = sorted({arm.name for arm in arms})
    if not arms or not tasks:
        raise ValueError("evaluate needs at least one arm and one env")
    if num_envs < 1:
        raise ValueError(f"num_envs must be 1 or more, received {num_envs}")
    if reference is not None and reference not in names:
        raise ValueError(f"reference must be one of {', '.join(names)}; received {reference!r}")
    keys = [(arm.name, arm.training_seed, arm.task) for arm in arms]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(
                f"arm {key[0]!r} is there twice with training seed {key[1]} and task {key[2]}; "
                "give each its own name, or its training seed"
            )
    for arm in arms:
        if arm.task is not None and arm.task not in tasks:
            raise ValueError(
                f"arm {arm.name!r} is for {arm.task!r}, which is not evaluated: an arm's task "
                f"must be None or one of {', '.join(tasks)}"
            )
    for task in tasks:
        if not any(arm.task in (None, task) for arm in arms):
            raise ValueError(f"no arm is for {task}; leave it out or give an arm for it")


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


def _fingerprints(arms: Sequence[Arm], device: str | None) -> dict[StemConfig, str]:
    """The fingerprint of each stem; a backbone that cannot be loaded is named with its arm."""
    from stemob_wrappers.stem.pipeline import StemPipeline

    found: dict[StemConfig, str] = {}
    for arm in arms:
        if arm.stem is None or arm.stem in found:
            continue
        try:
            found[arm.stem] = StemPipeline(arm.stem, cache=False, device=device).fingerprint
        except Exception as error:
            error.add_note(f"while the stem of arm {arm.name!r} was loaded")
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
