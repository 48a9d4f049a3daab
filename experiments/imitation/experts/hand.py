"""What the experts share: where the hand and things are, and how the hand moves and grasps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Vector = NDArray[np.floating]
Action = NDArray[np.float32]

OPEN, CLOSE = -1.0, 1.0
STAY, UP = (0.0, 0.0, 0.0), (0.0, 0.0, 0.1)
POSITION_UNIT = 0.05  # metres that an action of 1 asks for: the Panda's default controller
ROTATION_UNIT = 0.5  # radians, likewise


class Expert(Protocol):
    """What every expert is."""

    def reset(self) -> None:
        """Begin an episode."""
        ...

    def act(self, env: gym.Env[Any, Any]) -> Action:
        """The action for the env's present state: float32 [7], each in [-1, 1].

        Args:
            env: a `stemob_wrappers.envs.robosuite.RobosuiteEnv` of the expert's task with a Panda
                and its default controller, or wrappers around one.
        """
        ...


@dataclass(frozen=True)
class Thing:
    """Where an object is, in the world.

    Attributes:
        position: of its centre, in metres: [3].
        yaw: of its sides, in radians, from -pi / 4 to pi / 4: a cube looks the same at each
            quarter turn.
    """

    position: Vector
    yaw: float

    @classmethod
    def of(cls, simulator: Any, body: int) -> Thing:
        """The object with this body id."""
        rotation = simulator.sim.data.body_xmat[body].reshape(3, 3)
        level = rotation[:, np.argmin(np.abs(rotation[2]))]  # an axis that lies in the plane
        yaw = np.arctan2(level[1], level[0])
        quarter = np.pi / 2
        return cls(
            simulator.sim.data.body_xpos[body].copy(),
            float((yaw + quarter / 2) % quarter - quarter / 2),
        )


@dataclass(frozen=True)
class Hand:
    """Where the gripper is and how far it is open.

    Attributes:
        position: of the point between the finger tips, in metres, in the world: [3].
        rotation: its axes as columns: the fingers close along x, z points out of the hand: [3, 3].
        opening: of each finger from the middle, in metres: 0 to 0.04.
    """

    position: Vector
    rotation: Vector
    opening: float

    @classmethod
    def of(cls, simulator: Any) -> Hand:
        """The hand of the simulation's only robot."""
        robot = simulator.robots[0]
        site = robot.eef_site_id["right"]
        data = simulator.sim.data
        fingers = [abs(data.get_joint_qpos(name)) for name in robot.gripper["right"].joints]
        return cls(
            data.site_xpos[site].copy(),
            data.site_xmat[site].reshape(3, 3).copy(),
            float(np.mean(fingers)),
        )

    @property
    def yaw(self) -> float:
        """Turn about the vertical, in radians; 0 where the fingers close along the world's y."""
        return float(np.arctan2(-self.rotation[0, 0], self.rotation[1, 0]))

    def holds(self, simulator: Any, thing: Any) -> bool:
        """Whether both fingers touch the object, an attribute of the simulation."""
        return bool(simulator._check_grasp(simulator.robots[0].gripper["right"], thing))

    def move(self, shift: Sequence[float] | Vector, yaw: float, gripper: float) -> Action:
        """The action that moves the hand, pointing down, by at most full speed.

        The controller's goal is the pose itself when that is near, which it reaches without
        overshoot, and a point at a constant distance ahead when it is far.

        Args:
            shift: from here to where it is to be, in metres, in the world: [3].
            yaw: that it is to have, in radians.
            gripper: `OPEN` or `CLOSE`.
        """
        position = np.array(shift, dtype=np.float64) / POSITION_UNIT
        position /= max(1.0, float(np.linalg.norm(position)))
        sine, cosine = np.sin(yaw), np.cos(yaw)
        wanted = np.array([[-sine, cosine, 0.0], [cosine, sine, 0.0], [0.0, 0.0, -1.0]])
        turn = Rotation.from_matrix(wanted @ self.rotation.T).as_rotvec() / ROTATION_UNIT
        turn /= max(1.0, float(np.linalg.norm(turn)))
        return np.array([*position, *turn, gripper], dtype=np.float32)


def grasp(hand: Hand, position: Vector, yaw: float) -> Action:
    """The action that brings an open hand down over a position and closes it there.

    The way down is a funnel: the further off sideways, turned away or closed, the higher.
    """
    shift = position - hand.position
    offset = float(np.linalg.norm(shift[:2]))
    closing = hand.opening < 0.037
    near = 0.016 if closing else 0.008  # once begun, a small push does not end it
    if offset < near and -shift[2] < near and hand.opening > 0.014:
        return hand.move(shift, yaw, CLOSE)
    turned = abs((hand.yaw - yaw + np.pi) % (2 * np.pi) - np.pi)
    height = 3.0 * max(0.0, offset - 0.006) + 0.15 * max(0.0, turned - 0.15)
    height += 5.0 * max(0.0, 0.03 - hand.opening)
    shift[2] += min(height, 0.09)
    return hand.move(shift, yaw, OPEN)


def simulator_of(env: gym.Env[Any, Any]) -> Any:
    """The robosuite env beneath."""
    base: Any = env.unwrapped
    return base.simulator
