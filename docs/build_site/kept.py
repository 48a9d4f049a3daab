"""Draw docs/kept.png: success in the nominal scene and in changed ones, by task and condition.

python docs/build_site/kept.py    # from benchmarks/results/robustness.json
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

DOCS = Path(__file__).parents[1]
RESULTS = DOCS.parent / "benchmarks" / "results" / "robustness.json"
SHOWN = {  # condition: what the picture calls it, colour
    "raw": ("raw frames", "#7f8b98"),
    "random_conv": ("random convolutions", "#c58b3b"),
    "augmented": ("augmented copies", "#5d6b7a"),
    "embedded-canonical of augmented": ("stem of those copies", "#2660a4"),
}
WIDTH = 0.2


def main() -> None:
    """One group of bars a task: what is kept when the look changes; ticks are the nominal scene."""
    results = json.loads(RESULTS.read_text())
    rows = {(row["task"], row["condition"]): row for row in results["summary"]["rows"]}
    tasks = list(dict.fromkeys(record["task"] for record in results["records"]))
    knew = results["benchmark"]["backbone_knew_task"]
    figure, axes = plt.subplots(figsize=(9, 3.4), layout="constrained")
    for place, (condition, (label, colour)) in enumerate(SHOWN.items()):
        found = [rows[task, condition] for task in tasks]
        x = np.arange(len(tasks)) + (place - (len(SHOWN) - 1) / 2) * WIDTH
        gen = np.array([[row["gen"][key] for key in ("value", "low", "high")] for row in found]).T
        axes.bar(x, 100 * gen[0], 0.9 * WIDTH, color=colour, label=label)
        spread = 100 * np.abs(gen[1:] - gen[0])
        axes.errorbar(
            x, 100 * gen[0], spread, fmt="none", ecolor="#1c2530", elinewidth=1, capsize=2
        )
        nominal = [100 * row["cells"]["clean"]["rate"] for row in found]
        axes.scatter(x, nominal, marker="_", s=220, color="#b3261e", zorder=3)
        for at, value in zip(x, 100 * gen[0], strict=True):
            axes.annotate(f"{int(value + 0.5)}", (at, 2), ha="center", color="white", fontsize=9)
    axes.scatter([], [], marker="_", s=220, color="#b3261e", label="nominal scene")
    names = [task.partition("/")[2].removesuffix("-v0") for task in tasks]
    told = [
        f"{name}\n{'known to' if knew[name] else 'never seen by'} the backbone" for name in names
    ]
    axes.set_xticks(np.arange(len(tasks)), told)
    axes.set(ylabel="success, %", ylim=(0, 108))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(
        ncols=5, fontsize=8.5, frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.14)
    )
    figure.savefig(DOCS / "kept.png", dpi=110)
    print(DOCS / "kept.png")


if __name__ == "__main__":
    main()
