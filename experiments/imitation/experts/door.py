"""Door: turn the handle down and draw the door open by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from experiments.imitation.experts.hand import CLOSE, Action, Hand, Vector, simulator_of


class DoorExpert:
    """Turns the handle of ``stemob/Door-v0`` and opens the door.

    The hand keeps pointing down and its fingers closed. It presses the handle down from above
    until it hangs, and then draws it along: the handle's spring and the hand press against each
    other, so that friction holds it.
    """

    SIDE = 0.13  # metres from the handle's axle to the hand, which is too broad to pass nearer
    FRONT = 0.085  # metres from the door's middle plane to the hand; the handle is at 0.1
    LOW = -0.09  # metres from the axle, upwards, at which the handle hangs beside the hand
    HIGH = 0.1  # likewise, at which the hand comes over the handle
    CLEAR = 0.19  # metres from the door's middle plane, where nothing is in the hand's way
    UNLATCHED = 1.25  # radians from which on the door can be drawn
    STEP = 0.03  # metres ahead while pressing: further, it would fling the handle away

    def reset(self) -> None:
        """Nothing is remembered from one step to the next."""

    def act(self, env: gym.Env[Any, Any]) -> Action:
        """See `Expert.act`."""
        simulator = simulator_of(env)
        hand = Hand.of(simulator)
        handle = Handle.of(simulator)
        side, front, height = handle.axes @ (hand.position - handle.axle)
        turned_away = abs(hand.yaw - handle.yaw)

        def move(side: float, front: float, height: float) -> Action:
            return hand.move(np.array([side, front, height]) @ handle.axes, handle.yaw, CLOSE)

        gripper = simulator.robots[0].gripper["right"]
        touched = simulator.check_contact(gripper, simulator.door.naming_prefix + "handle")
        too_far = front - self.FRONT
        if touched and handle.turned > self.UNLATCHED and abs(too_far) < 0.04:
            # As hard against the handle as along with it; gentler where the hand slides off.
            return move(-self.STEP, min(self.STEP, 0.05 - too_far), self.LOW - height)
        aside = self.SIDE - side
        above = height > 0.02 or handle.turned > 0.1
        if abs(too_far) < 0.015 and abs(aside) < 0.03 and turned_away < 0.3 and above:
            return move(aside, -too_far, max(self.LOW - height, -self.STEP))
        if height > self.HIGH - 0.03:
            return move(aside, -too_far, self.HIGH - height)
        if front > self.CLEAR - 0.02:
            return move(aside, self.CLEAR - front, self.HIGH - height)
        return move(0.0, self.CLEAR - front, 0.0)


@dataclass(frozen=True)
class Handle:
    """Where the door's handle is: a lever on an axle that stands out of the door.

    Attributes:
        axle: where the axle crosses the door's middle plane, in metres, in the world: [3].
        axes: as rows: the level direction in which the handle lies at rest, the one out of the
            door, and upwards: [3, 3].
        turned: how far down from its rest, in radians.
    """

    axle: Vector
    axes: Vector
    turned: float

    @classmethod
    def of(cls, simulator: Any) -> Handle:
        """The handle of the simulation's door."""
        data, body = simulator.sim.data, simulator.object_body_ids["latch"]
        along, into, _ = data.body_xmat[body].reshape(3, 3).T
        up = np.array([0.0, 0.0, 1.0])
        rest = np.cross(up, -into)
        turned = float(np.arctan2(-along[2], along @ rest))
        return cls(data.body_xpos[body].copy(), np.stack([rest, -into, up]), turned)

    @property
    def yaw(self) -> float:
        """The yaw of a hand whose broad side is parallel to the door, from 0 to pi."""
        return float((np.arctan2(self.axes[0, 1], self.axes[0, 0]) + np.pi / 2) % np.pi)
