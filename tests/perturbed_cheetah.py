"""A HalfCheetah that is rendered and perturbed, as spawned workers import it too."""

from typing import Any

from stemob_wrappers.perturb import ScenePerturbation
from stemob_wrappers.scene.simulation import find_simulation
from stemob_wrappers.wrappers.rendering import make_rendered

SIZE = 48


def make_cheetah() -> Any:
    env = make_rendered("HalfCheetah-v5", size=SIZE)
    # Shadows as they come take most of the time of these tests.
    find_simulation(env).model.vis.quality.shadowsize = 256
    return env


def make_for_worker(seed: int) -> ScenePerturbation:
    return ScenePerturbation(make_cheetah(), "all", 4, seed=seed)
