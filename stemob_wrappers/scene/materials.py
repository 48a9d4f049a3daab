"""Factors that change textures, colours and gloss."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stemob_wrappers.extras import needs

with needs("mujoco"):
    import cv2
    import mujoco

from stemob_wrappers.scene.edit import TEXTURE_SIDE, Pixels, SceneEdit
from stemob_wrappers.scene.factor import Factor, factor
from stemob_wrappers.scene.surfaces import Role
from stemob_wrappers.scene.textures import draw_colour, draw_texture, image_textures, load_texture
from stemob_wrappers.splits import Split


class TextureSource:
    """Where new textures come from: the families of a split, or the images of a folder.

    Args:
        split: which families and seeds.
        folder: a folder of image files, read here and kept; None for the families.

    Raises:
        ValueError: the folder is empty or unreadable, or a file in it is no image.
    """

    def __init__(self, split: Split, folder: str | Path | None = None) -> None:
        self.split: Split = split
        self.images = {
            path.name: load_texture(path, TEXTURE_SIDE)
            for path in (image_textures(folder) if folder is not None else ())
        }

    def draw(self, rng: np.random.Generator, side: int) -> tuple[dict[str, Any], Pixels]:
        """A texture and what it is: uint8 ``[side, side, 3]``."""
        if not self.images:
            family, seed, pixels = draw_texture(self.split, rng, side)
            return {"family": family, "seed": seed}, pixels
        name = list(self.images)[int(rng.integers(len(self.images)))]
        image = self.images[name]
        step = np.arange(side) * TEXTURE_SIDE // side
        return {"file": name}, image[step[:, None], step]


@dataclass(frozen=True)
class Texture:
    """Mix a new texture into those of a role, or into the sky."""

    role: Role | None

    def __call__(
        self, edit: SceneEdit, rng: np.random.Generator, mix: float, source: TextureSource
    ) -> dict[str, Any]:
        applied: dict[str, Any] = {"mix": mix}
        for number, texture in enumerate(self._textures(edit)):
            usual = edit.texture(texture)
            drawn, pixels = source.draw(rng, usual.shape[1])
            edit.paint(texture, _mix(usual, np.broadcast_to(pixels, usual.shape), mix))
            applied |= {f"{key}_{number}" if number else key: drawn[key] for key in drawn}
        return applied

    def need(self, edit: SceneEdit) -> str | None:
        """What is missing, or None."""
        if self._textures(edit):
            return None
        return (
            f"a surface of the kind {self.role!r} with a texture of its own"
            if self.role
            else "a skybox texture"
        )

    def _textures(self, edit: SceneEdit) -> list[int]:
        if self.role is not None:
            return edit.surfaces.textures(self.role)
        return np.flatnonzero(edit.model.tex_type == mujoco.mjtTexture.mjTEXTURE_SKYBOX).tolist()


@dataclass(frozen=True)
class Colour:
    """Move the colours of a role towards a new one; its parts keep their differences."""

    role: Role

    def __call__(self, edit: SceneEdit, rng: np.random.Generator, mix: float) -> dict[str, Any]:
        geoms, colour = edit.surfaces.geoms(self.role), draw_colour(rng)
        before = edit.colours(geoms)[:, :3]
        plain = np.ones(len(geoms), bool)
        for texture in edit.surfaces.textures(self.role):
            users = edit.surfaces.texture_of[geoms] == texture
            if texture in edit.painted:  # a new texture: tint it
                usual = edit.texture(texture)
                ink = np.rint(255.0 * colour).astype(np.uint8)
                edit.paint(texture, _mix(usual, np.broadcast_to(ink, usual.shape), mix))
                plain &= ~users
            else:  # paint over it: a texture can only darken the colour beneath
                before[users] *= edit.texture_mean(texture)
                edit.set("geom_matid", -1, geoms[users])
        mixed = (1.0 - mix) * before[plain] + mix * colour
        edit.set("geom_rgba", mixed, (geoms[plain], slice(0, 3)))
        return {"mix": mix, "rgb": colour.tolist()}

    def need(self, edit: SceneEdit) -> str | None:
        """What is missing, or None."""
        return None if len(edit.surfaces.geoms(self.role)) else f"a body of the kind {self.role!r}"


def _mix(first: Pixels, second: Pixels, share: float) -> Pixels:
    """From the first faces to the second as ``share`` goes from 0 to 1."""
    sheet = (-1, *first.shape[2:])
    second = np.ascontiguousarray(second)
    mixed = cv2.addWeighted(first.reshape(sheet), 1.0 - share, second.reshape(sheet), share, 0.0)
    return np.asarray(mixed, np.uint8).reshape(first.shape)


def _textures(name: str, change: Texture, **others: Any) -> Factor:
    bounds = (0.1, 0.25, 0.45, 0.65, 0.85, 1.0)
    meaning = "share of the new texture in the mix with the usual one"
    return Factor(name, meaning, bounds, change, change.need, textured=True, **others)


def _colours(name: str, change: Colour, **others: Any) -> Factor:
    bounds = (0.1, 0.2, 0.35, 0.5, 0.7, 0.9)
    meaning = "share of the new colour in the mix with the usual one"
    return Factor(name, meaning, bounds, change, change.need, **others)


_ROBOSUITE = "robosuite, RL-ViGen: rgb, checker, noise or gradient, in full"
_COLOURS = "robosuite, RL-ViGen: share of 0.2, over the texture too"

table_texture = _textures(
    "table_texture",
    Texture("table"),
    colosseum="table_texture",
    libero_plus="Background Textures",
    elsewhere=_ROBOSUITE,
)
floor_texture = _textures(
    "floor_texture",
    Texture("floor"),
    colosseum="background_texture",
    libero_plus="Background Textures",
    elsewhere=_ROBOSUITE,
)
wall_texture = _textures(
    "wall_texture",
    Texture("wall"),
    colosseum="background_texture",
    libero_plus="Background Textures",
    elsewhere=_ROBOSUITE,
)
object_texture = _textures(
    "object_texture",
    Texture("object"),
    colosseum="object_texture (manip_obj_tex, recv_obj_tex)",
    elsewhere=_ROBOSUITE,
)
skybox = _textures("skybox", Texture(None), libero_plus="Background Textures", elsewhere=_ROBOSUITE)
object_colour = _colours(
    "object_colour",
    Colour("object"),
    colosseum="object_color (manip_obj_color, recv_obj_color)",
    elsewhere=_COLOURS,
)
robot_colour = _colours("robot_colour", Colour("robot"), elsewhere=_COLOURS)


@factor(
    "moving_background",
    (0.002, 0.005, 0.01, 0.02, 0.04, 0.08),
    "share of their width that new textures of floor, walls and sky glide by in a step",
    lambda edit: None if _background(edit) else "a textured floor, wall or sky",
    textured=True,
    elsewhere="RL-ViGen: its option video_background, a film in place of floor and walls",
)
def moving_background(
    edit: SceneEdit, rng: np.random.Generator, speed: float, source: TextureSource
) -> dict[str, Any]:
    """Show new textures in full on floor, walls and sky, and let each glide its own way."""
    gliding = Gliding(edit, rng, speed, source)
    gliding(0)
    edit.each_step.append(gliding)
    return {"share_a_step": speed, "textures": len(gliding.pixels)}


class Gliding:
    """Textures on their way; called with the number of steps taken."""

    def __init__(
        self, edit: SceneEdit, rng: np.random.Generator, speed: float, source: TextureSource
    ) -> None:
        self.edit = edit
        self.pixels: dict[int, Pixels] = {}
        self.velocities: dict[int, Any] = {}  # in texels a step
        for texture in _background(edit):
            side = edit.texture(texture).shape[1]
            self.pixels[texture] = source.draw(rng, side)[1]
            angle = rng.uniform(0.0, 2.0 * np.pi)
            self.velocities[texture] = speed * side * np.array([np.sin(angle), np.cos(angle)])

    def __call__(self, step: int) -> None:
        for texture, pixels in self.pixels.items():
            shift = np.rint(step * self.velocities[texture]).astype(int)
            moved = np.roll(pixels, tuple(shift), axis=(0, 1))
            self.edit.paint(texture, np.broadcast_to(moved, self.edit.texture(texture).shape))


def _background(edit: SceneEdit) -> list[int]:
    """The textures of floor, walls and sky."""
    surfaces = (Texture("floor"), Texture("wall"), Texture(None))
    return sorted({texture for surface in surfaces for texture in surface._textures(edit)})


def need_material(edit: SceneEdit) -> str | None:
    """What is missing for gloss, or None."""
    return None if (edit.model.geom_matid[edit.surfaces.drawn] >= 0).any() else "a material"


def need_mirror(edit: SceneEdit) -> str | None:
    """What is missing for reflections, or None."""
    return None if _mirrors(edit) else "a plane or box with a material"


@factor(
    "shininess",
    (0.1, 0.25, 0.4, 0.6, 0.8, 1.0),
    "share of the way from dull to bright highlights (specular 1, shininess 0.6), or from "
    "highlights to a sheen (shininess 0.05)",
    need_material,
    elsewhere="robosuite: share of 0.3 of a draw from 0 to 1; RL-ViGen: off",
)
def shininess(edit: SceneEdit, rng: np.random.Generator, share: float) -> dict[str, Any]:
    """Give dull materials highlights, and spread the highlights of shiny ones to a sheen."""
    specular, shininess = edit.model.mat_specular, edit.model.mat_shininess
    dull = specular <= 0.5
    edit.set("mat_specular", specular + share * np.where(dull, 1.0 - specular, 0.0))
    edit.set("mat_shininess", shininess + share * (np.where(dull, 0.6, 0.05) - shininess))
    return {"share": share}


@factor(
    "reflectance",
    (0.04, 0.1, 0.18, 0.28, 0.38, 0.5),
    "change of the reflectance (0 to 1) of planes and boxes, up if it is below 0.5, else down",
    need_mirror,
    elsewhere="robosuite: share of 0.3 of a draw from 0 to 1; RL-ViGen: off",
)
def reflectance(edit: SceneEdit, rng: np.random.Generator, change: float) -> dict[str, Any]:
    """Make flat surfaces mirror the scene, or mirror it less."""
    materials = _mirrors(edit)
    edit.flags.add(int(mujoco.mjtRndFlag.mjRND_REFLECTION))
    usual = edit.model.mat_reflectance[materials]
    edit.set("mat_reflectance", np.where(usual < 0.5, usual + change, usual - change), materials)
    return {"change": change}


def _mirrors(edit: SceneEdit) -> list[int]:
    """Materials on planes and boxes: MuJoCo draws reflections on no other shape."""
    model, drawn = edit.model, edit.surfaces.drawn
    flat = np.isin(
        model.geom_type[drawn], [int(mujoco.mjtGeom.mjGEOM_PLANE), int(mujoco.mjtGeom.mjGEOM_BOX)]
    )
    return sorted(set(model.geom_matid[drawn[flat]].tolist()) - {-1})
