"""Envs whose observation is no image: observe their rendered frame instead."""

import dataclasses
import importlib
import inspect
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec, load_env_creator

from stemob_wrappers.config import StemConfig
from stemob_wrappers.scene.gl import ensure_gl
from stemob_wrappers.wrappers.spaces import find_images


class RenderObservation(
    gym.ObservationWrapper[Any, Any, Any],
    gym.utils.RecordConstructorArgs,
):
    """Replace the observation by the env's rendered frame.

    The frame is uint8 [size, size, 3]. One of another size is resized by area averaging, its
    aspect ratio not kept. Unlike `gymnasium.wrappers.AddRenderObservation` this gives frames of a
    known size and so needs no reset to know its space.

    Args:
        env: an env made with ``render_mode="rgb_array"``.
        size: height and width of the frame, in pixels.
        keep_state: give ``{"pixels": frame, "state": observation}`` instead of the frame alone.

    Raises:
        ValueError: the env renders no arrays, or `size` is not a positive int.
        TypeError: in `reset` and `step`, `render` returned something else than uint8 [H, W, 3].

    Example:
        >>> import gymnasium as gym
        >>> from stemob_wrappers.wrappers.rendering import RenderObservation
        >>> env = gym.make("Hopper-v5", render_mode="rgb_array", width=84, height=84)
        >>> RenderObservation(env, size=84).observation_space
        Box(0, 255, (84, 84, 3), uint8)
    """

    def __init__(self, env: gym.Env[Any, Any], size: int, keep_state: bool = False) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, size=size, keep_state=keep_state)
        gym.ObservationWrapper.__init__(self, env)
        if env.render_mode != "rgb_array":
            raise ValueError(
                f"RenderObservation needs an env with render_mode 'rgb_array', got "
                f'{env.render_mode!r}: make it with gym.make(id, render_mode="rgb_array").'
            )
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"size must be a positive int, got {size!r}.")
        self.metadata = {**env.metadata, "render_modes": ["rgb_array"]}  # the one that is observed
        self.size = size
        self.keep_state = keep_state
        pixels = spaces.Box(0, 255, (size, size, 3), np.uint8)
        self.observation_space = (
            spaces.Dict({"pixels": pixels, "state": env.observation_space})
            if keep_state
            else pixels
        )

    def observation(self, observation: Any) -> Any:
        """The rendered frame, with the env's own observation beside it if `keep_state`."""
        pixels = self._pixels()
        return {"pixels": pixels, "state": observation} if self.keep_state else pixels

    def render(self) -> Any:
        """The env's rendered frame, at the env's own size."""
        # Gymnasium draws in whatever context is current: black, once another env was closed.
        viewer = getattr(getattr(self.env.unwrapped, "mujoco_renderer", None), "viewer", None)
        if viewer is not None:
            viewer.make_context_current()
        return self.env.render()

    def _pixels(self) -> np.ndarray:
        frame = self.render()
        if (
            not isinstance(frame, np.ndarray)
            or frame.dtype != np.uint8
            or frame.ndim != 3
            or frame.shape[2] != 3
        ):
            raise TypeError(f"render() must return uint8 [H, W, 3], got {_describe(frame)}.")
        if frame.shape[:2] == (self.size, self.size):
            return np.array(frame, order="C")  # the env may draw its next frame into this one
        return cv2.resize(
            np.ascontiguousarray(frame), (self.size, self.size), interpolation=cv2.INTER_AREA
        )


