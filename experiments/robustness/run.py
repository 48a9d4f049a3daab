"""How much success is kept when the light, textures, colours and background change?

    python -m experiments.robustness.run --work DIR --screen     # all on Lift, one training seed
    python -m experiments.robustness.run --work DIR              # the best-placed ones, in full
    python -m experiments.robustness.run --work DIR --miniature  # a minute

Demonstrations of scripted experts are collected, turned into stem frames, and policies trained on
them; each is then rolled out on the same episodes in the nominal scene and in cells of severity 4.
The screening runs on the "dev" split of textures, looks and episodes. It decides which
augmentations are joined with stems and which conditions the full table has; that is made on "test".

It takes hours, may be stopped at any moment and goes on from DIR when it is run again. Writes
results/robustness*.json and the report beside it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.imitation.loop import Training
from experiments.robustness.conditions import (
    AUGMENTED,
    CONDITIONS,
    SINGLE,
    ConditionSpec,
    Level,
    best_placed,
    choose_conditions,
    joined_with,
)
from experiments.robustness.republish import with_meanings
from experiments.robustness.train import SCRIPTS, UNTRAINED, Recipe, TrainedPolicies, env_kwargs
from stemob_wrappers.augment import NAMES as AUGMENTATIONS
from stemob_wrappers.evaluation import Results, evaluate
from stemob_wrappers.evaluation.results import RESULTS_JSON
from stemob_wrappers.report.statistics import ALL_TASKS
from stemob_wrappers.scene.gl import ensure_gl
from stemob_wrappers.splits import HELD_OUT

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
SUITE = ("lighting", "texture", "colour", "background")
SEVERITY = 4
BEST_PLACED = 5


@dataclass(frozen=True)
class Study:
    """How large a table is.

    Attributes:
        name: of its files.
        tasks: training seeds by task.
        demos: demonstrations by task.
        epochs: of each training, by task.
        augmented_epochs: the same over augmented demonstrations, of which there are three times as
            many.
        episodes: in each cell.
        split: of textures, looks and episodes.
        suite: the cells beside the nominal one.
        horizon: steps of an episode at most; None leaves what collect.py has.
        size: of the frames, in pixels.
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


DEMOS = {"Lift": 150, "Stack": 600}
EPOCHS = {"Lift": 20, "Stack": 24}
AUGMENTED_EPOCHS = {"Lift": 20, "Stack": 8}  # as many steps as 24 over the demonstrations
SCREEN = Study("robustness-screen", {"Lift": 1}, DEMOS, EPOCHS, AUGMENTED_EPOCHS, 12, "dev")
FULL = Study("robustness", {"Lift": 3, "Stack": 2}, DEMOS, EPOCHS, AUGMENTED_EPOCHS, 20, "test")
MINIATURE = Study(
    "robustness-miniature", {"Lift": 1}, {"Lift": 2}, {"Lift": 1}, {"Lift": 1}, 1, "dev",
    ("lighting",), 8, 48,
)  # fmt: skip
MINIATURE_CONDITIONS = (
    "raw", "embedded", "raw (test embedded)", "random_conv", "random appearance",
    "embedded-canonical of augmented",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> Results:
    settings = parse(arguments)
    ensure_gl()
    study = study_of(settings)
    recipe = Recipe(
        demos=study.demos,
        epochs=study.epochs,
        augmented_epochs=study.augmented_epochs,
        script=settings.policy,
        level=Level(noise=settings.noise, inversion_steps=settings.inversion_steps),
        workers=settings.num_envs,
        size=study.size,
    )
    policies = TrainedPolicies(settings.work, recipe)
    out = settings.work / study.name
    conditions = first_conditions(settings, study)
    policies.check(
        [*conditions, *joined_with(AUGMENTATIONS[0], conditions)] if settings.screen else conditions
    )

    results = compare(policies, conditions, study, out, settings.num_envs)
    if settings.screen and not settings.conditions:
        for augmentation in best_augmentations(gen_of(results)):
            conditions += joined_with(augmentation, SINGLE)
        conditions += AUGMENTED
        results = compare(policies, conditions, study, out, settings.num_envs)
    return publish(results, study, recipe, conditions, settings)


def compare(
    policies: TrainedPolicies,
    specs: Sequence[ConditionSpec],
    study: Study,
    out: Path,
    num_envs: int,
) -> Results:
    """Train what is not trained yet, play what is not played yet."""
    conditions = [
        policies.condition(spec, task, seed)
        for task, seeds in study.tasks.items()
        for spec in specs
        for seed in range(seeds)
    ]
    ids = {task: f"stemob/{task}-v0" for task in study.tasks}
    return evaluate(
        conditions,
        list(ids.values()),
        suite=study.suite,
        severities=[SEVERITY],
        episodes=study.episodes,
        split=study.split,  # pyright: ignore[reportArgumentType]
        num_envs=num_envs,
        chunk=Training.execute,
        env_kwargs={ids[task]: env_kwargs(task, study.size, study.horizon) for task in study.tasks},
        out=out,
        progress=True,
    )


def first_conditions(settings: argparse.Namespace, study: Study) -> list[ConditionSpec]:
    """The conditions that are named, or those that the screening placed best.

    Raises:
        FileNotFoundError: there was no screening.
    """
    if settings.conditions:
        return choose_conditions([name.strip() for name in settings.conditions.split(",")])
    if settings.miniature:
        return choose_conditions(MINIATURE_CONDITIONS)
    if settings.screen:
        return list(SINGLE)
    screening = settings.work / SCREEN.name
    try:
        placed = gen_of(Results.read(screening))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error}; the full table has the conditions that the screening placed best: run it "
            "with --screen first, or name some with --conditions"
        ) from error
    return choose_conditions(best_placed(placed, BEST_PLACED))


