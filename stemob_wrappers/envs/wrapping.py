"""robosuite envs that were made elsewhere, as Gymnasium envs with upright camera frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from stemob_wrappers.envs.simulator import choose_object
from stemob_wrappers.extras import needs
from stemob_wrappers.scene.renderer import QUALITIES, CameraRenderer

Observation = dict[str, Any]


def wrap_robosuite(
    env: Any,
    cameras: str | Sequence[str] | None = None,
    *,
    size: int | tuple[int, int] = 84,
    render_quality: str = "full",
) -> WrappedRobosuite:
    """Return a Gymnasium env over what `robosuite.make` made, or over robosuite's GymWrapper.

    Its ``spec`` is None, and so is that of wrappers around it: robosuite does not keep what an env
    was made with, so that `gym.make` could not make the same one again. Where another process is to
    make it, pass a function that makes and wraps it, or take ``gym.make("stemob/Lift-v0", …)``.

    Args:
        env: robosuite's env, as it is, in robosuite's own wrappers or in its GymWrapper; it is used
            from now on through the env returned alone.
        cameras: names of the cameras to observe. None takes those that the env renders itself.
        size: side of the frames in pixels, or (height, width), of cameras that it does not render.
        render_quality: "full" draws these as robosuite does, "fast" without multisampling,
            reflections and shadows, which without a GPU take most of a step.

    Raises:
        TypeError: no env of robosuite.
        ValueError: no camera to observe, an unknown one, or one named twice.

    Example:
        >>> import robosuite, stemob_wrappers
        >>> lift = robosuite.make("Lift", "Panda", use_camera_obs=False, has_renderer=False)
        >>> env = stemob_wrappers.StemObservation(wrap_robosuite(lift, cameras="agentview"))
        >>> observation, info = env.reset(seed=0)
        >>> observation["agentview_image"].shape, observation["robot0_eef_pos"].shape
        ((84, 84, 3), (3,))
        >>> env.close()
    """
    return WrappedRobosuite(env, cameras, size=size, render_quality=render_quality)


class WrappedRobosuite(gym.Env[Any, np.ndarray]):
    """A robosuite env as it was made, seen through its cameras; see `wrap_robosuite`.

    Observation (`spaces.Dict`): ``<camera>_image`` of each camera, uint8 [H, W, 3], upright, and
    what else robosuite observes, as float32 under its names; of a GymWrapper that which its
    ``keys`` name.

    Action, reward: robosuite's. ``truncated``: the env's horizon was reached; ``terminated``:
    robosuite ended the episode otherwise. ``info``: robosuite's, and ``{"success": bool}``.

    ``reset(seed=s)`` decides the episode, as robosuite draws it from the env's own generator; the
    global one is left alone, or, with robosuite 1.4, as it was.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    render_mode = "rgb_array"

    def __init__(
        self,
        env: Any,
        cameras: str | Sequence[str] | None = None,
        *,
        size: int | tuple[int, int] = 84,
        render_quality: str = "full",
    ) -> None:
        keys: Sequence[str] | None = None
        while type(env).__name__ == "GymWrapper":
            keys, env = (env.keys if keys is None else keys), env.env
        self._robosuite: Any = _beneath(env)
        if render_quality not in QUALITIES:
            raise ValueError(f"render_quality must be one of {QUALITIES}, got {render_quality!r}.")
        self.cameras = _choose_cameras(self._robosuite, cameras)
        self._simulator = env
        self._renderer = CameraRenderer(
            (size, size) if isinstance(size, int) else size, render_quality
        )
        self.metadata = {**type(self).metadata, "render_fps": int(self._robosuite.control_freq)}

        spec = self._robosuite.observation_spec()
        drawn = {
            name
            for name, observable in self._robosuite._observables.items()
            if observable.modality == "image"
        }
        self._state_keys = [
            key
            for key in (spec if keys is None else keys)
            if key in spec and key not in drawn and not key.startswith("image-")
        ]
        low, high = self._robosuite.action_spec
        self.action_space = spaces.Box(low.astype(np.float32), high.astype(np.float32))
        entries: dict[str, spaces.Space[Any]] = {}
        for camera in self.cameras:
            shape = self._frame(camera, spec).shape
            entries[f"{camera}_image"] = spaces.Box(0, 255, shape, np.uint8)
        for key in self._state_keys:
            entries[key] = spaces.Box(-np.inf, np.inf, np.shape(spec[key]), np.float32)
        self.observation_space = spaces.Dict(entries)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; `seed` decides all of it, None goes on with the env's own stream."""
        super().reset(seed=seed)
        own = getattr(self._robosuite, "rng", None)
        if own is not None and seed is not None:
            # In place: robosuite's placement samplers hold on to this very generator.
            own.bit_generator.state = self.np_random.bit_generator.state
        choose_object(self._robosuite)
        self._make_current()
        if own is not None:
            states = self._simulator.reset()
        else:
            with _global_draws(int(self.np_random.integers(2**31))):
                states = self._simulator.reset()
            _open_grippers(self._robosuite)
        return self._observe(states), {"success": bool(self._robosuite._check_success())}

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Run one action."""
        self._make_current()
        states, reward, done, info = self._simulator.step(np.asarray(action, np.float64))
        robosuite = self._robosuite
        truncated = bool(done) and robosuite.timestep >= robosuite.horizon
        info = {**info, "success": bool(robosuite._check_success())}
        return self._observe(states), float(reward), bool(done) and not truncated, truncated, info

    def render(self) -> np.ndarray:  # type: ignore[override]
        """The first camera's frame: uint8 [H, W, 3]."""
        return self.observe()[f"{self.cameras[0]}_image"]

    def observe(self) -> Observation:
        """The observation of the present state, rendered again: for after a change of the scene."""
        self._make_current()
        return self._observe(self._robosuite._get_observations(force_update=True))

    def close(self) -> None:
        """Free the render context and the simulation."""
        self._renderer.close()
        self._simulator.close()

    @property
    def model(self) -> Any:
        """The live `mujoco.MjModel`. A hard reset replaces it: look it up after each reset."""
        return self._robosuite.sim.model._model

    @property
    def data(self) -> Any:
        """The live `mujoco.MjData`, replaced together with the model."""
        return self._robosuite.sim.data._data

    @property
    def simulator(self) -> Any:
        """The robosuite env itself."""
        return self._simulator

    def render_contexts(self) -> list[tuple[Any, Any]]:
        """The live (GLContext, MjrContext) pairs beside robosuite's own."""
        context = self._renderer.context()
        return [] if context is None else [context]

    def _make_current(self) -> None:
        """Have robosuite draw into its own context, not into whichever drew last: it never asks."""
        context = self._robosuite.sim._render_context_offscreen
        if context is not None:
            context.gl_ctx.make_current()

    def _observe(self, states: Observation) -> Observation:
        images = {f"{camera}_image": self._frame(camera, states) for camera in self.cameras}
        return images | {key: np.asarray(states[key], np.float32) for key in self._state_keys}

    def _frame(self, camera: str, states: Observation) -> np.ndarray:
        """As robosuite rendered it, turned upright; drawn here where it did not."""
        rendered = states.get(f"{camera}_image")
        if rendered is None:
            return self._renderer.frame(self.model, self.data, camera)
        return rendered[::-1].copy() if _upside_down() else rendered


