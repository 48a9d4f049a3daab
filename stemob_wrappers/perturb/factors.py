"""The factors of change by name: what each does, in which units, and how far at each severity.

A severity is a band of magnitudes: severity s draws evenly between the s-th and the next of a
factor's six bounds, and whatever else there is to draw (a side, a hue, a texture) freely. So every
draw of a severity is larger than every draw of the one below.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stemob_wrappers.perturb.names import Choice
from stemob_wrappers.scene import cameras as views
from stemob_wrappers.scene import lights
from stemob_wrappers.scene import materials as looks
from stemob_wrappers.scene.edit import SceneEdit
from stemob_wrappers.scene.materials import Colour, Texture, TextureSource

Need = Callable[[SceneEdit], str | None]


@dataclass(frozen=True)
class Factor:
    """One kind of change.

    Attributes:
        name: as users write it.
        meaning: what the magnitude measures, with its unit.
        bounds: six magnitudes; severity s lies between the s-th and the next.
        change: applies it and returns what was applied, in numbers.
        need: what a model lacks for it, or None.
        colosseum, libero_plus: the factor of that benchmark it answers to; "" for none.
        elsewhere: the ranges of others, with their source.
    """

    name: str
    meaning: str
    bounds: tuple[float, float, float, float, float, float]
    change: Callable[..., dict[str, Any]]
    need: Need | None = None
    colosseum: str = ""
    libero_plus: str = ""
    elsewhere: str = ""

    def missing(self, edit: SceneEdit) -> str | None:
        """What the model lacks for this factor, or None."""
        return None if self.need is None else self.need(edit)

    def apply(
        self, edit: SceneEdit, severity: int, episode: int, source: TextureSource
    ) -> dict[str, Any]:
        """Draw and apply it; the draw depends on the episode's number and this factor alone."""
        rng = np.random.default_rng([episode, zlib.crc32(self.name.encode())])
        magnitude = float(rng.uniform(self.bounds[severity - 1], self.bounds[severity]))
        if isinstance(self.change, Texture):
            applied = self.change(edit, rng, magnitude, source)
        else:
            applied = self.change(edit, rng, magnitude)
        return {"severity": severity, **applied}


def _texture(name: str, change: Texture, **others: str) -> Factor:
    bounds = (0.1, 0.25, 0.45, 0.65, 0.85, 1.0)
    meaning = "share of the new texture in the mix with the usual one"
    return Factor(name, meaning, bounds, change, change.need, **others)


def _colour(name: str, change: Colour, **others: str) -> Factor:
    bounds = (0.1, 0.2, 0.35, 0.5, 0.7, 0.9)
    meaning = "share of the new colour in the mix with the usual one"
    return Factor(name, meaning, bounds, change, change.need, **others)


