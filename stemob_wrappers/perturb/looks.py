"""Factors that change textures, colours and gloss."""

# pyright: reportAttributeAccessIssue=false
# (MuJoCo ships no complete type stubs.)

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from stemob_wrappers.perturb.edit import TEXTURE_SIDE, Pixels, SceneEdit
from stemob_wrappers.perturb.surfaces import Role, rgb_texture
from stemob_wrappers.perturb.textures import (
    Split,
    draw_colour,
    draw_texture,
    image_textures,
    load_texture,
)


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
            mixed = (1.0 - mix) * usual + mix * pixels
            edit.paint(texture, np.rint(mixed).astype(np.uint8))
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
        painted = set()
        for number, geom in enumerate(geoms.tolist()):
            texture = rgb_texture(edit.model, geom)
            if texture < 0 or texture not in edit.surfaces.textures(self.role):
                continue
            if texture in edit.painted:  # a new texture: tint it
                if texture not in painted:
                    mixed = (1.0 - mix) * edit.texture(texture) + mix * 255.0 * colour
                    edit.paint(texture, np.rint(mixed).astype(np.uint8))
                    painted.add(texture)
            else:  # paint over it: a texture can only darken the colour beneath
                before[number] *= edit.texture(texture).mean(axis=(0, 1, 2)) / 255.0
                edit.set("geom_matid", -1, geom)
        mixed = (1.0 - mix) * before + mix * colour
        plain = np.array([rgb_texture(edit.model, geom) not in painted for geom in geoms.tolist()])
        edit.set("geom_rgba", mixed[plain], (geoms[plain], slice(0, 3)))
        return {"mix": mix, "rgb": colour.tolist()}

    def need(self, edit: SceneEdit) -> str | None:
        """What is missing, or None."""
        return None if len(edit.surfaces.geoms(self.role)) else f"a body of the kind {self.role!r}"


def shininess(edit: SceneEdit, rng: np.random.Generator, share: float) -> dict[str, Any]:
    """Give dull materials highlights, and spread the highlights of shiny ones to a sheen."""
    specular, shininess = edit.model.mat_specular, edit.model.mat_shininess
    dull = specular <= 0.5
    edit.set("mat_specular", specular + share * np.where(dull, 1.0 - specular, 0.0))
    edit.set("mat_shininess", shininess + share * (np.where(dull, 0.6, 0.05) - shininess))
    return {"share": share}


def reflectance(edit: SceneEdit, rng: np.random.Generator, change: float) -> dict[str, Any]:
    """Make flat surfaces mirror the scene, or mirror it less."""
    materials = _mirrors(edit)
    edit.flags.add(int(mujoco.mjtRndFlag.mjRND_REFLECTION))
    usual = edit.model.mat_reflectance[materials]
    edit.set("mat_reflectance", np.where(usual < 0.5, usual + change, usual - change), materials)
    return {"change": change}


def need_material(edit: SceneEdit) -> str | None:
    """What is missing for gloss, or None."""
    return None if (edit.model.geom_matid[edit.surfaces.drawn] >= 0).any() else "a material"


def need_mirror(edit: SceneEdit) -> str | None:
    """What is missing for reflections, or None."""
    return None if _mirrors(edit) else "a plane or box with a material"


def _mirrors(edit: SceneEdit) -> list[int]:
    """Materials on planes and boxes: MuJoCo draws reflections on no other shape."""
    model, drawn = edit.model, edit.surfaces.drawn
    flat = np.isin(
        model.geom_type[drawn], [int(mujoco.mjtGeom.mjGEOM_PLANE), int(mujoco.mjtGeom.mjGEOM_BOX)]
    )
    return sorted(set(model.geom_matid[drawn[flat]].tolist()) - {-1})