@contextmanager
def _global_draws(seed: int) -> Iterator[None]:
    """robosuite before 1.5 draws from NumPy's global generator: seed it, and give it back."""
    kept = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(kept)  # noqa: NPY002


def _open_grippers(robosuite: Any) -> None:
    """Robosuite before 1.5 keeps over a reset how far its grippers were told to close."""
    for robot in robosuite.robots:
        grippers = robot.gripper.values() if isinstance(robot.gripper, dict) else [robot.gripper]
        for gripper in grippers:
            gripper.current_action = np.zeros(gripper.dof)


def _beneath(env: Any) -> Any:
    """The robosuite env beneath its own wrappers."""
    with needs("robosuite", "an env of robosuite"):
        from robosuite.environments.base import MujocoEnv
        from robosuite.wrappers import Wrapper
    inner = env.unwrapped if isinstance(env, Wrapper) else env
    if not isinstance(inner, MujocoEnv):
        raise TypeError(
            f"wrap_robosuite needs what robosuite.make or robosuite's GymWrapper gave, received "
            f"{env!r}; put Gymnasium's wrappers around its result"
        )
    return inner


def _choose_cameras(robosuite: Any, cameras: str | Sequence[str] | None) -> tuple[str, ...]:
    own: Sequence[str] = robosuite.camera_names if robosuite.use_camera_obs else ()
    chosen = (cameras,) if isinstance(cameras, str) else tuple(own if cameras is None else cameras)
    known = list(robosuite.sim.model.camera_names)
    if not chosen or len(set(chosen)) < len(chosen) or not {*chosen} <= {*known}:
        raise ValueError(
            f"cameras must name some of {', '.join(known)}, each once; received "
            f"{', '.join(chosen) or 'none, and this env renders none itself'}"
        )
    return chosen


def _upside_down() -> bool:
    """Whether robosuite's frames are so: a setting of its that may change at any time."""
    with needs("robosuite"):
        from robosuite import macros
    return macros.IMAGE_CONVENTION == "opengl"
