"""The figures of docs/policies.md: what a repair, an objective and a retrieval are worth on Lift.

    python -m experiments.robustness.policy_figures learning --work DIR --seeds 3
    python -m experiments.robustness.policy_figures retrieval --work DIR

`learning` trains behavioural cloning on clean, polluted and restored demonstrations and DBC on
clean ones, measures their error on held-out clean demonstrations and plays them in the nominal
scene. `retrieval` plays VINN on raw and on stem frames,
by pixels and by the backbone's layout, under every change of look. All on the "dev" split of
episodes and looks. It may be stopped at any moment and goes on from DIR when it is run again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from experiments.imitation import bc, collect, dbc, vinn
from experiments.imitation.data import load_demos, take_batch
from experiments.imitation.loop import Training
from experiments.imitation.pollute_demos import pollute_demos
from experiments.imitation.restore_demos import mean_error, restore_demos
from experiments.robustness.run import print_table
from experiments.robustness.sizes import SEVERITY, SUITE
from experiments.robustness.train import env_kwargs
from stemob_wrappers import StemConfig
from stemob_wrappers.datasets import invert_dataset
from stemob_wrappers.evaluation import Condition, Results, evaluate
from stemob_wrappers.scene.gl import ensure_gl

TASK, ENV = "Lift", "stemob/Lift-v0"
BATCH = 256
STEMS = {"stem": StemConfig(), "canonical": StemConfig(backbone="embedded-canonical")}
PIXELS = {"features": "pixels", "cells": 12}  # 7 cells are too few to see the cube in


def main(arguments: Sequence[str] | None = None) -> Results:
    settings = parse(arguments)
    ensure_gl()
    work: Path = settings.work
    work.mkdir(parents=True, exist_ok=True)
    lift = collect.collect(TASK, work / "lift.hdf5", episodes=settings.demos)
    study = {"learning": learning, "retrieval": retrieval}[settings.study]
    results = study(lift, settings)
    print_table(results)
    return results


def learning(lift: Path, settings: argparse.Namespace) -> Results:
    """Clean, polluted and restored demonstrations, and DBC, seed by seed."""
    files = {"BC, clean": lift, **repaired(lift, settings.work)}
    sizes = {"epochs": settings.epochs}
    conditions: list[Condition] = []
    results = None
    for seed in range(settings.seeds):
        for name, demos in files.items():
            conditions.append(trained(name, bc, demos, settings, seed=seed, **sizes))
        dbc_sizes = {**sizes, "model_epochs": 3 * settings.epochs}
        conditions.append(trained("DBC, clean", dbc, lift, settings, seed=seed, **dbc_sizes))
        for condition in conditions[-len(files) - 1 :]:
            error = held_out_error(condition, lift)
            print(f"{condition.name}, seed {seed}: held-out error {error:.4f}", flush=True)
        results = play(conditions, [], settings)  # what is played already is not played again
        for record in results.records:
            print(record.condition, record.training_seed, sum(record.successes))
    assert results is not None, "there is a seed at least"
    return results


@torch.inference_mode()
def held_out_error(condition: Condition, demos: Path) -> float:
    """Mean absolute error of the planned actions, on the demonstrations kept for validation."""
    policy: Any = condition.load()
    valid, total = load_demos(demos, "valid"), 0.0
    for index in torch.arange(len(valid)).split(BATCH):
        batch = take_batch(valid, index, Training.chunk)
        images = {key: frames.to(policy.device) for key, frames in batch.images.items()}
        planned = policy.plan(images, batch.hand.to(policy.device), torch.zeros(len(index)))
        total += (planned.cpu() - batch.actions).abs().mean().item() * len(index)
    return total / len(valid)


def repaired(lift: Path, work: Path) -> dict[str, Path]:
    """Demonstrations with a fifth of their actions polluted, and those restored."""
    polluted, restored = work / "lift-polluted.hdf5", work / "lift-restored.hdf5"
    if not polluted.exists():
        pollute_demos(lift, polluted)
    if not restored.exists():
        print(restore_demos(polluted, restored))
    for path in (polluted, restored):
        print(f"{path.name}: mean absolute error of actions {mean_error(path, lift):.4f}")
    return {"BC, polluted": polluted, "BC, restored": restored}


def retrieval(lift: Path, settings: argparse.Namespace) -> Results:
    """Nearest neighbours on raw and on stem frames, by pixels and by layout latents."""
    frames: list[tuple[str, Path, StemConfig | None]] = [("raw", lift, None)]
    for name, stem in STEMS.items():
        stems = settings.work / f"lift-{name}.hdf5"
        if not stems.exists():
            invert_dataset(lift, stems, stem, progress=True)
        frames.append((name, stems, stem))
    conditions = [
        trained(f"VINN, {features}, {name}", vinn, demos, settings, stem=stem, **options)
        for features, options in (("pixels", PIXELS), ("layout", {}))
        for name, demos, stem in frames
    ]
    return play(conditions, SUITE, settings)


def trained(
    name: str,
    script: ModuleType,
    demos: Path,
    settings: argparse.Namespace,
    stem: StemConfig | None = None,
    **options: Any,
) -> Condition:
    """A condition and its policy; one that was made before is not made again."""
    seed = options.get("seed", 0)
    out = settings.work / "policies" / f"{name.replace(', ', '-').replace(' ', '-')}-s{seed}"
    path = script.train(script.Config(demos=str(demos), out=str(out), **options))
    return Condition(name, f"{script.__name__}:load:{path}", stem, training_seed=seed)


def play(
    conditions: list[Condition], suite: Sequence[str], settings: argparse.Namespace
) -> Results:
    return evaluate(
        conditions,
        ENV,
        suite=suite,
        severities=[SEVERITY],
        episodes=settings.episodes,
        split="dev",
        num_envs=1,
        chunk=Training.execute,
        env_kwargs=env_kwargs(TASK, 84),
        out=settings.work / settings.study,
        progress=True,
    )


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", choices=("learning", "retrieval"))
    parser.add_argument("--work", type=Path, required=True, help="folder for all that is made")
    parser.add_argument("--demos", type=int, default=150, help="demonstrations")
    parser.add_argument("--epochs", type=int, default=10, help="of each training")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each policy")
    parser.add_argument("--episodes", type=int, default=20, help="in each cell")
    settings = parser.parse_args(arguments)
    if settings.seeds < 1:
        parser.error(f"--seeds must be at least 1, got {settings.seeds}")
    return settings


if __name__ == "__main__":
    main()
