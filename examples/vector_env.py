"""Wrap many envs at once: workers render, one batch a step goes through the model, in this process.

python examples/vector_env.py --num-envs 4
"""

import argparse
import time

import gymnasium as gym

import stemob_wrappers  # noqa: F401 (registers stemob/…)
from stemob_wrappers.vector import StemObservation


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--env", default="stemob/Lift-v0", help="a registered env with images")
    parser.add_argument("--num-envs", type=int, default=4)
    parser.add_argument("--inversion-steps", type=int, default=15, help="of 50; more hides more")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()

    venv = gym.make_vec(
        # The module's name before the id lets freshly started workers find the env.
        f"stemob_wrappers:{settings.env}" if settings.env.startswith("stemob/") else settings.env,
        num_envs=settings.num_envs,
        vectorization_mode="async",
        # A process that has rendered must not be forked; SAME_STEP gives info["final_obs"].
        vector_kwargs={"context": "spawn", "autoreset_mode": gym.vector.AutoresetMode.SAME_STEP},
    )
    venv = StemObservation(venv, inversion_steps=settings.inversion_steps)

    venv.reset(seed=settings.seed)
    venv.action_space.seed(settings.seed)
    episodes = 0
    started = time.perf_counter()
    for _ in range(settings.steps):
        _, _, terminated, truncated, _ = venv.step(venv.action_space.sample())
        episodes += int((terminated | truncated).sum())
    seconds = time.perf_counter() - started

    print(f"{settings.steps} steps of {settings.num_envs} envs, {episodes} episodes ended")
    print(f"{settings.steps * settings.num_envs / seconds:.1f} env steps a second")
    for key, stats in venv.stats.items():
        stem = sum(stats.seconds.values())
        print(
            f"{key or 'image'}: {stats.frames} frames in {stats.inverter_calls} batches, "
            f"{100 * stem / seconds:.0f} % of the time"
        )
    venv.close()


if __name__ == "__main__":
    main()
