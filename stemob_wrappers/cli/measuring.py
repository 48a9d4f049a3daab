"""``stemob levels``, ``evaluate``, ``report`` and ``bench``: what a level is worth and costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from stemob_wrappers.extras import needs

with needs("cli"):
    import typer

from stemob_wrappers.cli.options import (
    HELP,
    NAMES,
    Device,
    EnvKwargs,
    integers,
    json_object,
    stem_options,
)
from stemob_wrappers.config import Method, NoisePolicy, StemConfig


def levels(
    env: Annotated[
        str | None, typer.Option(help="Id of the env whose states are rendered.")
    ] = None,
    clean: Annotated[Path | None, typer.Option(help="Folder of clean images instead.")] = None,
    perturbed: Annotated[
        Path | None, typer.Option(help="Folder of the same states, perturbed.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for table, plot and picture.")] = Path("levels"),
    table: Annotated[
        bool, typer.Option("--table", help="Only print steps, timestep, alpha_bar and SNR.")
    ] = False,
    backbone: Annotated[list[str] | None, typer.Option(help="Repeat for several.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="Repeat for several.")] = None,
    noise: Annotated[list[str] | None, typer.Option(help="Repeat for several.")] = None,
    steps: Annotated[str, typer.Option(help="Inversion steps, by commas.")] = "0,3,5,10,15,25",
    num_steps: Annotated[
        int, typer.Option(*NAMES["num_steps"], min=1, help=HELP["num_steps"])
    ] = StemConfig.num_steps,
    states: Annotated[int, typer.Option(min=4, help="Layouts to render.")] = 600,
    appearances: Annotated[
        int,
        typer.Option(
            "--appearances", "--looks", min=2, help="Appearances, the unchanged one included."
        ),
    ] = 5,
    size: Annotated[int, typer.Option(min=8, help="Side of the frames in pixels.")] = 84,
    severity: Annotated[int, typer.Option(min=1, max=5, help="Of the changes.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Of layouts, appearances and noise.")] = 0,
    augmented: Annotated[
        bool, typer.Option("--augmented", help="Probes on stem frames with augmentation, too.")
    ] = False,
) -> None:
    """Measure which noise level to choose; run it again to go on where it stopped."""
    from stemob_wrappers.levels.report import print_table, report_study
    from stemob_wrappers.levels.study import Study

    backbones = tuple(backbone or ["embedded"])
    if table:
        print_table(backbones, num_steps)
        return
    if (clean is None) != (perturbed is None):
        raise typer.BadParameter("--clean and --perturbed name the two folders of one study")
    folders = None if clean is None or perturbed is None else (str(clean), str(perturbed))
    study = Study(
        env_id=env,
        folders=folders,
        backbones=backbones,
        methods=cast(tuple[Method, ...], tuple(method or ["ddpm"])),  # the config checks
        noises=cast(tuple[NoisePolicy, ...], tuple(noise or ["frame", "fixed"])),
        steps=integers("--steps", steps),
        num_steps=num_steps,
        states=states,
        appearances=appearances,
        size=size,
        severity=severity,
        seed=seed,
        augmented=augmented,
    )
    report_study(study, out)


@stem_options(without=["backbone"], seed="--noise-seed")
def evaluate(
    config: StemConfig,
    env: Annotated[list[str], typer.Option(help="Id of the env; repeat for several.")],
    policy: Annotated[
        list[str],
        typer.Option(
            help="module:function, module:function:PATH (which loads it) or PPO:path.zip; repeat "
            "for several."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for results and report.")],
    condition: Annotated[
        list[str] | None,
        typer.Option(
            help="raw, or a backbone; repeat. Without any: the frames that the policy learned "
            "from; raw and embedded if it does not tell."
        ),
    ] = None,
    allow_mismatch: Annotated[
        bool,
        typer.Option(
            "--allow-mismatch",
            help="Test policies on other frames than they learned from, too, in rows that say so.",
        ),
    ] = False,
    arm: Annotated[list[str] | None, typer.Option(hidden=True)] = None,  # its former name
    suite: Annotated[
        str, typer.Option(help="all, or groups such as lighting,texture, by commas.")
    ] = "all",
    severity: Annotated[
        list[int] | None,
        typer.Option(min=1, max=5, help="Repeat for several. Without any: 4."),
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, help="In each cell, for each condition.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Of the episodes.")] = 0,
    split: Annotated[
        Literal["dev", "test"], typer.Option(help="test to report, dev to choose settings.")
    ] = "test",
    num_envs: Annotated[int, typer.Option(min=1, help="Processes that simulate.")] = 2,
    chunk: Annotated[
        int, typer.Option(min=1, help="Actions that policies give, and an env runs, at once.")
    ] = 1,
    env_kwargs: EnvKwargs = "{}",
    success_return: Annotated[
        float | None, typer.Option(help="Return that is a success, if the env tells none.")
    ] = None,
    depends: Annotated[
        list[Path] | None,
        typer.Option(
            help="File or folder that decides what policies do, beside their code; repeat."
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(help="Row to compare with; the best one without a stem if left out."),
    ] = None,
    advise: Annotated[
        bool, typer.Option("--advise", help="Say which factor to collect or augment next.")
    ] = False,
    clip: Annotated[
        bool,
        typer.Option("--clip", help="Film an episode that raw frames fail and stem frames do not."),
    ] = False,
    device: Device = None,
) -> None:
    """Compare how much success policies keep under visual change; run it again to go on."""
    from stemob_wrappers import evaluation
    from stemob_wrappers.evaluation.learned import cross
    from stemob_wrappers.report.page import write_report

    stems = [*(condition or []), *(arm or [])] or None
    results = evaluation.evaluate(
        cross(policy, stems, config, allow_mismatch=allow_mismatch),
        env,
        suite=suite.split(","),
        severities=severity or [4],
        episodes=episodes,
        seed=seed,
        split=split,
        num_envs=num_envs,
        chunk=chunk,
        env_kwargs=json_object("--env-kwargs", env_kwargs),
        success_return=success_return,
        out=out,
        depends=depends or (),
        device=device,
        reference=reference,
        clip=clip,
        progress=True,
    )
    typer.echo(write_report(results.content, results.folder))
    if advise:
        _echo_advice(results.summary)


def report(
    folder: Annotated[Path, typer.Argument(help="Folder that an evaluation wrote.")],
    out: Annotated[
        Path | None, typer.Option(help="The page; report.html in the folder if left out.")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(help="Row to compare with; that of the evaluation if left out."),
    ] = None,
    advise: Annotated[
        bool, typer.Option("--advise", help="Say which factor to collect or augment next.")
    ] = False,
) -> None:
    """Write the page of an evaluation again, compared with another row, say."""
    from stemob_wrappers.evaluation import Results
    from stemob_wrappers.report.page import write_report

    results = Results.read(folder)
    typer.echo(write_report(results.content, folder, out, reference=reference))
    if advise:
        _echo_advice(results.summary)


def _echo_advice(summary: dict[str, Any]) -> None:
    from stemob_wrappers.report.advice import advise
    from stemob_wrappers.report.statistics import ALL_TASKS

    for row in summary["rows"]:
        if row["task"] == ALL_TASKS:
            typer.echo(" ".join(advise(row)))


@stem_options()
def bench(
    config: StemConfig,
    env_id: Annotated[str | None, typer.Argument(help="An env to measure with.")] = None,
    size: Annotated[int | None, typer.Option(min=8, help="Side of the frames in pixels.")] = None,
    seconds: Annotated[
        float, typer.Option(min=0.001, help="How long each figure is measured.")
    ] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, no table.")] = False,
) -> None:
    """Measure what stem frames cost on this machine: can its control loop afford them?"""
    from stemob_wrappers.cli import bench as measuring

    found = measuring.bench(config, env_id=env_id, size=size, seconds=seconds)
    typer.echo(json.dumps(found, indent=2)) if as_json else measuring.print_bench(found)
