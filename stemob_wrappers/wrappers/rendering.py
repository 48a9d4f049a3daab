"""Envs by their rendered frames: made at a size, from a camera, and observed."""

import contextlib
import importlib
import inspect
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec, load_env_creator

from stemob_wrappers.config import FIELDS
from stemob_wrappers.extras import needs
from stemob_wrappers.scene.gl import ensure_gl
from stemob_wrappers.wrappers.spaces import find_images

DEFAULT_SIZE = 84  # px, of envs whose observation is no image and that are given no size


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
        _check_renders(env, size)
        self.metadata = {**env.metadata, "render_modes": ["rgb_array"]}  # the one that is observed
        self.size = size
        self.keep_state = keep_state
        self.renders = True  # False leaves frames black, for an observation that nobody looks at
        self._state: Any = None  # the env's own observation, of the last reset or step
        pixels = spaces.Box(0, 255, (size, size, 3), np.uint8)
        self.observation_space = (
            spaces.Dict({"pixels": pixels, "state": env.observation_space})
            if keep_state
            else pixels
        )

    def observation(self, observation: Any) -> Any:
        """The rendered frame, with the env's own observation beside it if `keep_state`."""
        self._state = observation
        if self.renders:
            pixels = _sized(self.render(), self.size)
        else:
            pixels = np.zeros((self.size, self.size, 3), np.uint8)
        return {"pixels": pixels, "state": observation} if self.keep_state else pixels

    def observe(self) -> Any:
        """The observation of the present state, rendered now."""
        return self.observation(self._state)

    def render(self) -> Any:
        """The env's rendered frame, at the env's own size."""
        return _render(self.env)


