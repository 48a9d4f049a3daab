"""Door: turn the handle down and draw the door open by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from experiments.imitation.experts.hand import CLOSE, Action, Hand, Vector, simulator_of

VERTICAL = np.array([0.0, 0.0, 1.0])


class DoorExpert:
    """Turns the handle of ``stemob/Door-v0`` and opens the door.

    The hand keeps pointing down and its fingers closed. It presses the handle down from above,
    follows it round until it hangs, and then draws it along: the handle's spring and the hand
    press against each other, so that friction holds it.
    """

    GRIP = 0.115  # metres from the handle's axle at which the hand presses it
    FRONT = 0.09  # metres from the door's middle plane to the hand; the handle is at 0.1
    OVER = 0.03  # metres from the handle's middle line to the hand that touches it
    PASS = 0.1  # metres above the axle at which the hand comes over the handle
    CLEAR = 0.17  # metres from the door's middle plane, where nothing is in the hand's way
    AHEAD = 0.35  # radians by which the hand leads the handle
    HANGING = 1.25  # radians to which it leads it
    UNLATCHED = 1.1  # radians from which on the door can be drawn
    STEP = 0.03  # metres ahead at most while pressing: faster, it would fling the handle away

    def reset(self) -> None:
        """Nothing is remembered from one step to the next."""

    def act(self, env: gym.Env[Any, Any]) -> Action:
        """See `Expert.act`."""
        simulator = simulator_of(env)
        hand = Hand.of(simulator)
        handle = Handle.of(simulator)
        from_axle = hand.position - handle.axle
        along, over = handle.directions(handle.turned)
        if not (
            -0.005 < from_axle @ over < 0.14
            and 0.03 < from_axle @ along < 0.17
            and abs(from_axle @ handle.out - self.FRONT) < 0.03
            and abs(hand.yaw - handle.yaw) < 0.4
        ):
            return self._approach(hand, handle)
        gripper = simulator.robots[0].gripper["right"]
        touched = simulator.check_contact(gripper, simulator.door.naming_prefix + "handle")
        if touched and handle.turned > self.UNLATCHED:  # as hard against it as along with it
            return hand.move(self.STEP * (handle.out - over), handle.yaw, CLOSE)
        along, over = handle.directions(min(handle.turned + self.AHEAD, self.HANGING))
        shift = self.GRIP * along + self.OVER * over + self.FRONT * handle.out - from_axle
        shift *= min(1.0, self.STEP / float(np.linalg.norm(shift)))
        return hand.move(shift, handle.yaw, CLOSE)

    def _approach(self, hand: Hand, handle: Handle) -> Action:
        """The way to the handle: away from the door and up, over the handle, down on it."""
        from_axle = hand.position - handle.axle
        side, front = float(from_axle @ handle.rest), float(from_axle @ handle.out)
        height = float(from_axle @ VERTICAL)

        def move_to(side: float, front: float, height: float) -> Action:
            place = side * handle.rest + front * handle.out + height * VERTICAL
            return hand.move(place - from_axle, handle.yaw, CLOSE)

        lined_up = (
            abs(front - self.FRONT) < 0.015
            and abs(side - self.GRIP) < 0.03
            and abs(hand.yaw - handle.yaw) < 0.3
        )
        if lined_up:
            return move_to(self.GRIP, self.FRONT, 0.0)
        if height > self.PASS - 0.03:
            return move_to(self.GRIP, self.FRONT, self.PASS)
        if front > self.CLEAR:
            return move_to(self.GRIP, self.CLEAR + 0.02, self.PASS)
        return move_to(side, self.CLEAR + 0.02, height)


@dataclass(frozen=True)
class Handle:
    """Where the door's handle is, in the world: a lever on an axle that stands out of the door.

    Attributes:
        axle: where the axle meets the door, in metres: [3].
        rest: the level direction in which the handle lies when nobody turns it: [3].
        out: the direction of the axle, out of the door: [3].
        turned: how far down from its rest, in radians.
    """

    axle: Vector
    rest: Vector
    out: Vector
    turned: float

    @classmethod
    def of(cls, simulator: Any) -> Handle:
        """The handle of the simulation's door."""
        data, body = simulator.sim.data, simulator.object_body_ids["latch"]
        along, into, _ = data.body_xmat[body].reshape(3, 3).T
        rest = np.cross(VERTICAL, -into)
        return cls(
            data.body_xpos[body].copy(), rest, -into, float(np.arctan2(-along[2], along @ rest))
        )

    def directions(self, turned: float) -> tuple[Vector, Vector]:
        """Where it points from its axle and where its upper side faces, turned so far: [3] each."""
        sine, cosine = np.sin(turned), np.cos(turned)
        return cosine * self.rest - sine * VERTICAL, sine * self.rest + cosine * VERTICAL

    @property
    def yaw(self) -> float:
        """The yaw of a hand whose broad side is parallel to the door, from 0 to pi."""
        return float((np.arctan2(self.rest[1], self.rest[0]) + np.pi / 2) % np.pi)
