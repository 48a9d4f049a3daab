"""What a renderer knows of a view beside its colours: albedo, ids, depth, normals, shadows.

From these a frame can be lit and painted anew without a renderer (`training.synthesis`), so that a
scene is rendered once and seen under as many looks as there are training steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.extras import needs

with needs("mujoco"):
    import mujoco

from stemob_wrappers.renders.stages.stage import View

LIGHT_DISTANCE = 2.5  # m from what the camera looks at; the lights shine in parallel
SHADOW_REACH = 1.5  # m around there that shadows are cast in
NOWHERE = -1  # id of pixels that show no geom: the sky
TEXTURE_METRES = 1.0  # half extents beyond this do not stretch a texture further

Buffers = dict[str, NDArray[Any]]
Ids = NDArray[np.int16]


class BufferRenderer:
    """Renders the buffers of a compiled scene.

    Args:
        model: its rendering quality is set to one sample a pixel, as ids know no blend.
        groups: geom groups that are drawn.
        size: side of the square frames in pixels.
    """

    def __init__(self, model: mujoco.MjModel, groups: tuple[int, ...], size: int = 128) -> None:
        model.vis.quality.offsamples = 0
        model.vis.quality.shadowsize = 1024
        model.vis.map.shadowclip = SHADOW_REACH / model.stat.extent
        model.vis.global_.offwidth = model.vis.global_.offheight = size
        self.model, self.size = model, size
        self._renderer: Any = mujoco.Renderer(model, size, size)
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._options = mujoco.MjvOption()
        self._options.geomgroup[:] = [group in groups for group in range(6)]
        self._options.sitegroup[:] = 0
        self._rect = mujoco.MjrRect(0, 0, size, size)

    def close(self) -> None:
        self._renderer.close()

    def nominal(self, data: mujoco.MjData, camera: str) -> NDArray[np.uint8]:
        """The frame as an env of quality "fast" shows it: no shadows, no reflections."""
        return self._draw(data, camera)[0]

    def upload(self, texture: int) -> None:
        """Send a texture that was changed in the model to the renderer."""
        mujoco.mjr_uploadTexture(self.model, self._renderer._mjr_context, texture)

    def appearance(self, data: mujoco.MjData, camera: str, shadows: bool, ids: Ids) -> Buffers:
        """Render one view as the model now looks, with reflections.

        Args:
            ids: the geoms of the view, as `buffers` gives them.

        Returns:
            rendered: uint8 [H, W, 3]; rendered_colours: uint8 [G, 3], mean albedo of each geom.
        """
        flags = self._renderer.scene.flags
        flags[int(mujoco.mjtRndFlag.mjRND_REFLECTION)] = True
        rendered = self._draw(data, camera, shadows=shadows)[0]
        flags[int(mujoco.mjtRndFlag.mjRND_REFLECTION)] = False
        albedo = self._draw(data, camera, [_AMBIENT])[0]
        colours = mean_colours(albedo, ids, self.model.ngeom)
        return {"rendered": rendered, "rendered_colours": colours}

    def buffers(
        self, data: mujoco.MjData, camera: str, directions: NDArray[np.float64], shadows: bool
    ) -> Buffers:
        """Render one view; the model comes back as it was.

        Args:
            data: with the poses of bodies, lights and cameras up to date.
            directions: unit vectors [3, 3] towards the red, green and blue light.
            shadows: whether those lights are rendered, with shadows.

        Returns:
            nominal, albedo (with its textures) and lit (white surfaces under the three lights, one
            a channel; 0 without shadows): uint8 [H, W, 3]; ids: int16 [H, W], `NOWHERE` for the
            sky; depth: float16 [H, W] in m; normals: int8 [H, W, 3], of length 127 in world axes,
            as MuJoCo shades them; uv: float16 [H, W, 2], places on a geom's surface, 1 for
            the length of the geom; colours: uint8 [G, 3], mean albedo of each geom;
            directions: float32 [3, 3]; position: float32 [3] and rotation: float32 [3, 3] of the
            camera; fovy: float32 [], in degrees.
        """
        index = self.model.camera(camera).id
        position = np.array(data.cam_xpos[index], np.float32)
        rotation = np.array(data.cam_xmat[index], np.float32).reshape(3, 3)
        fovy = np.array(self.model.cam_fovy[index], np.float32)
        nominal = self.nominal(data, camera)
        albedo, depth = self._draw(data, camera, [_AMBIENT])
        ids = self._ids()
        points = world_points(depth, position, rotation, float(fovy))
        middle = points[self.size // 2, self.size // 2]
        normals = np.zeros((self.size, self.size, 3), np.float32)
        lit = np.zeros((self.size, self.size, 3), np.uint8)
        with _kept(self.model, "geom_matid", "geom_rgba"):
            self.model.geom_matid[:] = -1  # matt
            self.model.geom_rgba[:, :3] = 1
            for sign in (1.0, -1.0):
                lights = _coloured(middle, sign * np.eye(3))
                normals += sign * self._draw(data, camera, lights)[0].astype(np.float32)
            if shadows:
                lit = self._draw(data, camera, _coloured(middle, directions), shadows=True)[0]
        length = np.linalg.norm(normals, axis=2, keepdims=True)
        buffers: Buffers = {
            "nominal": nominal,
            "albedo": albedo,
            "lit": lit,
            "ids": ids,
            "depth": depth.astype(np.float16),
            "normals": np.rint(127 * normals / np.maximum(length, 1)).astype(np.int8),
            "uv": surface_places(self.model, data, points, ids).astype(np.float16),
            "colours": mean_colours(albedo, ids, self.model.ngeom),
            "directions": directions.astype(np.float32),
            "position": position,
            "rotation": rotation,
            "fovy": fovy,
        }
        return buffers

    def _draw(
        self,
        data: mujoco.MjData,
        camera: str,
        lights: Sequence[Mapping[str, Any]] | None = None,
        shadows: bool = False,
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Colours, and depth in m; under lights of the scene's own unless others are given."""
        scene = self._renderer.scene
        self._renderer.update_scene(data, camera, self._options)
        if lights is not None:
            scene.nlight = len(lights)
            for light, fields in zip(scene.lights, lights, strict=False):
                for name, value in fields.items():
                    setattr(light, name, value)
        scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows
        self._renderer._gl_context.make_current()
        mujoco.mjr_render(self._rect, scene, self._renderer._mjr_context)
        pixels, depth = self._read()
        near, far = scene.camera[0].frustum_near, scene.camera[0].frustum_far
        # mujoco.Renderer has depth read as 0 for far and 1 for near.
        return pixels, near / (near / far + depth * (1 - near / far))

    def _ids(self) -> NDArray[np.int16]:
        """The geom of each pixel of the scene that was drawn last."""
        scene = self._renderer.scene
        flags = [int(mujoco.mjtRndFlag.mjRND_SEGMENT), int(mujoco.mjtRndFlag.mjRND_IDCOLOR)]
        scene.flags[flags] = True
        mujoco.mjr_render(self._rect, scene, self._renderer._mjr_context)
        scene.flags[flags] = False
        coded = self._read()[0].astype(np.int32) @ np.array([1, 256, 65536])
        geoms = np.full(scene.ngeom + 1, NOWHERE, np.int16)
        for drawn in scene.geoms[: scene.ngeom]:
            if drawn.objtype == mujoco.mjtObj.mjOBJ_GEOM and 0 <= drawn.segid < scene.ngeom:
                geoms[drawn.segid + 1] = drawn.objid
        return geoms[coded]

    def _read(self) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        pixels = np.empty((self.size, self.size, 3), np.uint8)
        depth = np.empty((self.size, self.size), np.float32)
        mujoco.mjr_readPixels(pixels, depth, self._rect, self._renderer._mjr_context)
        return pixels[::-1], depth[::-1]