_ROBOSUITE_TEXTURES = "robosuite, RL-ViGen: rgb, checker, noise or gradient, in full"
_ALL = (
    Factor(
        "light_position",
        "metres sideways; each light stays aimed at the point it was aimed at",
        (0.1, 0.25, 0.5, 0.8, 1.2, 1.7),
        lights.position,
        lights.need_aimed_light,
        libero_plus="Light Conditions",
        elsewhere="robosuite: ±0.1 m; RL-ViGen: ±100 m, off by default (both leave the direction, "
        "so that a directional light, which most scenes have, shines as before)",
    ),
    Factor(
        "light_direction",
        "degrees",
        (4, 10, 18, 28, 40, 55),
        lights.direction,
        lights.need_aimed_light,
        libero_plus="Light Conditions",
        elsewhere="robosuite: up to 20°; RL-ViGen: 50 rad, that is any, off by default",
    ),
    Factor(
        "light_intensity",
        "factor, or its inverse",
        (1.1, 1.25, 1.5, 2.0, 2.75, 4.0),
        lights.intensity,
        lights.need_light,
        libero_plus="Light Conditions",
        elsewhere="robosuite: ±0.1 on diffuse, ambient, specular; RL-ViGen: ±0.3, off by default",
    ),
    Factor(
        "light_colour",
        "saturation of the tint, at the same brightness",
        (0.05, 0.15, 0.3, 0.5, 0.7, 0.95),
        lights.colour,
        lights.need_light,
        colosseum="light_color",
        libero_plus="Light Conditions",
        elsewhere="Colosseum: each of RGB drawn from 0 to 0.5",
    ),
    Factor(
        "ambient",
        "factor on the headlight, or its inverse",
        (1.1, 1.25, 1.5, 2.0, 2.75, 4.0),
        lights.ambient,
        lights.need_headlight,
        libero_plus="Light Conditions",
    ),
    Factor(
        "shadows",
        "share of the light that is taken out of the shadows; all lights cast them",
        (0.05, 0.2, 0.4, 0.6, 0.8, 0.95),
        lights.shadows,
        lights.need_shadows,
        libero_plus="Light Conditions",
    ),
    Factor(
        "moving_light",
        "half angle in degrees of the cone that the lights go around; "
        f"one turn in {lights.STEPS_A_TURN} steps",
        (4, 10, 18, 28, 40, 55),
        lights.moving,
        lights.need_aimed_light,
        elsewhere="RL-ViGen: its option moving_light",
    ),
    _texture(
        "table_texture",
        Texture("table"),
        colosseum="table_texture",
        libero_plus="Background Textures",
        elsewhere=_ROBOSUITE_TEXTURES,
    ),
    _texture(
        "floor_texture",
        Texture("floor"),
        colosseum="background_texture",
        libero_plus="Background Textures",
        elsewhere=_ROBOSUITE_TEXTURES,
    ),
    _texture(
        "wall_texture",
        Texture("wall"),
        colosseum="background_texture",
        libero_plus="Background Textures",
        elsewhere=_ROBOSUITE_TEXTURES,
    ),
    _texture(
        "object_texture",
        Texture("object"),
        colosseum="object_texture (manip_obj_tex, recv_obj_tex)",
        elsewhere=_ROBOSUITE_TEXTURES,
    ),
    _texture(
        "skybox",
        Texture(None),
        libero_plus="Background Textures",
        elsewhere=_ROBOSUITE_TEXTURES,
    ),
    _colour(
        "object_colour",
        Colour("object"),
        colosseum="object_color (manip_obj_color, recv_obj_color)",
        elsewhere="robosuite, RL-ViGen: share of 0.2, over the texture too",
    ),
    _colour(
        "robot_colour",
        Colour("robot"),
        elsewhere="robosuite, RL-ViGen: share of 0.2, over the texture too",
    ),
    Factor(
        "shininess",
        "share of the way from dull to bright highlights (specular 1, shininess 0.6), or from "
        "highlights to a sheen (shininess 0.05)",
        (0.1, 0.25, 0.4, 0.6, 0.8, 1.0),
        looks.shininess,
        looks.need_material,
        elsewhere="robosuite: share of 0.3 of a draw from 0 to 1; RL-ViGen: off",
    ),
    Factor(
        "reflectance",
        "change of the reflectance (0 to 1) of planes and boxes, up if it is below 0.5, else down",
        (0.04, 0.1, 0.18, 0.28, 0.38, 0.5),
        looks.reflectance,
        looks.need_mirror,
        elsewhere="robosuite: share of 0.3 of a draw from 0 to 1; RL-ViGen: off",
    ),
    Factor(
        "camera_position",
        "metres",
        (0.01, 0.02, 0.04, 0.07, 0.11, 0.16),
        views.position,
        colosseum="camera_pose",
        libero_plus="Camera Viewpoints",
        elsewhere="robosuite: ±0.01 m; RL-ViGen: ±0.12 (easy), ±0.16 (hard); Colosseum: ±0.1",
    ),
    Factor(
        "camera_orientation",
        "degrees",
        (0.5, 1.5, 3.0, 5.0, 7.5, 10.0),
        views.orientation,
        colosseum="camera_pose",
        libero_plus="Camera Viewpoints",
        elsewhere="robosuite: 5°; RL-ViGen: 6.9° (easy), 9.2° (hard); Colosseum: ±2.9° an axis",
    ),
    Factor(
        "camera_fov",
        "degrees, wider or narrower",
        (1.0, 2.5, 5.0, 9.0, 14.0, 20.0),
        views.field_of_view,
        libero_plus="Camera Viewpoints",
        elsewhere="robosuite: ±5°; RL-ViGen: ±10° (easy), ±20° (hard)",
    ),
    Factor(
        "distractors",
        "number of objects, rounded; drawn only, they touch nothing",
        (0.6, 1.4, 2.4, 4.4, 7.4, 12.4),
        views.distractors,
        colosseum="distractor_object",
        libero_plus="Objects Layout (confounding objects)",
        elsewhere="Colosseum: 2 objects a task",
    ),
)

FACTORS: dict[str, Factor] = {factor.name: factor for factor in _ALL}
"""Every factor by name, in the order they are applied."""

GROUPS: dict[str, tuple[str, ...]] = {
    "lighting": tuple(FACTORS)[:7],
    "texture": ("table_texture", "floor_texture", "wall_texture", "object_texture"),
    "colour": ("object_colour", "robot_colour", "shininess", "reflectance"),
    "background": ("floor_texture", "wall_texture", "skybox"),
    "camera": ("camera_position", "camera_orientation", "camera_fov"),
    "distractors": ("distractors",),
    "all": tuple(FACTORS),
}
"""Names for several factors together. ``texture`` and ``background`` share two."""


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
