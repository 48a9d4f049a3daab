"""What does a perturbation cost? Milliseconds that it adds to a reset and to a step, by group.

    python benchmarks/perturb.py

The time of the env beneath is measured in the same call and taken off. A render context is live,
so that uploads of textures count. Bars: lights and colours 1 ms a reset, textures 50 ms a reset,
nothing per step (a moving light 0.1 ms).
"""

from __future__ import annotations

import statistics
import time
import warnings
from typing import Any

import gymnasium as gym
from common import report

import stemob_wrappers  # noqa: F401  (registers the ids)
from stemob_wrappers.perturb import ScenePerturbation
from stemob_wrappers.perturb.factors import GROUPS
from stemob_wrappers.scene.gl import ensure_gl

ENVS: dict[str, dict[str, Any]] = {
    "stemob/Lift-v0": {"cameras": [], "render_mode": "rgb_array"},
    "HalfCheetah-v5": {"render_mode": "rgb_array", "width": 84, "height": 84},
}
RESETS = 40
STEPS = 200


class Clock(gym.Wrapper[Any, Any, Any, Any]):
    """Counts the seconds that the env beneath takes."""

    seconds = 0.0

    def reset(self, **arguments: Any) -> Any:
        started = time.perf_counter()
        result = self.env.reset(**arguments)
        self.seconds += time.perf_counter() - started
        return result

    def step(self, action: Any) -> Any:
        started = time.perf_counter()
        result = self.env.step(action)
        self.seconds += time.perf_counter() - started
        return result


def main() -> None:
    ensure_gl()
    warnings.filterwarnings("ignore", "Left out")
    rows = [row for env_id, arguments in ENVS.items() for row in measure(env_id, arguments)]
    report(
        "perturb", ("env", "factors", "env_reset_ms", "reset_ms", "env_step_ms", "step_ms"), rows
    )


def measure(env_id: str, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    env = Clock(gym.make(env_id, **arguments))
    env.reset(seed=0)
    env.render()  # the render context that textures are uploaded to
    rows = []
    for factors in (*GROUPS, "moving_light"):
        perturbed = ScenePerturbation(env, factors, severity=5, seed=0)
        perturbed.reset(seed=0)  # shrinks the textures it changes, once
        row: dict[str, Any] = {"env": env_id, "factors": factors}
        row["env_reset_ms"], row["reset_ms"] = added(env, perturbed.reset, RESETS)
        action = env.action_space.sample() * 0.0

        def step(perturbed: Any = perturbed, action: Any = action) -> None:
            perturbed.step(action)

        row["env_step_ms"], row["step_ms"] = added(env, step, STEPS)
        perturbed.restore()
        rows.append(row)
    env.close()
    return rows


def added(env: Clock, call: Any, times: int) -> tuple[float, float]:
    """Median milliseconds of the env beneath, and of what lies around it."""
    inner, outer = [], []
    for _ in range(times):
        env.seconds = 0.0
        started = time.perf_counter()
        call()
        outer.append(time.perf_counter() - started - env.seconds)
        inner.append(env.seconds)
    return 1e3 * statistics.median(inner), 1e3 * statistics.median(outer)


if __name__ == "__main__":
    main()
