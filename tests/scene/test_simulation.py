"""Models are found where libraries keep them: dm_control's beneath ``physics``."""

from types import SimpleNamespace
from typing import Any

import mujoco

from stemob_wrappers.scene.simulation import Simulation, find_simulation

MODEL = "<mujoco><worldbody><light name='sun'/><geom size='.1'/></worldbody></mujoco>"


class DmControlEnv:
    """Holds model and data as dm_control's environments do, in wrappers with a ``ptr``."""

    def __init__(self) -> None:
        mj: Any = mujoco
        model = mj.MjModel.from_xml_string(MODEL)
        self.physics = SimpleNamespace(
            model=SimpleNamespace(ptr=model), data=SimpleNamespace(ptr=mj.MjData(model))
        )


def test_dm_controls_model_and_data_are_found():
    env = DmControlEnv()
    simulation = find_simulation(SimpleNamespace(env=env))
    assert isinstance(simulation, Simulation)
    assert simulation.model is env.physics.model.ptr
    assert simulation.data is env.physics.data.ptr
    simulation.place_lights_and_cameras()
