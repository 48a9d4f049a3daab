"""Record what the policy sees: the camera's frames on the left, the stem frames on the right.

pip install moviepy
python examples/record_video.py --folder videos
"""

import argparse

import gymnasium as gym

import stemob_wrappers
from stemob_wrappers.wrappers.view import ObservationView


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--env", default="HalfCheetah-v5", help="a registered env without images")
    parser.add_argument("--size", type=int, default=128, help="of the frames, in pixels")
    parser.add_argument("--inversion-steps", type=int, default=15, help="of 50; more hides more")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--folder", default="videos")
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()

    env = stemob_wrappers.make(
        settings.env, size=settings.size, inversion_steps=settings.inversion_steps, keep_raw=True
    )
    env = ObservationView(env, keys=["pixels_raw", "pixels"])
    env = gym.wrappers.RecordVideo(env, settings.folder, episode_trigger=lambda episode: True)

    env.reset(seed=settings.seed)
    env.action_space.seed(settings.seed)
    for _ in range(settings.steps):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()
    env.close()
    print(f"videos are in {settings.folder}")


if __name__ == "__main__":
    main()
