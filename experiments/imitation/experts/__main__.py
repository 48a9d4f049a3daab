"""How often an expert succeeds, and how quickly; disturbed as demonstrations are."""

from __future__ import annotations

import argparse

import gymnasium as gym
import numpy as np

import stemob_wrappers  # noqa: F401 (registers stemob/…)
from experiments.imitation.collect import HORIZONS, ActionNoise
from experiments.imitation.experts import EXPERTS


def measure(
    task: str, episodes: int, seed: int = 0, horizon: int | None = None, noise: float = 0.0
) -> list[int]:
    """Steps to success in each episode, 0 where there was none. Renders nothing.

    Args:
        task: one of `EXPERTS`.
        episodes: how many.
        seed: reset seed of the first.
        horizon: steps of an episode at most; None is what `collect` has.
        noise: scale of the disturbances that `collect` demonstrates with.
    """
    horizon = HORIZONS[task] if horizon is None else horizon
    env = gym.make(f"stemob/{task}-v0", cameras=(), horizon=horizon, disable_env_checker=True)
    expert = EXPERTS[task]()
    lengths = []
    for reset_seed in range(seed, seed + episodes):
        _, info = env.reset(seed=reset_seed)
        disturbance = ActionNoise(noise, reset_seed)
        expert.reset()
        steps, over = 0, False
        while not over:
            action = disturbance.disturb(expert.act(env))
            *_, terminated, truncated, info = env.step(action)
            steps, over = steps + 1, terminated or truncated
        lengths.append(steps if info["success"] else 0)
    env.close()
    return lengths


def main() -> None:
    parser = argparse.ArgumentParser(prog="experts", description=__doc__)
    parser.add_argument("--task", choices=EXPERTS, default="Lift")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="reset seed of the first episode")
    parser.add_argument("--action-noise", type=float, default=0.3, help="scale, as of collect")
    arguments = parser.parse_args()
    lengths = measure(
        arguments.task, arguments.episodes, arguments.seed, noise=arguments.action_noise
    )
    done = [length for length in lengths if length]
    print(f"{arguments.task}: {len(done)} of {len(lengths)} episodes succeeded", end="")
    if done:
        print(f", in {np.median(done):.0f} steps (median; {min(done)} to {max(done)})", end="")
    print()
    failed = [arguments.seed + i for i, length in enumerate(lengths) if not length]
    if failed:
        print(f"failed at the seeds {failed}")


if __name__ == "__main__":
    main()
