"""Gymnasium ids for the single-arm robosuite tasks, such as ``stemob/Lift-v0``.

Importing this module imports neither robosuite nor MuJoCo; `gym.make` does, when it builds an env.
"""

import gymnasium as gym

TASKS: tuple[str, ...] = (
    "Lift",
    "Stack",
    "NutAssembly",
    "NutAssemblySingle",
    "NutAssemblySquare",
    "NutAssemblyRound",
    "PickPlace",
    "PickPlaceSingle",
    "PickPlaceMilk",
    "PickPlaceBread",
    "PickPlaceCereal",
    "PickPlaceCan",
    "Door",
    "Wipe",
    "ToolHang",
)
"""The single-arm tasks of robosuite 1.5."""


def register() -> None:
    """Register ``stemob/<Task>-v0`` for every task in `TASKS`; ids already there are left alone.

    Importing `stemob_wrappers` calls it, so that
    ``gym.make("stemob_wrappers:stemob/Lift-v0")`` needs no further import.
    """
    for task in TASKS:
        env_id = f"stemob/{task}-v0"
        if env_id not in gym.registry:
            gym.register(
                id=env_id,
                entry_point="stemob_wrappers.envs.robosuite:RobosuiteEnv",
                kwargs={"task": task},
            )
