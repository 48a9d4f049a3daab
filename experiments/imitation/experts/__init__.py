"""Scripted experts that see the simulator's state: for demonstrations, not for robots.

An expert has no memory: its action is a function of the present state alone. It therefore finds
back after any disturbance, grasps again what slipped, and is what behavioural cloning can imitate.

python -m experiments.imitation.experts --task Stack --episodes 100
"""

from experiments.imitation.experts.can import PickPlaceCanExpert
from experiments.imitation.experts.door import DoorExpert
from experiments.imitation.experts.hand import Expert
from experiments.imitation.experts.lift import LiftExpert
from experiments.imitation.experts.stack import StackExpert

EXPERTS: dict[str, type[Expert]] = {
    "Lift": LiftExpert,
    "Stack": StackExpert,
    "PickPlaceCan": PickPlaceCanExpert,
    "Door": DoorExpert,
}
"""The expert of each task."""
