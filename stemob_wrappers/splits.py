"""What is trained on, chosen on and published on: textures, seeds, tasks, robots."""

from typing import Literal

import numpy as np

Split = Literal["train", "dev", "test"]
Source = Literal["robosuite", "procedural", "gymnasium"]  # of scenes that are built here


SEEDS: dict[Split, range] = {
    "train": range(0, 1_000_000),
    "dev": range(1_000_000, 2_000_000),
    "test": range(2_000_000, 3_000_000),
}
"""Seeds by split, for all that is drawn for an appearance: textures, lights, colours, gloss."""

DEMONSTRATION_SEEDS = range(0, 500_000)
EVALUATION_SEEDS = range(3 * 2**20, 3 * 2**29)
"""Reset seeds, which decide a task's layouts: no policy is tested on an episode that it was shown.

Divided by three, those of an evaluation leave 0 ("train"), 1 ("dev") or 2 ("test").
"""


def draw_seed(split: Split, rng: np.random.Generator) -> int:
    """One seed of the split, for whatever is drawn for an appearance."""
    seeds = SEEDS[split]
    return int(rng.integers(seeds.start, seeds.stop))


SPLITS: dict[Split, tuple[str, ...]] = {
    "train": (
        *("plain", "gradient", "checker", "stripes", "clouds", "grain"),
        *("wood", "fabric", "dots", "bricks", "blotches", "plaid"),
    ),
    "dev": ("marble", "cells", "zigzag"),
    "test": ("mosaic", "ripples", "arcs"),
}
"""Texture families by split: backbones train on `train`, choices are made on `dev`, tables on
`test`. `stemob_wrappers.scene.textures` draws them."""


TRAIN_TASKS: dict[Source, tuple[str, ...]] = {
    "robosuite": (
        *("Lift", "Door", "Wipe", "NutAssembly", "NutAssemblySquare", "NutAssemblyRound"),
        *("PickPlace", "PickPlaceMilk", "PickPlaceBread", "PickPlaceCereal", "PickPlaceCan"),
    ),
    "procedural": ("table",),
    "gymnasium": ("half_cheetah", "hopper", "ant", "walker2d", "humanoid"),
}


METAWORLD_SCENES = (
    *("assembly_peg", "basketball", "bin_picking", "box"),
    *("button_press", "button_press_topdown", "button_press_topdown_wall", "button_press_wall"),
    *("coffee", "dial", "door_lock", "door_pull"),
    *("drawer", "faucet", "hammer", "handle_press"),
    *("handle_press_sideways", "laptop", "lever_pull", "peg_insertion_side"),
    *("peg_unplug_side", "pick_and_place", "pick_out_of_hole", "pick_place_v3"),
    *("pick_place_wall_v3", "plate_slide", "plate_slide_sideway", "push_back_v3"),
    *("push_v3", "push_wall_v3", "reach_push_pick_and_place", "reach_push_pick_and_place_wall"),
    *("reach_v3", "reach_wall_v3", "shelf_placing", "shelf_removing"),
    *("soccer", "stick_obj", "sweep_tool", "sweep_v3"),
    *("table_with_hole", "table_with_hole_no_puck", "window", "window_horizontal"),
)
"""Meta-World's models, ``sawyer_<name>.xml``; all of them are trained on."""


TRAIN_ROBOTS = ("Panda", "Sawyer", "IIWA", "Jaco", "Kinova3")


HELD_OUT: dict[str, tuple[str, ...]] = {
    "tasks": (
        "Stack",
        *("ToolHang", "TwoArmLift", "TwoArmPegInHole", "TwoArmHandover", "TwoArmTransport"),
    ),
    "robots": ("UR5e",),
    "models": ("swimmer", "reacher", "pusher_v5"),
}
"""Never trained on. Stack and UR5e belong to the published tables; the other tasks and models test
a backbone on scenes that it does not know."""


HOLDOUT_SCENES: tuple[tuple[Source, str, str], ...] = (
    *(("robosuite", "Stack", "Panda"), ("robosuite", "Stack", "UR5e")),
    *(("robosuite", "ToolHang", "Panda"), ("robosuite", "ToolHang", "UR5e")),
    *(("gymnasium", "pusher_v5", ""), ("gymnasium", "reacher", "")),
)
"""The validation scenes, taken in turn."""
