"""Envs by their rendered frames: made at a size, from a camera, and observed."""

import contextlib
import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec, load_env_creator

from stemob_wrappers.config import FIELDS
from stemob_wrappers.scene.gl import ensure_gl
from stemob_wrappers.wrappers.rendered import (
    Camera,
    check_camera,
    check_renders,
    find_camera,
    free_contexts,
    render_frame,
    resize_frame,
)
from stemob_wrappers.wrappers.spaces import find_images

DEFAULT_SIZE = 84  # px, of envs whose observation is no image and that are given no size


class RenderObservation(
    gym.ObservationWrapper[Any, Any, Any],
    gym.utils.RecordConstructorArgs,
):
    """Replace the observation by the env's rendered frame, or frames.

    A frame is uint8 [size, size, 3]. One of another size is resized by area averaging, its
    aspect ratio not kept. Unlike `gymnasium.wrappers.AddRenderObservation` this gives frames of a
    known size and so needs no reset to know its space.

    Args:
        env: an env made with ``render_mode="rgb_array"``.
        size: height and width of the frame, in pixels.
        keep_state: keep the env's observation beside the frame, which is ``pixels`` then: the
            entries of a Dict under their own names (``observation``, ``achieved_goal`` and
            ``desired_goal`` of a goal env), anything else as ``state``.
        cameras: names or numbers of cameras of a MuJoCo env; the observation is then a Dict with
            ``<camera>_image`` of each. None is the env's own camera.

    Raises:
        ValueError: the env renders no arrays, `size` is not a positive int, there is no such
            camera, or one is named twice; the env observes something under the name of a frame.
        TypeError: in `reset` and `step`, `render` returned something else than uint8 [H, W, 3].

    Example:
        >>> import gymnasium as gym
        >>> from stemob_wrappers.wrappers.rendering import RenderObservation
        >>> env = gym.make("Hopper-v5", render_mode="rgb_array", width=84, height=84)
        >>> RenderObservation(env, size=84).observation_space
        Box(0, 255, (84, 84, 3), uint8)
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        size: int,
        keep_state: bool = False,
        cameras: Camera | Sequence[Camera] | None = None,
    ) -> None:
        cameras = None if cameras is None else _listed(cameras)
        gym.utils.RecordConstructorArgs.__init__(
            self, size=size, keep_state=keep_state, cameras=cameras
        )
        gym.ObservationWrapper.__init__(self, env)
        check_renders(env, size)
        self.metadata = {**env.metadata, "render_modes": ["rgb_array"]}  # the one that is observed
        self.size = size
        self.keep_state = keep_state
        self.renders = True  # False leaves frames black, for an observation that nobody looks at
        self._state: Any = None  # the env's own observation, of the last reset or step
        # What each frame is called, and its camera's number; None: the env's own.
        self._cameras: dict[str, int | None] = {"pixels": None}
        if cameras is not None:
            self._cameras = {f"{camera}_image": find_camera(env, camera) for camera in cameras}
        self._alone = cameras is None and not keep_state
        frame = spaces.Box(0, 255, (size, size, 3), np.uint8)
        frames = dict.fromkeys(self._cameras, frame)
        state: dict[str, Any] = _by_name(env.observation_space) if keep_state else {}
        if twice := sorted(frames.keys() & state.keys()):
            raise ValueError(
                f"keep_state keeps the env's own {', '.join(twice)}, but a frame is called so too: "
                "choose other cameras, or rename it with gymnasium.wrappers.TransformObservation"
            )
        self.observation_space = frame if self._alone else spaces.Dict({**frames, **state})

    def observation(self, observation: Any) -> Any:
        """The rendered frames, with the env's own observation beside them if `keep_state`."""
        self._state = observation
        frames = {name: self._frame(camera) for name, camera in self._cameras.items()}
        if self._alone:
            return frames["pixels"]
        return frames | (_by_name(observation) if self.keep_state else {})

    def observe(self) -> Any:
        """The observation of the present state, rendered now."""
        return self.observation(self._state)

    def render(self) -> Any:
        """The env's rendered frame, at the env's own size and from its own camera."""
        return render_frame(self.env)

    def close(self) -> None:
        """Close the env, and free what it renders with."""
        free_contexts(self.env)
        super().close()

    def _frame(self, camera: int | None) -> np.ndarray:
        if not self.renders:
            return np.zeros((self.size, self.size, 3), np.uint8)
        return resize_frame(render_frame(self.env, camera), self.size)


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
        check_renders(env, size)
        self.size = size

    def render(self) -> Any:
        """The env's rendered frame: uint8 [size, size, 3]."""
        return resize_frame(render_frame(self.env), self.size)

    def close(self) -> None:
        """Close the env, and free what it renders with."""
        free_contexts(self.env)
        super().close()


