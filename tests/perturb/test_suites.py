"""Suites: stable names, the right wrapper for each cell, errors that help."""

import fakes
import gymnasium as gym
import pytest

from stemob_wrappers.perturb import PixelPerturbation, ScenePerturbation, suites
from stemob_wrappers.perturb.factors import GROUPS
from stemob_wrappers.wrappers.rendering import make_rendered


def test_the_names_are_stable():
    assert [cell.name for cell in suites.suite("lighting")] == [
        f"lighting-{s}" for s in range(1, 6)
    ]
    assert list(suites.SUITES) == [
        *("lighting", "texture", "colour", "background", "camera", "distractors", "corruption"),
        "all",
    ]
    names = [cell.name for cell in suites.suite("all")]
    assert len(names) == len(set(names)) == 35


def test_groups_of_cells_are_groups_of_factors():
    assert set(suites.GROUPS) == (set(GROUPS) - {"all"}) | {"corruption"}


def test_a_cell_wraps_an_env():
    (cell,) = suites.suite("camera", [4])
    env = cell.wrap(make_rendered("HalfCheetah-v5", size=32), seed=1, split="dev")
    assert isinstance(env, ScenePerturbation)
    _, info = env.reset(seed=0)
    assert info["perturbation"]["camera_fov"]["severity"] == 4
    env.close()
    (cell,) = suites.suite("corruption", [2])
    env = cell.wrap(gym.make("fakes:fake/Frame-v0", layout=fakes.IMAGE))
    assert isinstance(env, PixelPerturbation)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lightings",), "Unknown suite 'lightings': did you mean lighting"),
        (("xyz",), "choose from lighting, texture"),
        (("camera", [0]), "severity must be one of"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        suites.suite(*arguments)
