"""Wrap one env: its camera images become stem frames, everything else stays as it was.

python examples/wrap_env.py
python examples/wrap_env.py --chunk 4
python examples/wrap_env.py --env HalfCheetah-v5 --render-size 84
"""

import argparse
import time

import gymnasium as gym
import numpy as np

import stemob_wrappers
from stemob_wrappers.wrappers.chunk import ActionChunk
from stemob_wrappers.wrappers.rendering import make_rendered


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--env", default="stemob/Lift-v0", help="a registered env")
    parser.add_argument(
        "--render-size", type=int, help="observe frames rendered at this size: for envs without"
    )
    parser.add_argument("--inversion-steps", type=int, default=15, help="of 50; more hides more")
    parser.add_argument("--chunk", type=int, default=1, help="actions that a policy plans at once")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()

    if settings.render_size:
        env = make_rendered(settings.env, size=settings.render_size)
    else:
        env = gym.make(settings.env)
    if settings.chunk > 1:  # below the stem: what is not looked at is neither rendered nor inverted
        env = ActionChunk(env, settings.chunk)
    env = stemob_wrappers.StemObservation(
        env, inversion_steps=settings.inversion_steps, keep_raw=True
    )

    observation, _ = env.reset(seed=settings.seed)
    env.action_space.seed(settings.seed)
    started = time.perf_counter()
    for _ in range(settings.steps):
        observation, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            observation, _ = env.reset()
    seconds = time.perf_counter() - started

    for key, value in observation.items():
        print(f"{key}: {value.dtype} {value.shape}")
    for key in [key for key in observation if f"{key}_raw" in observation]:
        change = np.abs(observation[key].astype(int) - observation[f"{key}_raw"]).mean()
        print(f"{key}: a pixel changed by {change:.1f} of 255 on average")
    print(f"{settings.steps / seconds:.1f} steps a second")
    env.close()


if __name__ == "__main__":
    main()