def make(
    id: str,
    *,
    size: int,
    camera: Camera | None = None,
    cameras: Camera | Sequence[Camera] | None = None,
    keep_state: bool = False,
    **kwargs: Any,
) -> gym.Env[Any, Any]:
    """Make an env, see it through its cameras, and invert the frames.

    ``StemObservation`` around `gymnasium.make`, with ``RenderObservation`` in between where the
    env's observation is no image. Envs that can render at a given size (Gymnasium's and
    Gymnasium-Robotics' MuJoCo envs, the ``stemob/…`` ids) render at `size` directly.

    Args:
        id: a registered env, such as "HalfCheetah-v5", "stemob/Lift-v0" or "module:Env-v0".
        size: height and width of the frames, in pixels.
        camera: name or number of the camera, where the env lets one choose; None is its default.
        cameras: several of them; the observation is then a Dict of ``<camera>_image``.
        keep_state: keep the env's own observation beside the frame, as `RenderObservation` does:
            ``state``, or the entries of a Dict, such as the goals of a goal env. The ``stemob/…``
            ids observe the robot's state anyhow.
        **kwargs: the arguments of `StemObservation` (``config``, ``keys``, ``cache``, ``expect``,
            ``keep_raw``, …) and the fields of `StemConfig` (``backbone``, ``method``,
            ``num_steps``, ``inversion_steps``, ``noise``, ``seed``, ``codec``, ``revision``,
            ``resolution``) go to `StemObservation`; every other keyword goes to `gymnasium.make`.

    Returns:
        An env with observation space Box(0, 255, (size, size, 3), uint8); a Dict with such in it
        for `cameras`, `keep_state` and the ``stemob/…`` ids.

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
        >>> env.close()
        >>> cameras = ["agentview", "robot0_eye_in_hand"]
        >>> env = stemob_wrappers.make("stemob/Lift-v0", size=84, cameras=cameras)
        >>> list(env.observation_space)
        ['agentview_image', 'proprio', 'robot0_eye_in_hand_image']
        >>> env.close()
    """
    from stemob_wrappers.wrappers.observation import StemObservation
    from stemob_wrappers.wrappers.transform import OPTIONS

    for_stem = {"config", *OPTIONS, *FIELDS}
    stem_arguments = {name: kwargs.pop(name) for name in for_stem & kwargs.keys()}
    env = make_images(id, size, camera, cameras, keep_state, **kwargs)
    try:
        return StemObservation(env, **stem_arguments)
    except BaseException:
        env.close()
        raise


def make_rendered(
    id: str,
    *,
    size: int,
    camera: Camera | None = None,
    cameras: Camera | Sequence[Camera] | None = None,
    keep_state: bool = False,
    **kwargs: Any,
) -> RenderObservation:
    """What `make` makes of an env without images, before the inversion: the rendered frames.

    Args:
        id: a registered env.
        size: height and width of the frames, in pixels.
        camera: name or number of the camera, or None for the env's default.
        cameras: several of them.
        keep_state: keep the env's own observation beside the frame.
        **kwargs: for `gymnasium.make`.

    Raises:
        ValueError: as in `make`.
        RuntimeError: no OpenGL backend works here.

    Example:
        >>> from stemob_wrappers.wrappers.rendering import make_rendered
        >>> make_rendered("Hopper-v5", size=96).observation_space
        Box(0, 255, (96, 96, 3), uint8)
    """
    listed = None if cameras is None else _listed(cameras)
    if camera is not None and listed is not None:
        raise ValueError(f"give camera or cameras, received both: {camera!r} and {listed}")
    env = _make(id, size, camera if listed is None else listed[0], kwargs)
    try:
        if find_images(env.observation_space):
            raise ValueError(
                f"{id} gives images already: wrap it with StemObservation(gym.make({id!r}))."
            )
        return RenderObservation(env, size, keep_state, listed)
    except BaseException:
        env.close()
        raise