def gen_of(results: Results) -> dict[str, float]:
    """Mean success over the perturbed cells, by condition, over all tasks."""
    return {
        row["condition"]: row["gen"]["value"]
        for row in results.summary["rows"]
        if row["task"] == ALL_TASKS
    }


def best_augmentations(gen: dict[str, float]) -> list[str]:
    """The two augmentations of raw frames with the highest Gen."""
    tried = (name for name in gen if name in AUGMENTATIONS)
    return sorted(tried, key=lambda name: -gen[name])[:2]


def publish(
    results: Results,
    study: Study,
    recipe: Recipe,
    conditions: Sequence[ConditionSpec],
    settings: argparse.Namespace,
) -> Results:
    """Add how the policies were made, write JSON and report, print the table."""
    from stemob_wrappers.report.page import write_report

    about = {
        "study": dataclasses.asdict(study),
        "recipe": dataclasses.asdict(recipe),
        "conditions": [dataclasses.asdict(condition) for condition in conditions],
        "backbone_knew_task": {task: task not in HELD_OUT["tasks"] for task in study.tasks},
    }
    text = json.dumps(with_meanings({**results.content, "benchmark": about}))
    # Where things lie on this machine is nobody's concern.
    places = {settings.results: "RESULTS", settings.work: "WORK", Path(__file__).parents[2]: "."}
    for place, name in places.items():
        text = text.replace(str(place), name)
    results = Results(json.loads(text), results.folder)
    results.write()
    report = write_report(results.content, results.folder)
    settings.results.mkdir(parents=True, exist_ok=True)
    shutil.copy(results.folder / RESULTS_JSON, settings.results / f"{study.name}.json")
    shutil.copy(report, settings.results / f"{study.name}.html")
    print_table(results)
    return results


def print_table(results: Results) -> None:
    cells = results.content["cells"]
    table = Table(title="success rate, and Gen with its interval")
    for column in ("task", "condition", *cells, "Gen", "Gen beyond reference"):
        table.add_column(column, overflow="fold")
    for row in results.summary["rows"]:
        rates = [f"{row['cells'][cell]['rate']:.2f}" for cell in cells]
        difference = (row["difference"] or {}).get("gen")
        table.add_row(
            row["task"], row["condition"], *rates, _interval(row["gen"]), _interval(difference)
        )
    console = Console()
    console.width = max(console.width, 160)  # a log file would cut the columns
    console.print(table)


def _interval(value: dict[str, Any] | None) -> str:
    return (
        "" if value is None else f"{value['value']:.2f} [{value['low']:.2f}, {value['high']:.2f}]"
    )


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
    )


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for all that is made")
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--screen", action="store_true", help="all conditions on Lift, one training seed"
    )
    size.add_argument("--miniature", action="store_true", help="little of everything")
    parser.add_argument("--conditions", default="", help=f"by commas, of: {', '.join(CONDITIONS)}")
    parser.add_argument("--tasks", default="", help="by commas; Lift:2 has two training seeds")
    parser.add_argument("--split", choices=("dev", "test"), help="dev to choose, test to report")
    parser.add_argument("--policy", choices=SCRIPTS, default="bc")
    parser.add_argument("--demos", type=int, help="demonstrations a task")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--episodes", type=int, help="in each cell")
    parser.add_argument("--inversion-steps", type=int, default=Level().inversion_steps)
    parser.add_argument("--noise", default=Level.noise)
    parser.add_argument("--num-envs", type=int, default=2, help="processes that simulate")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for table and report")
    settings = parser.parse_args(arguments)
    settings.work, settings.results = settings.work.resolve(), settings.results.resolve()
    return settings


if __name__ == "__main__":
    main()
