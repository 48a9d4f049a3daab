"""Train PPO of Stable-Baselines3 on stem frames.

python examples/train_sb3.py --steps 100000
python examples/train_sb3.py --env HalfCheetah-v5 --render-size 84
python examples/train_sb3.py --env InvertedPendulum-v5 --render-size 84 --subprocesses 0 \
    --env-kwargs '{"xml_file": "./examples/pendulum_room.xml"}' \
    --backbone embedded-canonical --save runs/stem.zip

`stemob evaluate --policy PPO:runs/stem.zip` plays what was saved, on frames as it learned from.
"""

import argparse
import dataclasses
import json
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gymnasium as gym
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecEnv,
    VecFrameStack,
    VecNormalize,
)

import stemob_wrappers  # noqa: F401 (registers stemob/…)
from stemob_wrappers.wrappers.rendering import make_rendered
from stemob_wrappers.wrappers.sb3 import StemVecEnv


@dataclass
class Settings:
    env: str = field(default="stemob/Lift-v0", metadata={"help": "a registered env"})
    env_kwargs: str = field(default="{}", metadata={"help": "arguments of the env, as JSON"})
    render_size: int = field(
        default=0, metadata={"help": "observe frames rendered at this size: for envs without"}
    )
    num_envs: int = field(default=8, metadata={"help": "envs that run at once"})
    subprocesses: int = field(default=1, metadata={"help": "1: a process each, 0: all in this one"})
    backbone: str = field(default="embedded", metadata={"help": "of the stem; raw: without one"})
    inversion_steps: int = field(default=5, metadata={"help": "of 50; 0 only encodes and decodes"})
    frame_stack: int = field(default=3, metadata={"help": "frames that the policy sees at once"})
    steps: int = field(default=100_000, metadata={"help": "env steps to train for"})
    rollout: int = field(default=128, metadata={"help": "steps of each env between two updates"})
    epochs: int = field(default=8, metadata={"help": "passes over each rollout"})
    learning_rate: float = field(default=5e-4, metadata={"help": "of Adam, falling to 0"})
    eval_episodes: int = field(default=4, metadata={"help": "episodes to judge the result on"})
    save: str = field(default="", metadata={"help": "where to save the policy"})
    seed: int = field(default=0, metadata={"help": "of envs, noise and policy"})
    device: str = field(default="auto", metadata={"help": "cpu, cuda or auto, for the policy"})


def main(settings: Settings) -> None:
    # Rewards are scaled for the training alone: returns of 100 would drown the policy's gradient.
    venv = VecNormalize(make_envs(settings, settings.num_envs, settings.seed), norm_obs=False)
    several = isinstance(venv.observation_space, gym.spaces.Dict)
    model = PPO(
        "MultiInputPolicy" if several else "CnnPolicy",
        venv,
        n_steps=settings.rollout,
        batch_size=max(2, settings.rollout * settings.num_envs // 4),
        n_epochs=settings.epochs,
        learning_rate=lambda left: left * settings.learning_rate,
        seed=settings.seed,
        device=settings.device,
        verbose=1,
    )
    model.learn(settings.steps)
    if settings.save:
        model.save(settings.save)
    if settings.eval_episodes:
        # Not the seeds of training. With the wrapper that the policy was trained with.
        test = make_envs(settings, 1, settings.seed + 10_000)
        mean, deviation = evaluate_policy(model, test, settings.eval_episodes)
        print(f"return over {settings.eval_episodes} episodes: {mean:.2f} +- {deviation:.2f}")
        test.close()
    venv.close()


def make_envs(settings: Settings, num_envs: int, seed: int) -> VecEnv:
    venv = make_vec_env(
        partial(make_one, settings.env, settings.render_size, json.loads(settings.env_kwargs)),
        num_envs,
        seed=seed,
        vec_env_cls=SubprocVecEnv if settings.subprocesses and num_envs > 1 else DummyVecEnv,
    )
    if settings.backbone != "raw":
        # One batch a step for all envs. Frames are stacked outside: each is inverted once.
        venv = StemVecEnv(
            venv,
            backbone=settings.backbone,
            inversion_steps=settings.inversion_steps,
            seed=settings.seed,
        )
    return VecFrameStack(venv, settings.frame_stack)


def make_one(env: str, render_size: int, env_kwargs: dict[str, Any]) -> gym.Env:
    if render_size:
        return make_rendered(env, size=render_size, **env_kwargs)
    dense = {"reward_shaping": True} if env.startswith("stemob/") else {}
    return gym.make(env, **(dense | env_kwargs))


def parse() -> Settings:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for option in dataclasses.fields(Settings):
        parser.add_argument(
            f"--{option.name.replace('_', '-')}",
            type=type(option.default),
            default=option.default,
            help=f"{option.metadata['help']} (default: {option.default!r})",
        )
    return Settings(**vars(parser.parse_args()))


if __name__ == "__main__":
    main(parse())
