"""Lift: take the cube up."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from experiments.imitation.experts.hand import CLOSE, UP, Action, Hand, Thing, grasp, simulator_of


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
        simulator = simulator_of(env)
        hand = Hand.of(simulator)
        cube = Thing.of(simulator, simulator.cube_body_id)
        if hand.holds(simulator, simulator.cube):
            return hand.move(UP, hand.yaw, CLOSE)
        return grasp(hand, cube.position, cube.yaw)
