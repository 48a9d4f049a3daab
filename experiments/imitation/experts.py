"""Scripted experts that see the simulator's state: for demonstrations, not for robots.

An expert has no memory: its action is a function of the present state alone. It therefore finds
back after any disturbance, grasps again what slipped, and is what behavioural cloning can imitate.

python -m experiments.imitation.experts --task Stack --episodes 100
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

import stemob_wrappers  # noqa: F401 (registers stemob/…)

Vector = NDArray[np.floating]
Action = NDArray[np.float32]

OPEN, CLOSE = -1.0, 1.0
STAY, UP = (0.0, 0.0, 0.0), (0.0, 0.0, 0.1)
POSITION_UNIT = 0.05  # metres that an action of 1 asks for: the Panda's default controller
ROTATION_UNIT = 0.5  # radians, likewise


class Expert(Protocol):
    """What every expert of this file is."""

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


class LiftExpert:
    """Lifts the cube of ``stemob/Lift-v0``.

    Example:
        >>> import gymnasium as gym
        >>> env = gym.make("stemob_wrappers:stemob/Lift-v0", cameras=())
        >>> _, info = env.reset(seed=0)
        >>> expert = LiftExpert()
        >>> while not info["success"]:
        ...     *_, info = env.step(expert.act(env))
        >>> env.close()
    """

    def reset(self) -> None:
        """Nothing is remembered from one step to the next."""

    def act(self, env: gym.Env[Any, Any]) -> Action:
        """See `Expert.act`."""
        simulator = _simulator(env)
        hand = Hand.of(simulator)
        cube = Thing.of(simulator, simulator.cube_body_id)
        if hand.holds(simulator, simulator.cube):
            return hand.move(UP, hand.yaw, CLOSE)
        return grasp(hand, cube.position, cube.yaw)


class StackExpert:
    """Puts the red cube of ``stemob/Stack-v0`` on the green one and lets go."""

    CLEARANCE = 0.06  # metres between the centres of the cubes before one passes over the other
    RESTING = 0.045  # metres between the centres when one lies on the other

    def reset(self) -> None:
        """Nothing is remembered from one step to the next."""

    def act(self, env: gym.Env[Any, Any]) -> Action:
        """See `Expert.act`."""
        simulator = _simulator(env)
        hand = Hand.of(simulator)
        cube = Thing.of(simulator, simulator.cubeA_body_id)
        base = Thing.of(simulator, simulator.cubeB_body_id)
        to_base = base.position - cube.position
        distance = float(np.linalg.norm(to_base[:2]))
        height = float(-to_base[2])
        if not hand.holds(simulator, simulator.cubeA):
            if distance < 0.025 and abs(height - self.RESTING) < 0.004:  # it is done
                return hand.move(UP, hand.yaw, OPEN)
            return grasp(hand, cube.position, clear_yaw(cube.position, base.position))
        if distance < 0.012 and height < self.RESTING + 0.004:
            return hand.move(STAY, hand.yaw, OPEN)
        # High while far away; down once above. Sideways only as fast as the height allows.
        wanted = self.RESTING + min(0.05, 3.0 * max(0.0, distance - 0.008))
        high_enough = np.clip((height - self.CLEARANCE + 0.02) / 0.02, 0.0, 1.0)
        sideways = to_base[:2] * (1.0 if distance < 0.015 else high_enough)
        return hand.move((*sideways, wanted - height), hand.yaw, CLOSE)


class PickPlaceCanExpert:
    """Takes the can of ``stemob/PickPlaceCan-v0`` into its bin and draws back."""

    CARRY = 0.22  # metres above the bins' floor at which the can passes their walls
    DROP = 0.09
    GRIP = np.array([0.0, 0.0, 0.01])  # metres from the can's centre
    NEARER = np.array([-0.03, -0.03])  # than the bin's middle, which is at the end of the reach

    def reset(self) -> None:
        """Nothing is remembered from one step to the next."""

    def act(self, env: gym.Env[Any, Any]) -> Action:
        """See `Expert.act`."""
        simulator = _simulator(env)
        hand = Hand.of(simulator)
        can_id = simulator.obj_body_id["Can"]
        can = Thing.of(simulator, can_id)
        target = np.asarray(simulator.target_bin_placements[simulator.object_id])
        in_bin = not simulator.not_in_bin(can.position, simulator.object_id)
        if not hand.holds(simulator, simulator.objects[simulator.object_id]):
            if in_bin:
                return hand.move(UP, 0.0, OPEN)
            return grasp(hand, can.position + self.GRIP, 0.0)

        to_target = target - can.position
        to_target[:2] += self.NEARER
        distance = float(np.linalg.norm(to_target[:2]))
        height = float(-to_target[2])
        if distance < 0.03 and height < self.DROP + 0.01:
            return hand.move(STAY, hand.yaw, OPEN)
        wanted = self.DROP + min(self.CARRY - self.DROP, 3.0 * max(0.0, distance - 0.02))
        high_enough = np.clip((height - self.CARRY + 0.08) / 0.04, 0.0, 1.0)
        sideways = to_target[:2] * (1.0 if distance < 0.06 else high_enough)
        return hand.move((*sideways, wanted - height), 0.0, CLOSE)


EXPERTS: dict[str, type[LiftExpert] | type[StackExpert] | type[PickPlaceCanExpert]] = {
    "Lift": LiftExpert,
    "Stack": StackExpert,
    "PickPlaceCan": PickPlaceCanExpert,
}
"""The expert of each task."""


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


def clear_yaw(cube: Vector, neighbour: Vector) -> float:
    """The yaw nearest to 0 with which the fingers, around a cube, keep clear of a neighbour.

    Whatever way the cube is turned, it fits between the open fingers, and they turn it as they
    close. A hand that turned to it would have to see its yaw, and at 45 degrees to choose a side:
    imitators of that hovered over one cube in three, turned half way.
    """
    to_neighbour = neighbour[:2] - cube[:2]
    if np.linalg.norm(to_neighbour) > 0.1:
        return 0.0
    # Of the line through both, in (-pi / 2, pi / 2]; fingers at yaw 0 close along y.
    line = (np.arctan2(-to_neighbour[0], to_neighbour[1]) + np.pi / 2) % np.pi - np.pi / 2
    clear = np.pi / 3
    return 0.0 if abs(line) >= clear else float(line - np.copysign(clear, line))


def _simulator(env: gym.Env[Any, Any]) -> Any:
    base: Any = env.unwrapped
    return base.simulator


def measure(task: str, episodes: int, seed: int = 0, horizon: int = 300) -> list[int]:
    """Steps to success in each episode, 0 where there was none. Renders nothing."""
    env = gym.make(f"stemob/{task}-v0", cameras=(), horizon=horizon, disable_env_checker=True)
    expert = EXPERTS[task]()
    lengths = []
    for episode in range(episodes):
        _, info = env.reset(seed=seed + episode)
        expert.reset()
        steps, over = 0, False
        while not over:
            *_, terminated, truncated, info = env.step(expert.act(env))
            steps, over = steps + 1, terminated or truncated
        lengths.append(steps if info["success"] else 0)
    env.close()
    return lengths


def main() -> None:
    parser = argparse.ArgumentParser(description="How often an expert succeeds, and how quickly.")
    parser.add_argument("--task", choices=EXPERTS, default="Lift")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="reset seed of the first episode")
    arguments = parser.parse_args()
    lengths = measure(arguments.task, arguments.episodes, arguments.seed)
    done = [length for length in lengths if length]
    print(
        f"{arguments.task}: {len(done)} of {len(lengths)} episodes succeeded, "
        f"in {np.median(done):.0f} steps (median; {min(done)} to {max(done)})"
    )
    failed = [arguments.seed + i for i, length in enumerate(lengths) if not length]
    if failed:
        print(f"failed at the seeds {failed}")


if __name__ == "__main__":
    main()
