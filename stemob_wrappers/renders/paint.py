"""Appearances of a MuJoCo scene: textures, colours, gloss and lights drawn from a seed.

A scene is prepared once, before it is compiled (`add_paint`): it gets a small pool of blank
textures with a material each, two spare lights and a free camera. A `Painter` then fills the pool
and hands the materials out to geoms. Nothing that decides the layout or the physics is touched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stemob_wrappers.extras import needs

with needs("mujoco"):
    import mujoco

from stemob_wrappers.scene.edit import SceneEdit
from stemob_wrappers.scene.surfaces import ROLES, Role, Surfaces
from stemob_wrappers.scene.textures import draw_colour, draw_texture
from stemob_wrappers.splits import Split

TEXTURE_SIZE = 128
FLAT_PAINTS = 3
CUBE_PAINTS = 5
SPARE_LIGHTS = 2
ORBIT_CAMERA = "paint_orbit"

# How often a surface of each role changes, and how often that is by a texture.
REPAINT: dict[Role, tuple[float, float]] = {
    "floor": (0.85, 0.8),
    "wall": (0.85, 0.7),
    "table": (0.85, 0.8),
    "object": (0.5, 0.35),
    "robot": (0.3, 0.3),
}


@dataclass(frozen=True)
class Surface:
    """Geoms that change together."""

    role: Role
    geoms: tuple[int, ...]
    flat: bool


def add_paint(spec: mujoco.MjSpec) -> None:
    """Add the blank textures and materials, spare lights and free camera to an uncompiled scene."""
    kinds = [("flat", mujoco.mjtTexture.mjTEXTURE_2D)] * FLAT_PAINTS
    kinds += [("cube", mujoco.mjtTexture.mjTEXTURE_CUBE)] * CUBE_PAINTS
    for index, (kind, texture_type) in enumerate(kinds):
        name = f"paint_{kind}_{index}"
        spec.add_texture(
            name=name,
            type=texture_type,
            builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
            width=TEXTURE_SIZE,
            height=TEXTURE_SIZE,
        )
        material = spec.add_material(name=name)
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    for index in range(SPARE_LIGHTS):
        spec.worldbody.add_light(name=f"paint_light_{index}", pos=[0, 0, 3], active=False)
    spec.worldbody.add_camera(name=ORBIT_CAMERA, pos=[1, 0, 1])


def surfaces(model: mujoco.MjModel, visible_groups: tuple[int, ...]) -> list[Surface]:
    """The visible geoms, gathered by role and by the body tree that they belong to."""
    return _gather(model, Surfaces(model, _hidden(visible_groups)))


def _gather(model: mujoco.MjModel, found: Surfaces) -> list[Surface]:
    gathered: dict[tuple[Role, int, bool], list[int]] = {}
    for role in ROLES:
        for geom in found.geoms(role):
            plane = int(model.geom_type[geom]) == mujoco.mjtGeom.mjGEOM_PLANE
            root = int(model.body_rootid[model.geom_bodyid[geom]])
            gathered.setdefault((role, root, plane), []).append(int(geom))
    return [Surface(role, tuple(geoms), flat) for (role, _, flat), geoms in gathered.items()]


def _hidden(visible_groups: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(group for group in range(6) if group not in visible_groups)


class Painter:
    """Gives one compiled scene a new appearance, any number of times.

    Args:
        model: compiled from a spec that went through `add_paint`.
        visible_groups: geom groups that are drawn.
        upload: sends one texture, by id, to the renderer.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        visible_groups: tuple[int, ...],
        upload: Callable[[int], None],
    ) -> None:
        self.model = model
        self.upload = upload
        self.edit = SceneEdit(model, _hidden(visible_groups))
        self.surfaces = _gather(model, self.edit.surfaces)
        self.materials = {
            kind: [i for i in range(model.nmat) if model.mat(i).name.startswith(f"paint_{kind}_")]
            for kind in ("flat", "cube")
        }

    def restore(self) -> None:
        """Give back the nominal appearance."""
        self.edit.restore()

    def paint(self, split: Split, seed: int) -> dict[str, Any]:
        """Draw and apply the appearance of this seed.

        Returns:
            what was drawn, as plain JSON: seed, textures and whether shadows are on.
        """
        self.restore()
        rng = np.random.default_rng(seed)
        textures = self._fill_pool(split, rng)
        for surface in self.surfaces:
            change, by_texture = REPAINT[surface.role]
            if rng.random() >= change:
                continue
            if rng.random() < by_texture:
                self._texture(surface, rng)
            else:
                self._tint(surface, rng)
        self._light(rng)
        for texture in self.edit.take_changed_textures():
            self.upload(texture)
        return {"seed": seed, "textures": textures, "shadows": bool(rng.random() < 0.3)}

    def _fill_pool(self, split: Split, rng: np.random.Generator) -> list[list[str | int]]:
        """Draw a texture for each material of the pool; a cube has it on each of its six faces."""
        drawn: list[list[str | int]] = []
        for kind, materials in self.materials.items():
            for material in materials:
                texture = int(self.model.mat_texid[material, mujoco.mjtTextureRole.mjTEXROLE_RGB])
                family, seed, pixels = draw_texture(split, rng, TEXTURE_SIZE)
                self.edit.paint(texture, np.stack([pixels] * (6 if kind == "cube" else 1)))
                drawn.append([family, seed])
                self.edit.set("mat_specular", rng.uniform(0.0, 0.8), material)
                self.edit.set("mat_shininess", rng.uniform(0.0, 0.8), material)
                self.edit.set("mat_texrepeat", rng.choice([1.0, 2.0, 4.0]), material)
                if rng.random() < 0.05:
                    self.edit.set("mat_reflectance", rng.uniform(0.05, 0.3), material)
        return drawn

    def _texture(self, surface: Surface, rng: np.random.Generator) -> None:
        material = int(rng.choice(self.materials["flat" if surface.flat else "cube"]))
        geoms = np.array(surface.geoms)
        self.edit.set("geom_matid", material, geoms)
        self.edit.set("geom_rgba", 1.0, (geoms, slice(3)))

    def _tint(self, surface: Surface, rng: np.random.Generator) -> None:
        """Move the colours towards a drawn one; parts of the surface keep their differences."""
        amount = rng.uniform(0.3, 1.0)
        geoms = np.array(surface.geoms)
        rgba = self.edit.colours(geoms).copy()
        rgba[:, :3] = (1.0 - amount) * rgba[:, :3] + amount * draw_colour(rng)
        rgba[:, :3] = rgba[:, :3].clip(0.02, 0.98)
        self.edit.set("geom_rgba", rgba, geoms)

    def _light(self, rng: np.random.Generator) -> None:
        """Move, colour and dim the lights; switch spare ones on."""
        model, change = self.model, self.edit.set
        for light in range(model.nlight):
            spare = model.light(light).name.startswith("paint_light")
            if rng.random() < (0.5 if spare else 0.1):
                change("light_active", not spare and model.nlight > 1, light)
                if spare:
                    continue
            azimuth, height = rng.uniform(-np.pi, np.pi), rng.uniform(0.35, 1.4)
            towards = np.array(
                [np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)]
            )
            change("light_active", True, light)
            change("light_type", int(mujoco.mjtLightType.mjLIGHT_DIRECTIONAL), light)
            change("light_pos", towards * rng.uniform(2.0, 4.0), light)
            change("light_dir", -towards, light)
            white = rng.uniform(0.0, 1.0)
            tint = white + (1.0 - white) * draw_colour(rng) / 0.6
            diffuse = tint * rng.uniform(0.15, 0.8) * (0.5 if spare else 1.0)
            change("light_diffuse", diffuse, light)
            change("light_ambient", rng.uniform(0.0, 0.15), light)
            change("light_specular", rng.uniform(0.0, 0.6), light)
        headlight = "vis.headlight"
        change(f"{headlight}.ambient", rng.uniform(0.08, 0.4) * rng.uniform(0.85, 1.15, 3))
        change(f"{headlight}.diffuse", rng.uniform(0.0, 0.5) * rng.uniform(0.85, 1.15, 3))
        change(f"{headlight}.specular", rng.uniform(0.0, 0.5))