class RenderSize(
    gym.Wrapper[Any, Any, Any, Any],
    gym.utils.RecordConstructorArgs,
):
    """Let `render` give frames of one size: uint8 [size, size, 3], arrays of their own.

    Observations pass through untouched. A frame of another size is resized as by
    `RenderObservation`, which this is without the observing.

    Args:
        env: an env made with ``render_mode="rgb_array"``.
        size: height and width of the frames, in pixels.

    Raises:
        ValueError: as for `RenderObservation`.
        TypeError: in `render`, the env gave something else than uint8 [H, W, 3].

    Example:
        >>> import gymnasium as gym
        >>> env = RenderSize(gym.make("Hopper-v5", render_mode="rgb_array"), size=64)
        >>> _ = env.reset(seed=0)
        >>> env.render().shape
        (64, 64, 3)
        >>> env.close()
    """

    def __init__(self, env: gym.Env[Any, Any], size: int) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, size=size)
        gym.Wrapper.__init__(self, env)
        _check_renders(env, size)
        self.size = size

    def render(self) -> Any:
        """The env's rendered frame: uint8 [size, size, 3]."""
        return _sized(_render(self.env), self.size)


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
        ValueError: the env has no choice of cameras, or not this one; it renders no arrays; its
            observation is an image already; or it does not take an argument.
        RuntimeError: no OpenGL backend works here.

    Example:
        >>> import stemob_wrappers
        >>> env = stemob_wrappers.make("HalfCheetah-v5", size=84, inversion_steps=5)
        >>> observation, info = env.reset(seed=0)
        >>> observation.shape
        (84, 84, 3)
    """
    from stemob_wrappers.wrappers.observation import StemObservation
    from stemob_wrappers.wrappers.transform import OPTIONS

    for_stem = {"config", *OPTIONS, *FIELDS}
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
    env = _make(id, size, camera, kwargs)
    try:
        if find_images(env.observation_space):
            raise ValueError(
                f"{id} gives images already: wrap it with StemObservation(gym.make({id!r}))."
            )
        return RenderObservation(env, size)
    except BaseException:
        env.close()
        raise


def make_frames(
    env_id: str, size: int, camera: str | int | None = None, **kwargs: Any
) -> RenderSize:
    """Make an env whose `render` gives frames of this size from this camera.

    Works for every env that `make` works for, and for those that observe images already;
    observations are the env's own.

    Args:
        env_id: a registered env, with or without ``module:`` before it.
        size: height and width of the frames, in pixels.
        camera: name or number of the camera, or None for the env's default.
        **kwargs: for `gymnasium.make`.

    Raises:
        ValueError: as in `make`.
        RuntimeError: no OpenGL backend works here.

    Example:
        >>> env = make_frames("HalfCheetah-v5", 64, "track")
        >>> _ = env.reset(seed=0)
        >>> env.render().shape
        (64, 64, 3)
        >>> env.close()
    """
    env = _make(env_id, size, camera, kwargs)
    try:
        return RenderSize(env, size)
    except BaseException:
        env.close()
        raise


def make_images(
    env_id: str,
    size: int | None = None,
    camera: str | int | None = None,
    **kwargs: Any,
) -> gym.Env[Any, Any]:
    """Make an env that observes images: its own where it has some, else its rendered frame.

    Args:
        env_id: a registered env, with or without ``module:`` before it.
        size: height and width of the frames of the ``stemob/…`` ids and of what is rendered;
            None is 84.
        camera: likewise; None is the env's default.
        **kwargs: for `gymnasium.make`.

    Raises:
        ValueError: as in `make`; or a size or camera for an env of other images, which `kwargs`
            decide.
        RuntimeError: no OpenGL backend works here.

    Example:
        >>> make_images("stemob/Lift-v0", camera="frontview").observation_space["frontview_image"]
        Box(0, 255, (84, 84, 3), uint8)
        >>> make_images("HalfCheetah-v5", size=64).observation_space
        Box(0, 255, (64, 64, 3), uint8)
    """
    _prepare_rendering()
    settings: dict[str, Any] = {"size": size, "camera": camera}
    chosen = {name: value for name, value in settings.items() if value is not None}
    own = _find_spec(env_id).namespace == "stemob"
    if own or not chosen:
        env = _gym_make(env_id, kwargs | (_own_settings(size, camera) if own else {}))
        if find_images(env.observation_space):
            return env
        env.close()
    return make_rendered(env_id, **{"size": DEFAULT_SIZE, **chosen}, **kwargs)


def _make(
    env_id: str, size: int, camera: str | int | None, kwargs: dict[str, Any]
) -> gym.Env[Any, Any]:
    """The env, told to render at this size from this camera where its constructor listens."""
    _prepare_rendering()
    env = _gym_make(env_id, kwargs | _render_settings(_find_spec(env_id), size, camera))
    try:
        _check_camera(env, camera)
        return env
    except BaseException:
        env.close()
        raise


def _prepare_rendering() -> None:
    with contextlib.suppress(ModuleNotFoundError):  # an env that needs MuJoCo says so itself
        ensure_gl()


def _gym_make(env_id: str, arguments: dict[str, Any]) -> gym.Env[Any, Any]:
    try:
        return gym.make(env_id, **arguments)
    except TypeError as error:
        raise ValueError(f"{env_id} cannot be made with {arguments}: {error}") from error


def _own_settings(size: int | None, camera: str | int | None) -> dict[str, Any]:
    """`size` and `camera` as the ``stemob/…`` ids take them, which observe what they render."""
    settings: dict[str, Any] = {} if size is None else {"size": size}
    return settings if camera is None else settings | {"cameras": [camera]}


def _render_settings(spec: EnvSpec, size: int, camera: str | int | None) -> dict[str, Any]:
    """The keyword arguments by which this env renders at `size` from `camera`."""
    settings: dict[str, Any] = {"render_mode": "rgb_array"}
    if spec.namespace == "stemob":
        return settings | _own_settings(size, camera)
    creator = spec.entry_point
    if isinstance(creator, str):
        creator = load_env_creator(creator)
    accepted = _keyword_arguments(creator)
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


def _check_renders(env: gym.Env[Any, Any], size: Any) -> None:
    if env.render_mode != "rgb_array":
        raise ValueError(
            f"an env with render_mode 'rgb_array' is needed, got {env.render_mode!r}: make it with "
            'gym.make(id, render_mode="rgb_array").'
        )
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"size must be a positive int, got {size!r}.")


def _render(env: gym.Env[Any, Any]) -> Any:
    # Gymnasium draws in whatever context is current: black, once another env was closed.
    viewer = getattr(getattr(env.unwrapped, "mujoco_renderer", None), "viewer", None)
    if viewer is not None:
        viewer.make_context_current()
    return env.render()


def _sized(frame: Any, size: int) -> np.ndarray:
    """The frame as an array of its own, resized to a square of `size` pixels."""
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


def _describe(frame: Any) -> str:
    if isinstance(frame, np.ndarray):
        return f"{frame.dtype} {list(frame.shape)}"
    return type(frame).__name__
