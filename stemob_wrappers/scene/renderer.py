"""Offscreen frames of a live MuJoCo model, for the named cameras of an env."""

import atexit
import weakref
from typing import Any

import numpy as np

from stemob_wrappers.extras import needs

QUALITIES = ("fast", "full")


class CameraRenderer:
    """Frames of one size from any camera of a MuJoCo model.

    The render context is made at the first frame, and again when the model given is another one
    than last time (a hard reset builds a new model).

    Args:
        size: height and width of the frames, in pixels.
        quality: "full" renders as the model says. "fast" drops multisampling, reflections and
            shadows, which take most of the time where no GPU renders.
    """

    def __init__(self, size: tuple[int, int], quality: str) -> None:
        self._height, self._width = size
        self._quality = quality
        self._renderer: Any = None
        self._options: Any = None

    def frame(self, model: Any, data: Any, camera: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The picture of `camera`, a new array: uint8 [H, W, 3], upright.

        Args:
            model: the `mujoco.MjModel` to render.
            data: its `mujoco.MjData`.
            camera: name of a camera in the model.
        """
        if self._renderer is None or self._renderer.model is not model:
            self.close()
            self._renderer = self._open(model)
        self._renderer.update_scene(data, camera=camera, scene_option=self._options)
        return self._renderer.render()

    def context(self) -> tuple[Any, Any] | None:
        """The OpenGL context and MuJoCo's render context in it, or None before the first frame."""
        if self._renderer is None:
            return None
        # mujoco.Renderer keeps them private, yet uploading a changed texture needs both.
        return self._renderer._gl_context, self._renderer._mjr_context

    def close(self) -> None:
        """Free the render context; a later frame makes a new one."""
        if self._renderer is not None:
            self._free()
            atexit.unregister(self._free)
            self._renderer = None

    def _open(self, model: Any) -> Any:
        with needs("mujoco"):
            import mujoco

        # The context takes these three from the model when it is made, and never again.
        model.vis.global_.offwidth = self._width
        model.vis.global_.offheight = self._height
        if self._quality == "fast":
            model.vis.quality.offsamples = 0
        renderer = mujoco.Renderer(model, height=self._height, width=self._width)
        if self._quality == "fast":
            renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
            renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._options = mujoco.MjvOption()
        self._options.geomgroup[0] = 0  # robosuite keeps its collision geoms in this group
        # Also at exit, and before what MuJoCo registered there when it was imported: its finalisers
        # complain once the display, or the interpreter, is gone.
        self._free = weakref.finalize(self, renderer.close)
        self._free.atexit = False
        atexit.register(self._free)
        return renderer
