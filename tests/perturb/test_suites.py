"""Suites: stable names, the right wrapper for each cell, errors that help."""

import itertools

import fakes
import gymnasium as gym
import numpy as np
import pytest

from stemob_wrappers.perturb import PixelPerturbation, ScenePerturbation, suites
from stemob_wrappers.perturb.factors import FACTORS, GROUPS
from stemob_wrappers.wrappers.rendering import make_rendered

LEVELS = ("easy", "medium", "hard")


def test_the_names_are_stable():
    assert [cell.name for cell in suites.suite("lighting")] == [
        f"lighting-{s}" for s in range(1, 6)
    ]
    assert list(suites.SUITES) == [
        *("lighting", "texture", "colour", "background", "camera", "distractors", "corruption"),
        *("all", "appearance"),
    ]
    names = [cell.name for cell in suites.suite("all")]
    assert len(names) == len(set(names)) == 35


def test_groups_of_cells_are_groups_of_factors():
    assert set(suites.GROUPS) == (set(GROUPS) - {"all", "appearance"}) | {"corruption"}
    four = ("lighting", "texture", "colour", "background")
    assert set(GROUPS["appearance"]) == {name for group in four for name in GROUPS[group]}


def test_cells_of_a_protocol_have_severities_of_their_own():
    cells = suites.suite("rl-vigen", [1])
    assert [cell.name for cell in cells] == [f"rl-vigen-{hard}" for hard in LEVELS]
    assert suites.suite("rl-vigen-hard") == cells[2:]
    for cell in cells:
        cell.check()
        assert set(suites.PROTOCOLS[cell.group]) <= set(FACTORS)
    easy, medium, hard = (set(suites.PROTOCOLS[cell.group]) for cell in cells)
    assert medium - easy == {"robot_colour", "moving_light", "shadows"}
    assert hard - medium == {"moving_background"}
    for cell in (suites.Cell("lighting"), suites.Cell("rl-vigen-hard", 3), suites.Cell("x", 3)):
        with pytest.raises(ValueError, match=r"severity must be one of|must be one of lighting"):
            cell.check()


@pytest.mark.parametrize(
    "level", ["hard", *(pytest.param(level, marks=pytest.mark.slow) for level in LEVELS[:2])]
)
def test_a_protocol_changes_a_robosuite_scene(level):
    pytest.importorskip("robosuite")
    env = suites.Cell(f"rl-vigen-{level}").wrap(gym.make("stemob/Lift-v0", size=32), split="dev")
    observation, info = env.reset(seed=0)
    assert set(info["perturbation"]) == {*suites.PROTOCOLS[f"rl-vigen-{level}"], "episode"}
    frames = [observation["agentview_image"].astype(int)]
    for _ in range(3):
        observation, *_ = env.step(np.zeros(7))
        frames.append(observation["agentview_image"].astype(int))
    if level == "hard":  # the background moves, the hand hardly
        moved = [(np.abs(b - a).max(axis=2) > 2).mean() for a, b in itertools.pairwise(frames)]
        assert min(moved) > 0.05, moved
    env.close()


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
