"""What an env renders: from a camera, of a size, and freed before the interpreter ends."""

import atexit
import weakref
from typing import Any

import gymnasium as gym
import numpy as np

from stemob_wrappers.extras import needs

Camera = str | int
"""Name or number of a camera of a MuJoCo model; -1 is the free one."""

_drawing: weakref.WeakSet[Any] = weakref.WeakSet()


def render_frame(env: gym.Env[Any, Any], camera: int | None = None) -> Any:
    """What an env renders, of whatever size.

    Args:
        env: made with ``render_mode="rgb_array"``.
        camera: number of the camera, as `find_camera` gives it; None is the env's own.

    Example:
        >>> env = gym.make("Hopper-v5", render_mode="rgb_array", width=64, height=48)
        >>> _ = env.reset(seed=0)
        >>> render_frame(env, find_camera(env, "track")).shape
        (48, 64, 3)
        >>> env.close()
    """
    renderer = getattr(env.unwrapped, "mujoco_renderer", None)
    if renderer is None:
        return env.render()
    if renderer.viewer is not None:
        # Gymnasium draws in whatever context is current: black, once another env was closed.
        renderer.viewer.make_context_current()
    usual = renderer.camera_id
    renderer.camera_id = usual if camera is None else camera
    try:
        return env.render()
    finally:
        renderer.camera_id = usual
        _free_at_exit(renderer)


def resize_frame(frame: Any, size: int) -> np.ndarray:
    """Return a frame as an array of its own, resized to a square by area averaging.

    Args:
        frame: uint8 [H, W, 3].
        size: height and width of the result, in pixels.

    Raises:
        TypeError: it is something else.

    Example:
        >>> resize_frame(np.zeros((4, 6, 3), np.uint8), 2).shape
        (2, 2, 3)
    """
    if (
        not isinstance(frame, np.ndarray)
        or frame.dtype != np.uint8
        or frame.ndim != 3
        or frame.shape[2] != 3
    ):
        raise TypeError(f"render() must return uint8 [H, W, 3], got {_describe(frame)}.")
    if frame.shape[:2] == (size, size):
        return np.array(frame, order="C")  # the env may draw its next frame into this one
    with needs("images", "resizing a rendered frame"):
        import cv2

    return cv2.resize(np.ascontiguousarray(frame), (size, size), interpolation=cv2.INTER_AREA)


def find_camera(env: gym.Env[Any, Any], camera: Camera) -> int:
    """Return the number of a camera that an env can be told to render from.

    Raises:
        ValueError: there is no such camera, or the env takes none at a render.

    Example:
        >>> find_camera(gym.make("HalfCheetah-v5", render_mode="rgb_array"), "track")
        0
    """
    if getattr(env.unwrapped, "mujoco_renderer", None) is None:
        raise ValueError(
            f"{env} does not let one choose cameras: only MuJoCo envs that render as Gymnasium's "
            "and Gymnasium-Robotics' do; leave out cameras"
        )
    check_camera(env, camera)
    model: Any = env.unwrapped.model  # pyright: ignore[reportAttributeAccessIssue]
    return model.camera(camera).id if isinstance(camera, str) else camera


def check_camera(env: gym.Env[Any, Any], camera: Camera | None) -> None:
    """Refuse a camera that the model of a MuJoCo env does not have; such envs take the free one.

    Raises:
        ValueError: there is no such camera.
    """
    model = getattr(env.unwrapped, "model", None)
    if camera is None or model is None:
        return
    names = [model.camera(index).name for index in range(model.ncam)]
    known = camera in names if isinstance(camera, str) else -1 <= camera < model.ncam
    if not known:
        raise ValueError(
            f"camera must be one of {names}, or its number (-1: the free camera); got {camera!r}."
        )


def check_renders(env: gym.Env[Any, Any], size: Any) -> None:
    """Refuse an env that renders no arrays, and a size that is none.

    Raises:
        ValueError: either of these.
    """
    if env.render_mode != "rgb_array":
        raise ValueError(
            f"an env with render_mode 'rgb_array' is needed, got {env.render_mode!r}: make it with "
            'gym.make(id, render_mode="rgb_array").'
        )
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"size must be a positive int, got {size!r}.")


def _free_at_exit(renderer: Any) -> None:
    """Have a renderer closed at exit: its finalisers complain once the display is gone.

    Whatever took a display to terminate it at exit did so before, and comes after.
    """
    if renderer not in _drawing:
        _drawing.add(renderer)
        atexit.unregister(_close_all)
        atexit.register(_close_all)


def _close_all() -> None:
    for renderer in list(_drawing):
        renderer.close()


def free_contexts(env: gym.Env[Any, Any]) -> None:
    """Free what an env renders with, before it is closed: each context while it is current.

    MuJoCo frees a context's textures and buffers by number, in whatever context is current when
    Python gets to it: after a close, in another env's, whose frames are black from then on.
    """
    renderer: Any = getattr(env.unwrapped, "mujoco_renderer", None)
    if renderer in _drawing:
        _drawing.discard(renderer)
        for viewer in renderer._viewers.values():
            viewer.make_context_current()
            viewer.con.free()


def _describe(frame: Any) -> str:
    if isinstance(frame, np.ndarray):
        return f"{frame.dtype} {list(frame.shape)}"
    return type(frame).__name__
