"""What a tick of the control loop is made of: physics, rendering, stem, policy; as a picture too.

    python benchmarks/tick.py          # measure, then draw docs/tick.png
    python benchmarks/tick.py --draw   # draw what was measured last

robosuite Lift, one 84 px camera, fast and full rendering, one env in this process and eight in
workers, cache off. Rendering is what a step takes beyond one that renders nothing, both in turns.
The policy is Stable-Baselines3's NatureCNN with random weights, on one thread: two would wait for
each other by spinning, beside the envs' workers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from common import RESULTS, report

from stemob_wrappers import StemConfig, StemPipeline

ENV_ID = "stemob_wrappers:stemob/Lift-v0"
ENDLESS: dict[str, Any] = {"horizon": 10**9, "terminate_on_success": False}
IMAGE = "agentview_image"
PARTS = ("physics", "rendering", "stem", "policy")
COLOURS = ("#8da0cb", "#b3b3b3", "#d95f02", "#66a61e")
COLUMNS = ("rendering_quality", "envs", *PARTS, "sum")
TICK_MS = 50.0  # of a loop at 20 Hz
PICTURE = Path(__file__).parents[1] / "docs" / "tick.png"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100, help="steps for each figure")
    parser.add_argument("--draw", action="store_true", help="only draw results/tick.json")
    settings = parser.parse_args()
    torch.set_num_threads(1)
    if not settings.draw:
        rows = [
            measure(quality, envs, settings.steps)
            for quality in ("fast", "full")
            for envs in (1, 8)
        ]
        report("tick", COLUMNS, rows)
    draw(json.loads((RESULTS / "tick.json").read_text()), PICTURE)


def measure(quality: str, envs: int, steps: int) -> dict[str, Any]:
    """Median milliseconds of each part of a tick of all envs."""
    # One env is a vector env of one as well: its workers' messages are part of eight's physics.
    venv: Any = gym.make_vec(
        ENV_ID,
        envs,
        "sync" if envs == 1 else "async",
        vector_kwargs={} if envs == 1 else {"context": "spawn"},  # OpenGL survives no fork
        render_quality=quality,
        **ENDLESS,
    )
    pipeline = StemPipeline(StemConfig(), cache=False)
    policy = make_policy(venv)
    took: dict[str, list[float]] = {part: [] for part in ("blind", "step", "stem", "policy")}
    observation = venv.reset(seed=0)[0]
    venv.action_space.seed(0)
    pipeline(observation[IMAGE])
    policy(observation)
    for _ in range(steps):
        # set_attr reaches the env through Gymnasium's wrappers.
        venv.set_attr("renders", False)
        timed(took["blind"], venv.step, venv.action_space.sample())
        venv.set_attr("renders", True)
        observation = timed(took["step"], venv.step, venv.action_space.sample())[0]
        stems = timed(took["stem"], pipeline, observation[IMAGE])
        timed(took["policy"], policy, {**observation, IMAGE: stems})
    venv.close()
    ms = {part: 1e3 * statistics.median(seconds) for part, seconds in took.items()}
    parts = {
        "physics": ms["blind"],
        "rendering": ms["step"] - ms["blind"],
        "stem": ms["stem"],
        "policy": ms["policy"],
    }
    return {"rendering_quality": quality, "envs": envs, **parts, "sum": sum(parts.values())}


def make_policy(venv: Any) -> Any:
    """A function from a batch of observations to features, as a policy's network computes them."""
    from stable_baselines3.common.torch_layers import NatureCNN

    space = venv.single_observation_space[IMAGE]
    channels_first = gym.spaces.Box(0, 255, (3, *space.shape[:2]), np.uint8)
    network = NatureCNN(channels_first, features_dim=512).eval()

    @torch.inference_mode()
    def policy(observation: dict[str, Any]) -> torch.Tensor:
        images = torch.from_numpy(np.ascontiguousarray(observation[IMAGE]))
        return network(images.permute(0, 3, 1, 2).float() / 255)

    return policy


def timed(into: list[float], call: Any, argument: Any) -> Any:
    started = time.perf_counter()
    result = call(argument)
    into.append(time.perf_counter() - started)
    return result


def draw(content: dict[str, Any], path: Path) -> None:
    """Draw a bar for each row, beside the tick of a loop at 20 Hz."""
    import matplotlib.pyplot as plt

    rows = content["rows"][::-1]
    labels = [
        f"{row['rendering_quality']} rendering,\n{row['envs']} env{'s' * (row['envs'] > 1)}"
        for row in rows
    ]
    figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
    left = np.zeros(len(rows))
    for part, colour in zip(PARTS, COLOURS, strict=True):
        widths = np.array([max(0.0, row[part]) for row in rows])
        axes.barh(labels, widths, left=left, label=part, color=colour)
        left += widths
    for y, total in enumerate(left):
        axes.text(total, y, f" {total:.0f} ms", va="center", fontsize=9)
    axes.axvline(TICK_MS, color="black", linestyle=":", linewidth=1)
    load = content["machine"]["load"]
    axes.set_xlabel(
        f"ms a step of all envs (dotted: a tick at 20 Hz; load of the machine: {load:.1f})"
    )
    axes.set_xlim(0, 1.1 * left.max())
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=len(PARTS), frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
