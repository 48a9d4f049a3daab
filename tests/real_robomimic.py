"""robomimic 0.3.0 itself, and a data set of its own env's frames.

It imports three packages that cannot be had beside MuJoCo 3 and PyTorch 2.13, and asks nothing of
them here: mujoco_py (for the name of an exception), egl_probe (for a GPU's number) and torchvision
(for a ResNet, where a policy has one). They are stood in for. Its env, wrappers, data loader,
networks, training and rollouts are its own.
"""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest

IMAGE = "agentview_image"
STATES = ["robot0_eef_pos", "robot0_gripper_qpos"]
SIZE = 32


@contextlib.contextmanager
def imports() -> Iterator[None]:
    """In the block robomimic can be imported and run; skip the test where it is not installed."""
    pytest.importorskip("robomimic", reason="pip install --no-deps robomimic==0.3.0")
    pytest.importorskip("robosuite")
    missing = {
        "mujoco_py": {},
        "mujoco_py.builder": {"MujocoException": ArithmeticError},
        "egl_probe": {"get_available_devices": list},
        "torchvision": {},
        "torchvision.models": {},
        "torchvision.transforms": {"Lambda": None, "Compose": None},
        "torchvision.transforms.functional": {},
    }
    added = [name for name in missing if name not in sys.modules]
    for name in added:
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(missing[name])
        package, _, child = name.rpartition(".")
        if package:
            setattr(sys.modules[package], child, sys.modules[name])
    try:
        yield
    finally:
        for name in added:
            del sys.modules[name]


def write_demos(path: Path, steps: int = 6, demos: int = 1) -> Path:
    """Write demonstrations of random actions as robomimic's dataset_states_to_obs.py does."""
    from robomimic.envs.env_robosuite import EnvRobosuite

    env = EnvRobosuite.create_for_data_processing(
        env_name="Lift",
        camera_names=["agentview"],
        camera_height=SIZE,
        camera_width=SIZE,
        reward_shaping=False,
        robots=["Panda"],
        seed=0,
        hard_reset=False,
    )
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps(env.serialize())
        data.attrs["total"] = steps * demos
        for index in range(demos):
            env.reset()
            model, rows = env.get_state()["model"], []
            for _ in range(steps):
                state = env.get_state()["states"]
                rows.append((state, env.reset_to({"states": state}), rng.uniform(-1, 1, 7)))
                env.step(rows[-1][2])
            demo = data.create_group(f"demo_{index}")
            demo.attrs["num_samples"], demo.attrs["model_file"] = steps, model
            demo["states"] = np.stack([row[0] for row in rows])
            demo["actions"] = np.stack([row[2] for row in rows])
            demo["rewards"], demo["dones"] = np.zeros(steps), np.zeros(steps, int)
            for key in (IMAGE, *STATES):
                for group, shift in (("obs", 0), ("next_obs", 1)):
                    values = [rows[min(row + shift, steps - 1)][1][key] for row in range(steps)]
                    demo[f"{group}/{key}"] = np.stack(values)
    env.env.close()
    return path
