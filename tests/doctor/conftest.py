"""A file of robosuite's states and frames without a fault, and its stem frames."""

import json
import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from doctor_files import KEY, SIZE, STATES

from stemob_wrappers import StemConfig, wrap_robosuite
from stemob_wrappers.datasets import invert_dataset
from stemob_wrappers.doctor.replay import Replay


@pytest.fixture(scope="package")
def lift() -> Any:
    robosuite = pytest.importorskip("robosuite")
    env = wrap_robosuite(
        robosuite.make(
            "Lift",
            "Panda",
            seed=0,
            hard_reset=False,
            has_renderer=False,
            has_offscreen_renderer=False,
            use_camera_obs=False,
        ),
        ["agentview", "frontview"],
        size=SIZE,
    )
    yield env
    env.close()


@pytest.fixture(scope="package")
def sound(lift: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Steps of Lift as robomimic's own tools write them: states, model file, upright frames."""
    import robosuite

    path = tmp_path_factory.mktemp("doctor") / "lift.hdf5"
    lift.reset(seed=0)
    lift.simulator.reset_from_xml_string(lift.simulator.sim.model.get_xml())  # its text is rounded
    simulation = lift.simulator.sim
    states, frames = [], []
    for _ in range(STATES):
        for _ in range(5):
            lift.step(np.array([0.5, 0.3, -0.8, 0, 0, 0, 1], np.float32))
        states.append(simulation.get_state().flatten())
        simulation.forward()  # as when a state is set, with nothing left of the step before
        frames.append(lift.observe())
    size = {"camera_heights": SIZE, "camera_widths": SIZE}
    env_args = {
        "env_name": "Lift",
        "env_version": robosuite.__version__,
        "type": 1,
        "env_kwargs": {"robots": ["Panda"], "camera_names": ["agentview"], **size},
    }
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps(env_args)
        demo = data.create_group("demo_0")
        demo.attrs["model_file"] = simulation.model.get_xml()
        demo.attrs["num_samples"] = STATES
        demo["states"] = np.stack(states)
        demo["actions"] = np.zeros((STATES, 7))
        demo[f"obs/{KEY}"] = np.stack([seen[KEY] for seen in frames])
    np.save(path.with_suffix(".npy"), np.stack([seen["frontview_image"] for seen in frames]))
    return path


@pytest.fixture(scope="package", autouse=True)
def replays() -> Any:
    """One replay for all files that have the same env and states: building it takes a second."""
    kept: dict[bytes, Replay] = {}

    def build(env_args: Any, states: Any) -> Replay:
        name = pickle.dumps((env_args["env_kwargs"], states))
        if name not in kept:
            kept[name] = Replay(env_args, states)
        return kept[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stemob_wrappers.doctor.examine.Replay", build)
        close, _ = Replay.close, patch.setattr(Replay, "close", lambda self: None)
        yield
    for replay in kept.values():
        close(replay)


@pytest.fixture(scope="package")
def stem(sound: Path) -> Path:
    target = sound.with_name("stem.hdf5")
    invert_dataset(sound, target, StemConfig(inversion_steps=10))
    return target
