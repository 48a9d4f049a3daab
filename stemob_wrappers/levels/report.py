"""What a study found, as a table on the terminal, a plot and a picture grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.extras import needs

with needs("report"):
    from rich.console import Console
    from rich.table import Table

from stemob_wrappers.backbones.folder import read_schedule
from stemob_wrappers.diffusion.schedule import level_table
from stemob_wrappers.levels.rows import Row, recommend, rivals
from stemob_wrappers.levels.study import Study, run_study, study_pairs
from stemob_wrappers.pictures import grid, write_image
from stemob_wrappers.report import check_installed
from stemob_wrappers.report.sheet import Picture, write_sheet
from stemob_wrappers.stem.pipeline import StemPipeline

GRID_LOOKS = 3
COLUMNS = (
    *("frames", "steps", "alpha_bar", "pixels", "latents", "own state %"),
    *("clean cm", "perturbed cm", "(low-high)", "effector", "objects"),
)


def print_table(backbones: Sequence[str], num_steps: int = 50) -> None:
    """Print what the steps of backbones are as timesteps, alpha_bar and SNR."""
    for backbone in backbones:
        table = Table("inversion_steps", "timestep", "alpha_bar", "SNR", title=backbone)
        for level in level_table(read_schedule(backbone), num_steps):
            timestep = "-" if level.timestep is None else f"{level.timestep:.4g}"
            cells = (timestep, f"{level.alpha_bar:.4f}", f"{level.snr:.3g}")
            table.add_row(str(level.inversion_steps), *cells)
        Console().print(table)


def report_study(study: Study, out: Path) -> list[Row]:
    """Run a study and write its table, settings, plot and picture; print the table.

    Args:
        study: what to measure.
        out: folder of ``levels.csv``, ``levels.json``, ``levels.png``, ``grid.png`` and, with all
            of it, ``levels.html``; what it holds of the same study is not measured again.

    Raises:
        ImportError: a package is missing that the env or the plot needs.
    """
    check_installed()
    rows = run_study(study, out)
    print_study(rows)
    write_plot(rows, out / "levels.png")
    write_grid(study, study_pairs(study, out).frames, out / "grid.png")
    write_study_page(rows, out)
    return rows


def write_study_page(rows: Sequence[Row], out: Path) -> Path:
    """Write ``levels.html``: advice, plot, picture and table of a study on one page."""
    return write_sheet(
        out / "levels.html",
        title="Which noise level",
        summary=reasons(rows),
        pictures=[
            Picture(
                "Frames at each level",
                "A row for each appearance of one state; raw to the left, then ever more noise.",
                "One state under several appearances, raw and as stem frames of each level",
                out / "grid.png",
            ),
            Picture(
                "Error and convergence",
                "Left: how far a probe is off on perturbed frames (dotted: clean ones). Right: how "
                "far apart appearances lie, beside how far apart layouts do.",
                "Probe error, and distance of appearances, over the noise level; the figures are "
                "those of the table",
                out / "levels.png",
            ),
        ],
        heading="All settings",
        columns=COLUMNS,
        rows=[_cells(row) for row in rows],
        note="pixels, latents: distance between appearances of one layout over the distance "
        "between layouts. Own state: how many perturbed frames have their own state in the "
        "nearest clean frame of all states (in brackets, by chance). cm: error of a probe that "
        "reads positions from frames.",
    )


def print_study(rows: Sequence[Row]) -> None:
    """Print the rows, and the level that they recommend with what that rests on."""
    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*_cells(row))
    # As wide as it is, also where no terminal says how wide that may be.
    Console(width=120).print(table)
    print(reasons(rows))


def reasons(rows: Sequence[Row]) -> str:
    """Say which level a study recommends, and on what grounds.

    Example:
        >>> reasons([])
        'No level is recommended: nothing was read from the frames, as they came without positions.'
    """
    best = recommend(rows)
    if best is None:
        return (
            "No level is recommended: nothing was read from the frames, as they came without "
            "positions."
        )
    raw = [row for row in rows if not row.backbone]
    level = [row for row in rivals(rows, best) if row != best]
    if level:
        others = ", ".join(f"{r.backbone} {r.inversion_steps}" for r in level)
        start = f"No clear winner: the probe seeds' range overlaps with that of {others}. Lowest"
    else:
        start = "Recommended"
    beside = ", ".join(f"{row.name} {row.clean_cm:.1f} / {row.perturbed_cm:.1f}" for row in raw)
    return (
        f"{start}: {best.backbone} {best.method}, inversion_steps={best.inversion_steps}, "
        f"noise={best.noise!r} (alpha_bar {best.alpha_bar:.3f}): the lowest error on perturbed "
        f"frames, {best.perturbed_cm:.1f} cm, of all settings whose error on clean frames, "
        f"{best.clean_cm:.1f} cm, is within 0.5 cm of the lowest. Beside it, clean / perturbed: "
        f"{beside}."
    )


def write_plot(rows: Sequence[Row], path: Path) -> None:
    """Draw error and convergence over the noise level; needs matplotlib."""
    with needs("report"):
        from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    errors, ratios = figure.subplots(1, 2)
    for name, line in _lines(rows).items():
        noise = [1 - row.alpha_bar for row in line]
        (drawn,) = errors.plot(noise, [r.perturbed_cm for r in line], "o-", label=name)
        errors.plot(noise, [r.clean_cm for r in line], "o:", color=drawn.get_color())
        low, high = ([getattr(r, f"perturbed_{end}_cm") for r in line] for end in ("low", "high"))
        errors.fill_between(noise, low, high, color=drawn.get_color(), alpha=0.15)
        ratios.plot(noise, [r.pixels for r in line], "o-", label=f"{name}, pixels")
        ratios.plot(noise, [r.latents for r in line], "o:", color=drawn.get_color())
    for index, row in enumerate(row for row in rows if not row.backbone):
        errors.axhline(row.perturbed_cm, color="grey", ls=("-", "--", "-.")[index % 3], lw=1)
        errors.annotate(row.name, (0, row.perturbed_cm), fontsize=8, va="bottom")
    errors.set(ylabel="probe error, cm (dotted: clean frames)", ylim=(0, None))
    ratios.set(ylabel="look / layout distance (dotted: latents)", ylim=(0, None))
    for axes in (errors, ratios):
        axes.set_xlabel("noise level, 1 - alpha_bar")
        axes.grid(alpha=0.3)
    errors.legend(fontsize=8)
    figure.savefig(path, dpi=120)


def write_grid(study: Study, frames: NDArray[np.uint8], path: Path) -> None:
    """Draw one state under some looks (rows), raw and at every level (columns)."""
    looks = frames[:GRID_LOOKS, -1]
    policy, method = study.noises[0], study.methods[0]
    configs = [c for c in study.configs if c.noise == policy and c.method == method]
    columns = [looks, *(StemPipeline(config, cache=False)(looks) for config in configs)]
    labels = ["raw"]
    for config in configs:
        name, steps = Path(config.backbone).name, config.inversion_steps
        if len(study.backbones) == 1:
            labels.append(f"{steps} steps")
        else:
            labels.append(name if len(study.steps) == 1 else f"{steps}: {name}")
    rows = [[column[look] for column in columns] for look in range(len(looks))]
    names = ["as it is", *(f"look {look}" for look in range(1, len(looks)))]
    write_image(path, grid(rows, names, labels))


def _cells(row: Row) -> tuple[str, ...]:
    def number(value: float, digits: int = 2) -> str:
        return "-" if np.isnan(value) else f"{value:.{digits}f}"

    is_stem = bool(row.backbone)
    return (
        row.name.replace("stem", f"{row.backbone} {row.method} {row.noise}"),
        str(row.inversion_steps) if is_stem else "-",
        number(row.alpha_bar, 3) if is_stem else "-",
        number(row.pixels),
        number(row.latents),
        "-"
        if np.isnan(row.own_state)
        else f"{100 * row.own_state:.0f} ({100 * row.own_state_chance:.1f})",
        number(row.clean_cm, 1),
        number(row.perturbed_cm, 1),
        f"{number(row.perturbed_low_cm, 1)}-{number(row.perturbed_high_cm, 1)}",
        number(row.effector_cm, 1),
        number(row.objects_cm, 1),
    )


def _lines(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The stem rows by backbone, method and policy; no noise starts every line of its backbone."""
    stems = [row for row in rows if row.name == "stem"]
    lines: dict[str, list[Row]] = {}
    for row in stems:
        if row.inversion_steps:
            lines.setdefault(f"{row.backbone} {row.method} {row.noise}", []).append(row)
    for line in lines.values():
        start = [r for r in stems if not r.inversion_steps and r.backbone == line[0].backbone]
        line[:0] = start[:1]
    return lines
