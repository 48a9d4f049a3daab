"""PickPlaceCan: take the can into its bin."""

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
    grasp,
    simulator_of,
)


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
        simulator = simulator_of(env)
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
