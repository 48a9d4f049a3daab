"""Building a robosuite simulation: names checked, controller loaded, its log kept quiet."""

import logging
import sys
from types import ModuleType
from typing import Any

from stemob_wrappers.envs import TASKS
from stemob_wrappers.extras import needs
from stemob_wrappers.scene.gl import ensure_gl

# The controllers of robosuite 1.5.2 that can be built by name.
COMPOSITE_CONTROLLERS = ("BASIC", "HYBRID_MOBILE_BASE", "WHOLE_BODY_IK")
ARM_CONTROLLERS = ("IK_POSE", "JOINT_POSITION", "JOINT_TORQUE", "OSC_POSE", "OSC_POSITION")

# robosuite draws some sizes while it builds a model; every env gets the same draw.
_MODEL_SEED = 0

# task -> the attributes that hold its objects and the index of the chosen one
_ONE_OF_SEVERAL = {
    "NutAssemblySingle": ("nuts", "nut_id"),
    "PickPlaceSingle": ("objects", "object_id"),
}


def build_simulator(
    task: str,
    *,
    robots: str,
    controller: str | None,
    cameras: tuple[str, ...],
    hard_reset: bool,
    **settings: Any,
) -> Any:
    """A robosuite env without renderer or horizon of its own, reset once.

    Args:
        task: one of `stemob_wrappers.envs.TASKS`.
        robots: name of a single-arm robot.
        controller: name of a composite or arm controller, or None for the robot's default.
        cameras: camera names that the model must have.
        hard_reset: whether the resets that follow build the model anew.
        **settings: further arguments of the robosuite env.

    Raises:
        ImportError: robosuite is not installed.
        ValueError: an unknown task, robot, controller or camera.
        RuntimeError: no OpenGL backend works here.
    """
    _check_name("task", task, TASKS)
    if controller is not None:
        _check_name("controller", controller, (*COMPOSITE_CONTROLLERS, *ARM_CONTROLLERS))
    ensure_gl()  # MuJoCo chooses its backend when it is imported, which robosuite does
    robosuite = import_robosuite()
    _check_name("robots", robots, _single_arm_robots())

    simulator = robosuite.make(
        task,
        robots=robots,
        controller_configs=_controller_config(robosuite, controller, robots),
        has_renderer=False,
        has_offscreen_renderer=False,
        use_camera_obs=False,
        renderer="mujoco",
        ignore_done=True,
        hard_reset=False,
        seed=_MODEL_SEED,
        **settings,
    )
    known_cameras = list(simulator.sim.model.camera_names)
    try:
        for camera in cameras:
            _check_name("camera", camera, known_cameras)
    except ValueError:
        simulator.close()
        raise
    # The first reset settles which sensors are on, and with them the shapes of the states.
    choose_object(simulator)
    simulator.reset()
    simulator.hard_reset = hard_reset
    return simulator


def import_robosuite() -> ModuleType:
    """Import robosuite; whoever is first to import it through here hears only its errors.

    Raises:
        ImportError: it is not installed.
    """
    loaded = sys.modules.get("robosuite")
    if loaded is not None:
        return loaded
    logger = logging.getLogger("robosuite_logs")
    configured = logger.level != logging.NOTSET
    if not configured:
        # robosuite sets the level as it is imported, and complains before that is over.
        logger.addFilter(_is_error)
    try:
        with needs("robosuite", "a stemob/… task"):
            import robosuite
    finally:
        if not configured:
            logger.removeFilter(_is_error)
            logger.setLevel(logging.ERROR)
    return robosuite


def choose_object(simulator: Any) -> None:
    """Draw the object of the next episode, for the tasks that take one of several.

    robosuite draws it from a set of names, whose order differs from one Python process to the
    next. This draws its index, from the same generator.
    """
    if type(simulator).__name__ in _ONE_OF_SEVERAL:
        objects, index = _ONE_OF_SEVERAL[type(simulator).__name__]
        simulator.single_object_mode = 2  # robosuite then takes the object it is given
        setattr(simulator, index, int(simulator.rng.integers(len(getattr(simulator, objects)))))


def _single_arm_robots() -> list[str]:
    with needs("robosuite"):
        from robosuite.models.robots.robot_model import REGISTERED_ROBOTS
        from robosuite.robots import ROBOT_CLASS_MAPPING

    return [name for name in ROBOT_CLASS_MAPPING if len(REGISTERED_ROBOTS[name].arms) == 1]


def _controller_config(robosuite: ModuleType, controller: str | None, robots: str) -> Any:
    if controller is None or controller in COMPOSITE_CONTROLLERS:
        return robosuite.load_composite_controller_config(controller=controller, robot=robots)
    with needs("robosuite"):
        from robosuite.controllers.composite.composite_controller_factory import (
            refactor_composite_controller_config,
        )

    arm = robosuite.load_part_controller_config(default_controller=controller)
    return refactor_composite_controller_config(arm, robots, ["right"])


def _check_name(what: str, name: str, known: list[str] | tuple[str, ...]) -> None:
    if name not in known:
        raise ValueError(f"{what} must be one of {', '.join(sorted(known))}; got {name!r}.")


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR
