"""Save, change and restore the appearance of one MuJoCo model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.extras import needs

with needs("mujoco"):
    import cv2
    import mujoco

from stemob_wrappers.scene.surfaces import Surfaces

Pixels = NDArray[np.uint8]

TEXTURE_SIDE = 192
"""Texels a side of a changed texture, at most: larger ones take long to draw and to upload
(robosuite's 1450 px wood 100 ms on a CPU, 192 px 2 ms), and small frames do not show them."""


class SceneEdit:
    """Changes to a model's arrays and textures; what is touched is saved, and only that restored.

    A changed texture keeps its place in ``model.tex_data`` and gets fewer texels there: the width
    and height of the texture are arrays of the model like any other.

    Args:
        model: the `mujoco.MjModel`; changed in place, until `restore`.
        hidden_groups: geom groups that are never drawn.

    Attributes:
        surfaces: what the model's geoms are.
        geoms: arguments of ``mjv_initGeom`` for each object that is drawn and nothing else.
        flags: rendering flags (``mjtRndFlag``) that must be on.
        free_camera: shift of its look-at point [m] and (azimuth, elevation) turn [degrees].
        each_step: functions of the number of steps taken, called before each step.
    """

    def __init__(self, model: Any, hidden_groups: tuple[int, ...]) -> None:
        self.model = model
        self.surfaces = Surfaces(model, hidden_groups)
        self.geoms: list[dict[str, Any]] = []
        self.flags: set[int] = set()
        self.free_camera: tuple[Any, tuple[float, float]] = (np.zeros(3), (0.0, 0.0))
        self.each_step: list[Callable[[int], None]] = []
        self.painted: set[int] = set()  # textures that this episode's draw has changed
        self._numbers: dict[str, float] = {}
        self._arrays: dict[str, tuple[Any, NDArray[np.bool_]]] = {}  # as it was; what is touched
        self._texels: dict[int, Pixels] = {}
        self._small: dict[int, Pixels] = {}
        self._means: dict[int, NDArray[np.float64]] = {}
        self._changed: set[int] = set()
        self._fresh: set[int] = set()

    def set(self, field: str, values: Any, index: Any = slice(None)) -> None:
        """Assign to (a part of) a field of the model, such as ``vis.headlight.ambient``."""
        owner, name = self._owner(field)
        value = getattr(owner, name)
        if np.ndim(value) == 0:
            self._numbers.setdefault(field, value)
            setattr(owner, name, values)
            return
        if field not in self._arrays:
            self._arrays[field] = (value.copy(), np.zeros(value.shape, bool))
        self._arrays[field][1][index] = True
        value[index] = values

    def texture(self, texture: int) -> Pixels:
        """Faces of a texture as it is now, at the size it is painted in: ``[F, S, S, 3]``."""
        if texture in self.painted:
            return self._read(texture)
        if texture not in self._small:
            side = self._side(texture)
            faces = [
                cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
                for face in self._read(texture)
            ]
            self._small[texture] = np.stack(faces).astype(np.uint8)
        return self._small[texture]

    def texture_mean(self, texture: int) -> NDArray[np.float64]:
        """Mean colour of a texture that is not painted, RGB in [0, 1]."""
        if texture not in self._means:
            self._means[texture] = self.texture(texture).mean(axis=(0, 1, 2)) / 255.0
        return self._means[texture]

    def paint(self, texture: int, faces: Pixels) -> None:
        """Write the faces of a texture, as `texture` gives them."""
        model, start = self.model, int(self.model.tex_adr[texture])
        channels = int(model.tex_nchannel[texture])
        count, side = faces.shape[:2]
        texels = faces if channels == 3 else _with_channels(faces, channels)
        if texture not in self._texels:
            self._texels[texture] = model.tex_data[start : start + texels.size].copy()
        model.tex_data[start : start + texels.size] = texels.ravel()
        self.set("tex_width", side, texture)
        self.set("tex_height", side * count, texture)
        self.painted.add(texture)
        self._changed.add(texture)
        self._fresh.add(texture)

    def restore(self) -> None:
        """Give back every array and texel, bit for bit; drop everything else."""
        for field, number in self._numbers.items():
            owner, name = self._owner(field)
            setattr(owner, name, number)
        for field, (values, touched) in self._arrays.items():
            owner, name = self._owner(field)
            getattr(owner, name)[touched] = values[touched]
        for texture in self.painted:
            start, texels = int(self.model.tex_adr[texture]), self._texels[texture]
            self.model.tex_data[start : start + texels.size] = texels
        for kept in (self._numbers, self._arrays, self._texels, self.painted):
            kept.clear()
        self.geoms.clear()
        self.flags.clear()
        self.each_step.clear()
        self.free_camera = (np.zeros(3), (0.0, 0.0))

    def take_changed_textures(self) -> list[int]:
        """The textures that renderers have not been told of; asking empties the list."""
        changed = sorted(self._changed)
        self._changed = set(self.painted)  # to be given back when they are restored
        self._fresh.clear()
        return changed

    def take_fresh_textures(self) -> list[int]:
        """Of these, the textures that were painted since the last asking, in a step say."""
        fresh = sorted(self._fresh)
        self._fresh.clear()
        return fresh

    # --- reading the model ----------------------------------------------------------------------

    @functools.cached_property
    def rest_positions(self) -> NDArray[np.float64]:
        """Where the geoms are in the model's reference configuration [m]: ``[ngeom, 3]``."""
        data = mujoco.MjData(self.model)
        mujoco.mj_kinematics(self.model, data)
        return data.geom_xpos.copy()

    def colours(self, geoms: NDArray[np.intp]) -> NDArray[np.float32]:
        """RGBA of geoms as MuJoCo draws them: their material's, unless they have one of their own.

        A texture multiplies it.
        """
        own = self.model.geom_rgba[geoms]
        materials = self.model.geom_matid[geoms]
        unset = (own == np.array([0.5, 0.5, 0.5, 1.0], np.float32)).all(axis=1) & (materials >= 0)
        if not unset.any():
            return own
        return np.where(unset[:, None], self.model.mat_rgba[materials], own)

    def _side(self, texture: int) -> int:
        faces = self._face_count(texture)
        width, height = int(self.model.tex_width[texture]), int(self.model.tex_height[texture])
        return min(TEXTURE_SIDE, width, height // faces)

    def _face_count(self, texture: int) -> int:
        flat = int(self.model.tex_type[texture]) == mujoco.mjtTexture.mjTEXTURE_2D
        # A cube as high as it is wide shows the one image on each of its faces.
        same = self.model.tex_height[texture] == self.model.tex_width[texture]
        return 1 if flat or same else 6

    def _read(self, texture: int) -> Pixels:
        model, start = self.model, int(self.model.tex_adr[texture])
        faces, channels = self._face_count(texture), int(model.tex_nchannel[texture])
        width, height = int(model.tex_width[texture]), int(model.tex_height[texture])
        texels = model.tex_data[start : start + width * height * channels]
        texels = texels.reshape(faces, height // faces, width, channels)
        return texels[..., :3] if channels >= 3 else np.repeat(texels[..., :1], 3, axis=-1)

    def _owner(self, field: str) -> tuple[Any, str]:
        *path, name = field.split(".")
        owner = self.model
        for part in path:
            owner = getattr(owner, part)
        return owner, name


def _with_channels(faces: Pixels, channels: int) -> Pixels:
    if channels < 3:
        grey = faces.mean(axis=-1, keepdims=True)
        return np.repeat(np.rint(grey).astype(np.uint8), channels, axis=-1)
    opaque = np.full((*faces.shape[:-1], channels - 3), 255, np.uint8)
    return np.concatenate([faces, opaque], axis=-1)
