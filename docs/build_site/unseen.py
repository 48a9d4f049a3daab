"""Draw docs/unseen.png: tasks that no backbone was trained on, under looks of the dev split.

python docs/build_site/unseen.py
"""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

import stemob_wrappers
from stemob_wrappers.perturb import ScenePerturbation

PICTURE = Path(__file__).parents[1] / "unseen.png"
SHOWN = (  # task, what is changed, seed of the look
    ("Stack", "", 0),
    ("Stack", "texture", 3),
    ("Stack", "texture", 4),
    ("Stack", "lighting", 2),
    ("Stack", "lighting", 5),
    ("ToolHang", "", 0),
    ("ToolHang", "all", 1),
)
BACKBONES = ("embedded", "embedded-canonical")
STATE = 7  # seed of the episode
SEVERITY = 3


def main() -> None:
    """Draw the frames, take each through the backbones, and write the picture."""
    frames = np.stack([draw(*shown) for shown in SHOWN])
    rows = {"raw": frames}
    for backbone in BACKBONES:
        pipeline = stemob_wrappers.StemPipeline({"backbone": backbone}, cache=False)
        rows[f"{backbone}\n{pipeline.config.inversion_steps} steps"] = pipeline(frames)
    figure, axes = plt.subplots(len(rows), len(SHOWN), figsize=(13, 5.9), layout="constrained")
    for line, (name, pictures) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(name, fontsize=12)
        for place, picture in zip(line, pictures, strict=True):
            place.imshow(picture, interpolation="nearest")
            place.set(xticks=[], yticks=[])
            place.spines[:].set_visible(False)
    for place, (task, changed, _) in zip(axes[0], SHOWN, strict=True):
        place.set_title(f"{task}, {changed or 'as it is'}", fontsize=12)
    figure.savefig(PICTURE, dpi=100)
    print(PICTURE)


def draw(task: str, changed: str, seed: int) -> NDArray[np.uint8]:
    """A frame of a task, under another look or its own."""
    env = gym.make(f"stemob/{task}-v0", size=84)
    if changed:
        factors = ["lighting", "texture", "colour"] if changed == "all" else changed
        env = ScenePerturbation(env, factors, SEVERITY, seed, split="dev")
    observation, _ = env.reset(seed=STATE)
    env.close()
    return observation["agentview_image"]


if __name__ == "__main__":
    main()