def make(
    id: str, *, size: int, camera: str | int | None = None, **kwargs: Any
) -> gym.Env[Any, Any]:
    """Make an env whose observation is no image, see it through a camera, and invert the frames.

    ``RenderObservation`` and ``StemObservation`` around `gymnasium.make`. Envs that can render at
    a given size (Gymnasium's and Gymnasium-Robotics' MuJoCo envs) render at `size` directly.

    Args:
        id: a registered env, such as "HalfCheetah-v5" or "module:Env-v0".
        size: height and width of the frames, in pixels.
        camera: name or number of the camera, where the env lets one choose; None is its default.
        **kwargs: the arguments of `StemObservation` (``config``, ``keys``, ``cache``, ``expect``,
            ``keep_raw``, …) and the fields of `StemConfig` (``backbone``, ``method``,
            ``num_steps``, ``inversion_steps``, ``noise``, ``seed``, ``codec``, ``revision``,
            ``resolution``) go to `StemObservation`; every other keyword goes to `gymnasium.make`.

    Returns:
        An env with observation space Box(0, 255, (size, size, 3), uint8).

    Raises:
        ValueError: the env has no choice of cameras, or not this one; it renders no arrays; or its
            observation is an image already.
        RuntimeError: no OpenGL backend works here.

    Example:
        >>> import stemob_wrappers
        >>> env = stemob_wrappers.make("HalfCheetah-v5", size=84, inversion_steps=5)
        >>> observation, info = env.reset(seed=0)
        >>> observation.shape
        (84, 84, 3)
    """
    from stemob_wrappers.wrappers.observation import StemObservation

    for_stem = set(inspect.signature(StemObservation).parameters) - {"env"}
    for_stem |= {field.name for field in dataclasses.fields(StemConfig)}
    stem_arguments = {name: kwargs.pop(name) for name in for_stem & kwargs.keys()}
    env = make_rendered(id, size=size, camera=camera, **kwargs)
    try:
        return StemObservation(env, **stem_arguments)
    except BaseException:
        env.close()
        raise


def make_rendered(
    id: str, *, size: int, camera: str | int | None = None, **kwargs: Any
) -> RenderObservation:
    """What `make` makes, without the inversion: the plain rendered frames.

    Args:
        id: a registered env.
        size: height and width of the frames, in pixels.
        camera: name or number of the camera, or None for the env's default.
        **kwargs: for `gymnasium.make`.

    Raises:
        ValueError: as in `make`.
        RuntimeError: no OpenGL backend works here.

    Example:
        >>> from stemob_wrappers.wrappers.rendering import make_rendered
        >>> make_rendered("Hopper-v5", size=96).observation_space
        Box(0, 255, (96, 96, 3), uint8)
    """
    ensure_gl()
    settings = kwargs | _render_settings(_find_spec(id), size, camera)
    env = gym.make(id, **settings)
    try:
        _check_camera(env, camera)
        if find_images(env.observation_space):
            raise ValueError(
                f"{id} gives images already: wrap it with StemObservation(gym.make({id!r}))."
            )
        return RenderObservation(env, size)
    except BaseException:
        env.close()
        raise


def _render_settings(spec: EnvSpec, size: int, camera: str | int | None) -> dict[str, Any]:
    """The keyword arguments by which this env renders at `size` from `camera`."""
    creator = spec.entry_point
    if isinstance(creator, str):
        creator = load_env_creator(creator)
    accepted = _keyword_arguments(creator)
    settings: dict[str, Any] = {"render_mode": "rgb_array"}
    if {"width", "height"} <= accepted:
        settings |= {"width": size, "height": size}
    if camera is not None:
        name = "camera_name" if isinstance(camera, str) else "camera_id"
        if name not in accepted:
            raise ValueError(
                f"{spec.id} does not let one choose a camera ({name}): leave out camera={camera!r}."
            )
        settings[name] = camera
    return settings


def _keyword_arguments(creator: Any) -> set[str]:
    """Names that `creator` accepts, through every base class its ``**kwargs`` reach."""
    if not inspect.isclass(creator):
        return set(inspect.signature(creator).parameters)
    accepted: set[str] = set()
    for cls in creator.__mro__:
        if "__init__" not in vars(cls):
            continue
        parameters = inspect.signature(cls.__init__).parameters.values()
        accepted |= {parameter.name for parameter in parameters}
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return accepted


def _find_spec(id: str) -> EnvSpec:
    module, _, name = id.rpartition(":")
    if module:
        importlib.import_module(module)
    return gym.spec(name)


def _check_camera(env: gym.Env[Any, Any], camera: str | int | None) -> None:
    """MuJoCo envs take their free camera, silently, for a camera they do not have."""
    model = getattr(env.unwrapped, "model", None)
    if camera is None or model is None:
        return
    names = [model.camera(index).name for index in range(model.ncam)]
    known = camera in names if isinstance(camera, str) else -1 <= camera < model.ncam
    if not known:
        raise ValueError(
            f"camera must be one of {names}, or its number (-1: the free camera); got {camera!r}."
        )


def _describe(frame: Any) -> str:
    if isinstance(frame, np.ndarray):
        return f"{frame.dtype} {list(frame.shape)}"
    return type(frame).__name__
