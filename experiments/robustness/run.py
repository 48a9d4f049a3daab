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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.imitation.loop import Training
from experiments.robustness.conditions import (
    CANONICAL,
    CONDITIONS,
    COPIES,
    OWN,
    OWN_BACKBONE,
    SINGLE,
    STEM,
    ConditionSpec,
    Level,
    augmented,
    best_placed,
    choose_conditions,
    joined_with,
)
from experiments.robustness.republish import with_meanings
from experiments.robustness.sizes import (
    APART,
    SCREEN,
    SEVERITY,
    Study,
    study_of,
)
from experiments.robustness.train import SCRIPTS, Recipe, TrainedPolicies, env_kwargs
from stemob_wrappers.augment import NAMES as AUGMENTATIONS
from stemob_wrappers.evaluation import Results, evaluate
from stemob_wrappers.evaluation.results import RESULTS_JSON
from stemob_wrappers.report.statistics import ALL_TASKS
from stemob_wrappers.scene.gl import ensure_gl
from stemob_wrappers.splits import HELD_OUT

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
BEST_PLACED = 5
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
        own=settings.own_backbone,
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
        stems = (None, STEM, CANONICAL, *([OWN] if settings.own_backbone else []))
        conditions += [augmented(stem, copies) for copies in settings.copies for stem in stems]
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
        apart=APART if study.apart else (),
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
        return [*SINGLE, *choose_conditions([OWN] if settings.own_backbone else [])]
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
    places: dict[Any, str] = {folder: f"OWN-{task}" for task, folder in recipe.own.items()}
    places |= {settings.results: "RESULTS", settings.work: "WORK", Path(__file__).parents[2]: "."}
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
    parser.add_argument(
        "--apart",
        action="store_true",
        help="also play severity 3, all four at once at 3, camera and distractors; no part of Gen",
    )
    parser.add_argument("--inversion-steps", type=int, default=Level().inversion_steps)
    parser.add_argument("--noise", default=Level.noise)
    parser.add_argument(
        "--copies",
        type=_numbers_of(COPIES),
        default=COPIES,
        help="augmented copies of a demonstration that the screening tries, by commas",
    )
    parser.add_argument(
        "--own-backbone",
        action="append",
        default=[],
        metavar="TASK=FOLDER",
        help="backbone that `stemob train-backbone --env` trained on a task, for the conditions "
        f"{', '.join(spec.name for spec in OWN_BACKBONE)}; repeat",
    )
    parser.add_argument("--num-envs", type=int, default=2, help="processes that simulate")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for table and report")
    settings = parser.parse_args(arguments)
    settings.work, settings.results = settings.work.resolve(), settings.results.resolve()
    named = [own.partition("=") for own in settings.own_backbone]
    if not all(task and folder for task, _, folder in named):
        parser.error(f"--own-backbone takes TASK=FOLDER, received {settings.own_backbone}")
    settings.own_backbone = {task: str(Path(folder).resolve()) for task, _, folder in named}
    return settings


def _numbers_of(known: Sequence[int]) -> Callable[[str], tuple[int, ...]]:
    """Reads numbers by commas, each one of those that are known."""

    def numbers(text: str) -> tuple[int, ...]:
        found = tuple(int(part) for part in text.split(","))
        if not set(found) <= set(known):
            raise ValueError(f"need numbers of {known}, received {text}")
        return found

    return numbers


if __name__ == "__main__":
    main()
