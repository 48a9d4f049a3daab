"""Draw tasks that no backbone was trained on, as they are and under looks of the dev split.

python docs/build_site/unseen.py                                # docs/unseen.png
PYTHONPATH=examples libero/bin/python docs/build_site/unseen.py libero.png
                                                                # see examples/libero_env.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

import stemob_wrappers
from stemob_wrappers.perturb import ScenePerturbation

DOCS = Path(__file__).parents[1]
LIBERO = "libero_env:libero/libero"
PICTURES: dict[str, tuple[tuple[str, tuple[str, str, int]], ...]] = {
    # title; env, what is changed, seed of the look
    "unseen.png": (
        ("Stack, as it is", ("stemob/Stack-v0", "", 0)),
        ("Stack, texture", ("stemob/Stack-v0", "texture", 3)),
        ("Stack, texture", ("stemob/Stack-v0", "texture", 4)),
        ("Stack, lighting", ("stemob/Stack-v0", "lighting", 2)),
        ("Stack, lighting", ("stemob/Stack-v0", "lighting", 5)),
        ("ToolHang, as it is", ("stemob/ToolHang-v0", "", 0)),
        ("ToolHang, all", ("stemob/ToolHang-v0", "all", 1)),
    ),
    "libero.png": (
        ("spatial, as it is", (f"{LIBERO}_spatial-0", "", 0)),
        ("spatial, lighting", (f"{LIBERO}_spatial-0", "lighting", 1)),
        ("spatial, texture", (f"{LIBERO}_spatial-0", "texture", 2)),
        ("object, as it is", (f"{LIBERO}_object-0", "", 0)),
        ("object, colour", (f"{LIBERO}_object-0", "colour", 3)),
        ("10, as it is", (f"{LIBERO}_10-2", "", 0)),
        ("10, lighting", (f"{LIBERO}_10-2", "lighting", 2)),
    ),
}
BACKBONES = ("embedded", "embedded-canonical")
STATE = 7  # seed of the episode
SEVERITY = 3


def main(picture: str = "unseen.png") -> None:
    """Draw the frames, take each through the backbones, and write the picture."""
    shown = PICTURES[picture]
    frames = np.stack([draw(*how) for _, how in shown])
    rows = {"raw": frames}
    for backbone in BACKBONES:
        pipeline = stemob_wrappers.StemPipeline({"backbone": backbone}, cache=False)
        rows[f"{backbone}\n{pipeline.config.inversion_steps} steps"] = pipeline(frames)
    figure, axes = plt.subplots(len(rows), len(shown), figsize=(13, 5.9), layout="constrained")
    for line, (name, pictures) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(name, fontsize=12)
        for place, frame in zip(line, pictures, strict=True):
            place.imshow(frame, interpolation="nearest")
            place.set(xticks=[], yticks=[])
            place.spines[:].set_visible(False)
    for place, (title, _) in zip(axes[0], shown, strict=True):
        place.set_title(title, fontsize=12)
    figure.savefig(DOCS / picture, dpi=100)
    print(DOCS / picture)


def draw(env_id: str, changed: str, seed: int) -> NDArray[np.uint8]:
    """A frame of a task, under another look or its own."""
    env = gym.make(env_id, size=84, disable_env_checker=True)
    if changed:
        factors = ["lighting", "texture", "colour"] if changed == "all" else changed
        env = ScenePerturbation(env, factors, SEVERITY, seed, split="dev")
    observation, _ = env.reset(seed=STATE)
    env.close()
    return observation["agentview_image"]


if __name__ == "__main__":
    main(*sys.argv[1:])