_DIRECTIONAL = {
    "type": int(mujoco.mjtLightType.mjLIGHT_DIRECTIONAL),
    "headlight": 0,
    "castshadow": 1,
    "attenuation": (1, 0, 0),
    "ambient": (0, 0, 0),
    "diffuse": (0, 0, 0),
    "specular": (0, 0, 0),
}
_AMBIENT = _DIRECTIONAL | {"ambient": (1, 1, 1), "dir": (0, 0, -1), "castshadow": 0}


def _coloured(middle: NDArray[np.float32], directions: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Lights of pure red, green and blue, as fields of `MjvLight`, around a point [m]."""
    return [
        _DIRECTIONAL
        | {"diffuse": colour, "dir": -towards, "pos": middle + LIGHT_DISTANCE * towards}
        for colour, towards in zip(np.eye(3), directions, strict=True)
    ]


@contextmanager
def _kept(holder: Any, *fields: str) -> Iterator[None]:
    """Give fields of a model back as they were."""
    kept = {name: np.array(getattr(holder, name)) for name in fields}
    try:
        yield
    finally:
        for name, values in kept.items():
            getattr(holder, name)[:] = values


@contextmanager
def looking_through(model: mujoco.MjModel, view: View) -> Iterator[None]:
    """Put the view's camera into its place; give it back afterwards."""
    camera = model.cam(view.camera)
    kept = camera.pos.copy(), camera.quat.copy(), camera.fovy.copy()
    try:
        camera.pos[:], camera.quat[:], camera.fovy[:] = view.pos, view.quat, view.fovy
        yield
    finally:
        camera.pos[:], camera.quat[:], camera.fovy[:] = kept


def pixel_rays(size: int, fovy: float) -> NDArray[np.float32]:
    """Direction of each pixel in the camera's axes, float32 [size, size, 3], 1 long in depth.

    Args:
        size: side of the frame in pixels.
        fovy: of the camera, in degrees.

    Example:
        >>> pixel_rays(2, 90.0)[0].tolist()
        [[-0.5, 0.5, -1.0], [0.5, 0.5, -1.0]]
    """
    axis = (np.arange(size) + 0.5 - size / 2) * np.tan(np.radians(fovy) / 2) / (size / 2)
    across, up = np.meshgrid(axis, -axis)
    return np.stack([across, up, -np.ones_like(up)], axis=2).astype(np.float32)


def world_points(
    depth: NDArray[np.floating],
    position: NDArray[np.float32],
    rotation: NDArray[np.float32],
    fovy: float,
) -> NDArray[np.float32]:
    """Where in the world each pixel's surface is, float32 [H, H, 3] in m."""
    rays = pixel_rays(len(depth), fovy)
    return (rays * depth[..., None]) @ rotation.T + position


def surface_places(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    points: NDArray[np.float32],
    ids: NDArray[np.int16],
) -> NDArray[np.float64]:
    """Places on the surface of each pixel's geom, [H, W, 2]: as a box around it is papered.

    Args:
        points: in the world [H, W, 3].
        ids: the geoms [H, W].
    """
    plane = model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE
    half = np.maximum(model.geom_aabb[:, 3:], 1e-4)
    half[plane] = [TEXTURE_METRES, TEXTURE_METRES, 1e-6]
    centre = np.where(plane[:, None], 0.0, model.geom_aabb[:, :3])
    rotations = data.geom_xmat.reshape(-1, 3, 3)
    offset = points - data.geom_xpos[ids]
    local = np.einsum("hwji,hwj->hwi", rotations[ids], offset) - centre[ids]
    face = np.abs(local / half[ids]).argmax(axis=2)[..., None]
    u = np.where(face == 0, local[..., 1:2], local[..., 0:1])
    v = np.where(face == 2, local[..., 1:2], local[..., 2:3])
    length = 2 * np.minimum(half.max(axis=1), TEXTURE_METRES)
    places = np.concatenate([u, v], axis=2) / length[ids][..., None]
    return np.where(ids[..., None] == NOWHERE, 0.0, np.clip(places, -1e3, 1e3))


def mean_colours(
    albedo: NDArray[np.uint8], ids: NDArray[np.int16], geoms: int
) -> NDArray[np.uint8]:
    """The mean albedo of each geom as far as it is seen, uint8 [geoms, 3]; 128 for the rest."""
    seen = ids.ravel() != NOWHERE
    shown = ids.ravel()[seen]
    count = np.bincount(shown, minlength=geoms)
    sums = [np.bincount(shown, plane[seen], geoms) for plane in albedo.reshape(-1, 3).T]
    means = np.stack(sums, axis=1) / np.maximum(count, 1)[:, None]
    return np.rint(np.where(count[:, None] > 0, means, 128)).astype(np.uint8)
