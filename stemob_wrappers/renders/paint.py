"""Looks of a MuJoCo scene: textures, colours, gloss and lights drawn from a seed.

A scene is prepared once, before it is compiled (`add_paint`): it gets a small pool of blank
textures with a material each, two spare lights and a free camera. A `Painter` then fills the pool
and hands the materials out to geoms. Nothing that decides the layout or the physics is touched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from stemob_wrappers.scene.textures import Pixels, draw_colour, draw_texture
from stemob_wrappers.splits import Split

TEXTURE_SIZE = 128
FLAT_PAINTS = 3
CUBE_PAINTS = 5
SPARE_LIGHTS = 2
ORBIT_CAMERA = "paint_orbit"

# How often a surface of each role changes its look, and how often that is by a texture.
REPAINT = {
    "floor": (0.85, 0.8),
    "wall": (0.85, 0.7),
    "fixture": (0.85, 0.8),
    "object": (0.5, 0.35),
    "robot": (0.3, 0.3),
}
FIXTURE_NAMES = ("table", "bin", "peg", "arena", "retainingwall")
ROBOT_NAMES = ("robot", "gripper", "mount", "fixed_mount", "arm", "torso", "base")

SAVED_FIELDS = (
    *("geom_rgba", "geom_matid"),
    *("mat_rgba", "mat_specular", "mat_shininess", "mat_reflectance", "mat_texrepeat"),
    *("light_type", "light_active", "light_castshadow", "light_pos", "light_dir"),
    *("light_diffuse", "light_ambient", "light_specular"),
)
HEADLIGHT_FIELDS = ("ambient", "diffuse", "specular")
UNSET_RGBA = np.array([0.5, 0.5, 0.5, 1.0], dtype=np.float32)


@dataclass(frozen=True)
class Surface:
    """Geoms that share one look."""

    role: str
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
    """The visible geoms, gathered by what they belong to: walls, floor, each body tree."""
    gathered: dict[tuple[str, int, bool], list[int]] = {}
    for geom in range(model.ngeom):
        if int(model.geom_group[geom]) not in visible_groups:
            continue
        plane = int(model.geom_type[geom]) == mujoco.mjtGeom.mjGEOM_PLANE
        root = int(model.body_rootid[model.geom_bodyid[geom]])
        name = model.geom(geom).name.lower()
        body = model.body(root).name.lower()
        if "wall" in name:
            role = "wall"
        elif root == 0:
            role = "floor" if plane else "fixture"
        elif body.startswith(ROBOT_NAMES):
            role = "robot"
        else:
            role = "fixture" if any(word in body for word in FIXTURE_NAMES) else "object"
        gathered.setdefault((role, root, plane), []).append(geom)
    return [Surface(role, tuple(geoms), flat) for (role, _, flat), geoms in gathered.items()]


class Painter:
    """Gives one compiled scene a new look, any number of times.

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
        self.surfaces = surfaces(model, visible_groups)
        self.materials = {
            kind: [i for i in range(model.nmat) if model.mat(i).name.startswith(f"paint_{kind}_")]
            for kind in ("flat", "cube")
        }
        self.saved = {name: getattr(model, name).copy() for name in SAVED_FIELDS}
        headlight = model.vis.headlight
        self.saved_headlight = {n: np.array(getattr(headlight, n)) for n in HEADLIGHT_FIELDS}

    def restore(self) -> None:
        """Give back the nominal look."""
        for name, values in self.saved.items():
            getattr(self.model, name)[:] = values
        for name, values in self.saved_headlight.items():
            getattr(self.model.vis.headlight, name)[:] = values

    def paint(self, split: Split, seed: int) -> dict[str, Any]:
        """Draw and apply the look of this seed.

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
        return {"seed": seed, "textures": textures, "shadows": bool(rng.random() < 0.3)}

    def _fill_pool(self, split: Split, rng: np.random.Generator) -> list[list[str | int]]:
        """Draw a texture for each material of the pool, and for the sky."""
        drawn: list[list[str | int]] = []
        for material in (*self.materials["flat"], *self.materials["cube"]):
            texture = int(self.model.mat_texid[material, mujoco.mjtTextureRole.mjTEXROLE_RGB])
            family, seed, pixels = draw_texture(split, rng, TEXTURE_SIZE)
            self._write(texture, pixels)
            drawn.append([family, seed])
            self.model.mat_specular[material] = rng.uniform(0.0, 0.8)
            self.model.mat_shininess[material] = rng.uniform(0.0, 0.8)
            self.model.mat_texrepeat[material] = rng.choice([1.0, 2.0, 4.0])
            if rng.random() < 0.05:
                self.model.mat_reflectance[material] = rng.uniform(0.05, 0.3)
        return drawn

    def _write(self, texture: int, pixels: Pixels) -> None:
        """Put pixels into a texture, on each of the six faces of a cube."""
        model = self.model
        faces = model.tex_height[texture] // model.tex_width[texture]
        values = np.concatenate([pixels] * int(faces)).ravel()
        start = int(model.tex_adr[texture])
        model.tex_data[start : start + values.size] = values
        self.upload(texture)

    def _texture(self, surface: Surface, rng: np.random.Generator) -> None:
        material = int(rng.choice(self.materials["flat" if surface.flat else "cube"]))
        for geom in surface.geoms:
            self.model.geom_matid[geom] = material
            self.model.geom_rgba[geom, :3] = 1.0

    def _tint(self, surface: Surface, rng: np.random.Generator) -> None:
        """Move the colours towards a drawn one; parts of the surface keep their differences."""
        amount = rng.uniform(0.3, 1.0)
        colour = draw_colour(rng)
        for geom in surface.geoms:
            material = int(self.model.geom_matid[geom])
            rgba = self.saved["geom_rgba"][geom]
            if material >= 0 and np.array_equal(rgba, UNSET_RGBA):
                rgba = self.saved["mat_rgba"][material]
            mixed = (1.0 - amount) * rgba[:3] + amount * colour
            self.model.geom_rgba[geom] = [*np.clip(mixed, 0.02, 0.98), rgba[3]]

    def _light(self, rng: np.random.Generator) -> None:
        """Move, colour and dim the lights; switch spare ones on."""
        model = self.model
        for light in range(model.nlight):
            spare = model.light(light).name.startswith("paint_light")
            if rng.random() < (0.5 if spare else 0.1):
                model.light_active[light] = not spare and model.nlight > 1
                if spare:
                    continue
            azimuth, height = rng.uniform(-np.pi, np.pi), rng.uniform(0.35, 1.4)
            towards = np.array(
                [np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)]
            )
            model.light_active[light] = True
            model.light_type[light] = int(mujoco.mjtLightType.mjLIGHT_DIRECTIONAL)
            model.light_pos[light] = towards * rng.uniform(2.0, 4.0)
            model.light_dir[light] = -towards
            white = rng.uniform(0.0, 1.0)
            tint = white + (1.0 - white) * draw_colour(rng) / 0.6
            model.light_diffuse[light] = tint * rng.uniform(0.15, 0.8) * (0.5 if spare else 1.0)
            model.light_ambient[light] = rng.uniform(0.0, 0.15)
            model.light_specular[light] = rng.uniform(0.0, 0.6)
        headlight = model.vis.headlight
        headlight.ambient[:] = rng.uniform(0.08, 0.4) * rng.uniform(0.85, 1.15, 3)
        headlight.diffuse[:] = rng.uniform(0.0, 0.5) * rng.uniform(0.85, 1.15, 3)
        headlight.specular[:] = rng.uniform(0.0, 0.5)
