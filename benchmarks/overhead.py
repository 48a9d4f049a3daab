"""What does the wrapper add to a step? One env, many envs, Stable-Baselines3's rollouts.

    python benchmarks/overhead.py

robosuite Lift, one 84 px camera, random actions, cache off. With and without are measured on the
same env, in turns: the wrapper's `step` against that of the env inside. Bars on 2 CPU cores: 12 %
added to one env, 10 % to 8 envs in worker processes, and a frame among 8 costs at most half of what
it costs alone. A chunk is four actions of one env: with every frame rendered, and by ActionChunk.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
from common import report

from stemob_wrappers import StemObservation
from stemob_wrappers.vector import StemObservation as VectorStemObservation
from stemob_wrappers.wrappers.chunk import ActionChunk

ENV_ID = "stemob_wrappers:stemob/Lift-v0"
ENDLESS = {"horizon": 10**9, "terminate_on_success": False}  # no reset falls among the steps
CHUNK = 4
SPAWN = {"context": "spawn"}  # this process renders, and OpenGL does not survive a fork
COLUMNS = ("what", "without_ms", "with_ms", "added_percent", "stem_ms_per_frame")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300, help="steps timed with, and without")
    parser.add_argument("--num-envs", type=int, default=8, help="envs in worker processes")
    parser.add_argument("--sb3-steps", type=int, default=2048, help="env steps of an SB3 rollout")
    parser.add_argument("--quality", choices=("fast", "full"), default="fast", help="of rendering")
    settings = parser.parse_args()
    env_kwargs = {**ENDLESS, "render_quality": settings.quality}
    one = one_env(settings.steps, env_kwargs)
    many = many_envs(settings.steps, settings.num_envs, env_kwargs)
    chunk = chunks(settings.steps // CHUNK, env_kwargs)
    rows = [one, many, *chunk, sb3_rollout(settings.sb3_steps, settings.num_envs, env_kwargs)]
    ratio = many["stem_ms_per_frame"] / one["stem_ms_per_frame"]
    name = f"overhead-{settings.quality}"
    report(name, COLUMNS, rows, frame_cost_among_many_over_alone=ratio)


def one_env(steps: int, env_kwargs: dict[str, Any]) -> dict[str, Any]:
    env = StemObservation(gym.make(ENV_ID, **env_kwargs), cache=False)
    return measure("step, 1 env", env, steps)


def many_envs(steps: int, num_envs: int, env_kwargs: dict[str, Any]) -> dict[str, Any]:
    workers = gym.make_vec(ENV_ID, num_envs, "async", vector_kwargs=SPAWN, **env_kwargs)
    env = VectorStemObservation(workers, cache=False)
    return measure(f"step, {num_envs} envs", env, steps)


def chunks(steps: int, env_kwargs: dict[str, Any]) -> list[dict[str, Any]]:
    """Four actions that a policy planned, with every frame rendered and with the last one alone."""
    rows = []
    for way in ("each frame rendered", "the last rendered"):
        env = gym.make(ENV_ID, **env_kwargs)
        if way.startswith("each"):
            env = gym.Wrapper(env)  # which may want to see every frame
        env = StemObservation(ActionChunk(env, CHUNK), cache=False)
        rows.append(measure(f"{CHUNK} actions, {way}", env, steps))
    return rows


def measure(what: str, env: Any, steps: int, block: int = 10) -> dict[str, Any]:
    """Time the steps of a wrapper and of the env inside, a block of each in turn."""
    env.reset(seed=0)
    env.action_space.seed(0)
    take = {"without_ms": env.env.step, "with_ms": env.step}
    milliseconds: dict[str, list[float]] = {way: [] for way in take}
    env.step(env.action_space.sample())
    (stats,) = env.stats.values()
    frames, seconds = stats.frames, sum(stats.seconds.values())
    while len(milliseconds["with_ms"]) < steps:
        for way, step in take.items():
            milliseconds[way] += [
                1e3 * _seconds(step, env.action_space.sample()) for _ in range(block)
            ]
    stem = sum(stats.seconds.values()) - seconds
    env.close()
    medians = {way: statistics.median(values) for way, values in milliseconds.items()}
    return row(what, **medians, stem_ms_per_frame=1e3 * stem / (stats.frames - frames))


def sb3_rollout(steps: int, num_envs: int, env_kwargs: dict[str, Any]) -> dict[str, Any]:
    """Time PPO's collection of one rollout, its learning left out."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv

    from stemob_wrappers.wrappers.sb3 import StemVecEnv

    class Stopwatch(BaseCallback):
        def _on_rollout_start(self) -> None:
            self.started = time.perf_counter()

        def _on_rollout_end(self) -> None:
            self.seconds = time.perf_counter() - self.started

        def _on_step(self) -> bool:
            return True

    def collect_ms(venv: VecEnv) -> float:
        rollout = steps // num_envs
        model = PPO("MultiInputPolicy", venv, n_steps=rollout, n_epochs=1, batch_size=num_envs)
        stopwatch = Stopwatch()
        model.learn(rollout * num_envs, callback=stopwatch)
        return 1e3 * stopwatch.seconds

    venv = make_vec_env(
        ENV_ID,
        num_envs,
        seed=0,
        vec_env_cls=SubprocVecEnv,
        vec_env_kwargs={"start_method": "spawn"},
        env_kwargs=env_kwargs,
    )
    stem = StemVecEnv(venv, cache=False)
    without, with_stem = collect_ms(venv), collect_ms(stem)
    (stats,) = stem.stats.values()
    per_frame = 1e3 * sum(stats.seconds.values()) / stats.frames
    stem.close()
    what = f"SB3 rollout, {steps} steps of {num_envs} envs"
    return row(what, without, with_stem, per_frame)


def row(what: str, without_ms: float, with_ms: float, stem_ms_per_frame: float) -> dict[str, Any]:
    return {
        "what": what,
        "without_ms": without_ms,
        "with_ms": with_ms,
        "added_percent": 100 * (with_ms / without_ms - 1),
        "stem_ms_per_frame": stem_ms_per_frame,
    }


def _seconds(step: Callable[[Any], Any], action: Any) -> float:
    started = time.perf_counter()
    step(action)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
