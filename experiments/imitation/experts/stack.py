"""Stack: put the red cube on the green one."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from experiments.imitation.experts.hand import (
    CLOSE,
    OPEN,
    STAY,
    UP,
    Action,
    Hand,
    Thing,
    Vector,
    grasp,
    simulator_of,
)


class StackExpert:
    """Puts the red cube of ``stemob/Stack-v0`` on the green one and lets go."""

    CLEARANCE = 0.06  # metres between the centres of the cubes before one passes over the other
    RESTING = 0.045  # metres between the centres when one lies on the other

    def reset(self) -> None:
        """Nothing is remembered from one step to the next."""

    def act(self, env: gym.Env[Any, Any]) -> Action:
        """See `Expert.act`."""
        simulator = simulator_of(env)
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
