"""How wide should the embedded backbone be, and what does the alignment term bring?

    python -m experiments.designs --scenes SCENES TASKS --work DIR

Trains every design for the same number of steps on folders of rendered scenes (`stemob
train-backbone` fills them) and measures, on the "dev" split of Lift and on held-out scenes: PSNR of
the codec, how far appearances converge in its latents, how well a probe reads positions, and
frames/s at 84 px in batches of 16. Goes on from DIR when it is run again. Writes
results/designs.json and a picture of quality against frames/s.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import RESULTS, random_frames, report, seconds_per_call
from stemob_wrappers import StemConfig, StemPipeline
from stemob_wrappers.levels.study import Row, Study, run_study
from stemob_wrappers.scene.gl import ensure_gl
from stemob_wrappers.training.card import held_out_frames, held_out_psnr
from stemob_wrappers.training.codec import TrainConfig, train_backbone

STEPS = 5  # inversion steps of 50
NARROW = {"width": 32, "context_width": 48, "deep_width": 64}
WIDE = {"width": 96, "context_width": 128, "deep_width": 160}
DESIGNS: dict[str, dict[str, Any]] = {
    "width 32": NARROW,
    "width 64": {},
    "width 96": WIDE,
    "width 64, no alignment": {"alignment": 0.0},
}
COLUMNS = (
    *("design", "GFLOP", "frames/s", "psnr 84", "psnr 128", "convergence"),
    *("plain clean", "plain perturbed", "canonical clean", "canonical perturbed"),
)


def main() -> None:
    settings = parse()
    ensure_gl()
    rows = [measure(name, settings) for name in DESIGNS]
    report("designs", COLUMNS, rows, steps=settings.steps, errors="cm, median of 5 probes")
    draw(rows[:3], RESULTS / "designs.png")


def measure(name: str, settings: argparse.Namespace) -> dict[str, Any]:
    out = settings.work / name.replace(" ", "-").replace(",", "")
    if not (out / "model_index.json").exists():
        config = TrainConfig(steps=settings.steps, **DESIGNS[name])
        train_backbone(settings.scenes, out, config, canonical=True)
    plain = str(out / "plain")
    psnr = {
        size: held_out_psnr(plain, held_out_frames(settings.work / f"held-out-{size}", size))["0"]
        for size in (84, 128)
    }
    study = Study(
        "stemob/Lift-v0",
        backbones=(plain, str(out)),
        noises=("frame",),
        steps=(0, STEPS),
        states=300,
        appearances=4,
    )
    found = run_study(study, settings.work / "levels")

    def row(backbone: str, steps: int) -> Row:
        return next(r for r in found if (r.backbone, r.inversion_steps) == (backbone, steps))

    pipeline = StemPipeline(StemConfig(backbone=plain, inversion_steps=STEPS), cache=False)
    frames = random_frames(16, 84)
    with FlopCounterMode(display=False) as counter:
        pipeline(frames)
    return {
        "design": name,
        "GFLOP": counter.get_total_flops() / len(frames) / 1e9,
        "frames/s": len(frames) / seconds_per_call(lambda: pipeline(frames), budget=5.0),
        "psnr 84": psnr[84],
        "psnr 128": psnr[128],
        "convergence": row(plain, 0).latents,
        "plain clean": row(plain, STEPS).clean_cm,
        "plain perturbed": row(plain, STEPS).perturbed_cm,
        "canonical clean": row(str(out), STEPS).clean_cm,
        "canonical perturbed": row(str(out), STEPS).perturbed_cm,
    }


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    rates = [row["frames/s"] for row in rows]
    for size in (84, 128):
        left.plot(rates, [row[f"psnr {size}"] for row in rows], "o-", label=f"{size} px")
    left.set(xlabel="frames/s", ylabel="PSNR of the codec, held-out (dB)", ylim=(20, 40))
    for decoder in ("plain", "canonical"):
        errors = [row[f"{decoder} perturbed"] for row in rows]
        right.plot(rates, errors, "o-", label=f"{decoder}, {STEPS} steps")
    right.set(xlabel="frames/s", ylabel="probe's error, perturbed Lift (cm)", ylim=(0, None))
    for axes, column in ((left, "psnr 84"), (right, "plain perturbed")):
        for row in rows:
            axes.annotate(row["design"], (row["frames/s"], row[column]))
        axes.margins(x=0.25)
        axes.legend()
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=Path, nargs="+", required=True, help="rendered scenes")
    parser.add_argument("--work", type=Path, required=True, help="folder for all that is made")
    parser.add_argument("--steps", type=int, default=2_500, help="optimiser steps of each design")
    return parser.parse_args()


if __name__ == "__main__":
    main()