def make_frames(env_id: str, size: int, camera: Camera | None = None, **kwargs: Any) -> RenderSize:
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
    camera: Camera | None = None,
    cameras: Camera | Sequence[Camera] | None = None,
    keep_state: bool = False,
    **kwargs: Any,
) -> gym.Env[Any, Any]:
    """Make an env that observes images: its own where it has some, else its rendered frames.

    Args:
        env_id: a registered env, with or without ``module:`` before it.
        size: height and width of the frames of the ``stemob/…`` ids and of what is rendered;
            None is 84.
        camera: likewise; None is the env's default.
        cameras: several of them; also of any env that takes ``cameras`` itself.
        keep_state: keep the observation of an env that is rendered beside the frame.
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
    spec = _find_spec(env_id)
    settings: dict[str, Any] = {"size": size, "camera": camera, "cameras": cameras}
    chosen = {name: value for name, value in settings.items() if value is not None}
    own: dict[str, Any] = {}
    if spec.namespace == "stemob":
        own, chosen = _own_settings(**chosen), {}
    elif cameras is not None and "cameras" in _keyword_arguments(_creator(spec)):
        own = {"cameras": chosen.pop("cameras")}
    if not chosen:
        env = _gym_make(env_id, kwargs | own)
        if find_images(env.observation_space):
            return env
        env.close()
    rendered = {"size": DEFAULT_SIZE, "keep_state": keep_state, **chosen}
    return make_rendered(env_id, **rendered, **kwargs)


def _make(
    env_id: str, size: int, camera: Camera | None, kwargs: dict[str, Any]
) -> gym.Env[Any, Any]:
    """The env, told to render at this size from this camera where its constructor listens."""
    _prepare_rendering()
    env = _gym_make(env_id, kwargs | _render_settings(_find_spec(env_id), size, camera))
    try:
        check_camera(env, camera)
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


def _own_settings(
    size: int | None = None,
    camera: Camera | None = None,
    cameras: Camera | Sequence[Camera] | None = None,
) -> dict[str, Any]:
    """Size and cameras as the ``stemob/…`` ids take them, which observe what they render."""
    settings: dict[str, Any] = {} if size is None else {"size": size}
    if camera is not None and cameras is not None:
        raise ValueError(f"give camera or cameras, received both: {camera!r} and {cameras!r}")
    chosen = camera if cameras is None else cameras
    return settings if chosen is None else settings | {"cameras": _listed(chosen)}


def _render_settings(spec: EnvSpec, size: int, camera: Camera | None) -> dict[str, Any]:
    """The keyword arguments by which this env renders at `size` from `camera`."""
    settings: dict[str, Any] = {"render_mode": "rgb_array"}
    if spec.namespace == "stemob":
        return settings | _own_settings(size, camera)
    accepted = _keyword_arguments(_creator(spec))
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


def _creator(spec: EnvSpec) -> Any:
    entry = spec.entry_point
    return load_env_creator(entry) if isinstance(entry, str) else entry


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


def _listed(cameras: Camera | Sequence[Camera]) -> list[Camera]:
    listed = [cameras] if isinstance(cameras, str | int) else list(cameras)
    if not listed or len(set(listed)) < len(listed):
        raise ValueError(f"cameras must name some cameras, each once; received {listed}")
    return listed


def _by_name(observation: Any) -> dict[str, Any]:
    """An observation, or a space, as entries of a Dict."""
    if isinstance(observation, Mapping | spaces.Dict):
        return dict(observation.items())
    return {"state": observation}
