"""The factors of change by name, and groups of them; each is declared where it is made, in scene/.

A severity is a band of magnitudes: severity s draws evenly between the s-th and the next of a
factor's six bounds, and whatever else there is to draw (a side, a hue, a texture) freely. So every
draw of a severity is larger than every draw of the one below.
"""

from __future__ import annotations

import warnings

from stemob_wrappers.perturb.names import Choice
from stemob_wrappers.scene import cameras, lights, materials
from stemob_wrappers.scene.edit import SceneEdit
from stemob_wrappers.scene.factor import Factor

FACTORS: dict[str, Factor] = {
    value.name: value
    for module in (lights, materials, cameras)
    for value in vars(module).values()
    if isinstance(value, Factor)
}
"""Every factor by name, in the order they are applied."""

GROUPS: dict[str, tuple[str, ...]] = {
    "lighting": tuple(FACTORS)[:7],
    "texture": ("table_texture", "floor_texture", "wall_texture", "object_texture"),
    "colour": ("object_colour", "robot_colour", "shininess", "reflectance"),
    "background": ("floor_texture", "wall_texture", "skybox"),
    "camera": ("camera_position", "camera_orientation", "camera_fov"),
    "distractors": ("distractors",),
    "all": tuple(name for name in FACTORS if name != "moving_background"),
}
"""Names for several factors together. ``texture`` and ``background`` share two; a moving background
covers still ones, and is in no group."""

APPEARANCE = ("lighting", "texture", "colour", "background")
GROUPS["appearance"] = tuple(
    name for name in FACTORS if any(name in GROUPS[group] for group in APPEARANCE)
)


def keep_possible(choices: list[Choice], edit: SceneEdit) -> list[Choice]:
    """The choices that a model has what they need for; warns of what a group loses by it.

    Raises:
        ValueError: a factor named by itself is not possible, or none is.
    """
    missing = {choice.name: FACTORS[choice.name].missing(edit) for choice in choices}
    for choice in choices:
        if missing[choice.name] and not choice.group:
            raise ValueError(
                f"The factor {choice.name!r} needs {missing[choice.name]}; this env has none."
            )
    possible = [choice for choice in choices if not missing[choice.name]]
    lacking = "; ".join(f"{name} needs {what}" for name, what in missing.items() if what)
    if not possible:
        raise ValueError(f"This env has nothing that these factors change: {lacking}.")
    if lacking:
        warnings.warn(f"Left out, as this env lacks what they need: {lacking}.", stacklevel=4)
    return possible
