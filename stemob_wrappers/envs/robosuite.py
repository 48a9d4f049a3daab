"""robosuite tasks as Gymnasium envs that give upright camera frames."""

import dataclasses
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from stemob_wrappers.envs.simulator import build_simulator, choose_object
from stemob_wrappers.scene.renderer import QUALITIES, CameraRenderer

Observation = dict[str, np.ndarray]


class RobosuiteEnv(gym.Env[Any, np.ndarray]):
    """A robosuite task seen through its cameras.

    Observation (`spaces.Dict`):

    - ``<camera>_image``, one per camera: uint8 [H, W, 3], upright. robomimic's key and orientation;
      robosuite's own images are upside down.
    - ``proprio``: float32 [P], robosuite's ``robot0_proprio-state``.
    - ``object``, on request: float32 [O], robosuite's ``object-state``, the true poses.

    Action: float32 [A], robosuite's ``action_spec`` for the controller (by default the robot's own;
    for Panda an end-effector pose change and the gripper, each in [-1, 1]).

    Reward: robosuite's. ``terminated``: the task succeeded (unless `terminate_on_success` is False)
    or robosuite ended it (Wipe does on a collision or a joint limit). ``truncated``: the horizon
    was reached. ``info``: ``{"success": bool}``.

    ``reset(seed=s)`` reproduces an episode bit for bit, whatever came before, in this process and
    in others; no global random generator is read or written. With ``hard_reset=False`` what
    robosuite draws when it builds a model, such as the exact size of Lift's cube, is the same in
    every env; with True it is drawn again at each reset, which then takes about a second.

    A process that has rendered must not be forked: OpenGL's threads do not survive it and the
    child hangs. Beside other envs, make vector envs with ``vector_kwargs={"context": "spawn"}``.

    Args:
        task: one of `stemob_wrappers.envs.TASKS`.
        robots: a single-arm robot of robosuite.
        controller: a robosuite controller name: composite ("BASIC", …) or for the arm ("OSC_POSE",
            "JOINT_POSITION", …). None is the robot's default.
        cameras: camera names, such as "agentview", "frontview" or "robot0_eye_in_hand"; empty for
            an env without images, which then steps much faster.
        size: frame size in pixels, one number or (height, width).
        proprio: whether the observation has ``proprio``.
        object_state: whether the observation has ``object``.
        horizon: actions before truncation; 500 are 25 s at 20 Hz and leave room for every task but
            the longest (robomimic gives its demonstrators' policies 400 for Lift, Can and Square
            and 700 for ToolHang).
        reward_shaping: robosuite's dense reward instead of the sparse one.
        terminate_on_success: whether success ends the episode.
        render_quality: "fast" renders without multisampling, reflections and shadows, which without
            a GPU take most of a step. "full" renders as robosuite does: choose it beside frames
            that robosuite rendered, such as published demonstrations.
        control_freq: actions per simulated second.
        hard_reset: whether every reset builds the model anew.
        render_mode: None or "rgb_array": `render` gives the first camera's frame (without cameras:
            "agentview").

    Raises:
        ImportError: robosuite is not installed.
        ValueError: an unknown task, robot, controller or camera, or an argument out of range.
        RuntimeError: no OpenGL backend works here.

    Example:
        >>> import gymnasium as gym
        >>> env = gym.make("stemob_wrappers:stemob/Lift-v0", cameras=["agentview"], size=84)
        >>> observation, info = env.reset(seed=0)
        >>> observation["agentview_image"].shape
        (84, 84, 3)
        >>> env.close()
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012
    _spec: EnvSpec | None = None  # of an env that was made without an id

    def __init__(
        self,
        task: str,
        *,
        robots: str = "Panda",
        controller: str | None = None,
        cameras: str | list[str] | tuple[str, ...] = ("agentview",),
        size: int | list[int] | tuple[int, int] = 84,
        proprio: bool = True,
        object_state: bool = False,
        horizon: int = 500,
        reward_shaping: bool = False,
        terminate_on_success: bool = True,
        render_quality: str = "fast",
        control_freq: int = 20,
        hard_reset: bool = False,
        render_mode: str | None = None,
    ) -> None:
        self.cameras = (cameras,) if isinstance(cameras, str) else tuple(cameras)
        self._check_observation(size, proprio, object_state)
        self._check_episode(horizon, render_quality, render_mode)
        height, width = (size, size) if isinstance(size, int) else size
        self.horizon = horizon
        self.terminate_on_success = terminate_on_success
        self.render_mode = render_mode
        self.metadata = {**type(self).metadata, "render_fps": control_freq}

        self.renders = True  # False leaves frames black, for an observation that nobody looks at
        self._black = np.zeros((height, width, 3), np.uint8)
        self._renderer = CameraRenderer((height, width), render_quality)
        self._simulator: Any = build_simulator(
            task,
            robots=robots,
            controller=controller,
            cameras=self.cameras or ("agentview",),
            hard_reset=hard_reset,
            use_object_obs=object_state,
            horizon=horizon,
            reward_shaping=reward_shaping,
            control_freq=control_freq,
        )
        self._steps: int | None = None  # steps taken in this episode; None: not reset yet

        # Observation key -> robosuite's key, for what is not an image.
        self._state_keys: dict[str, str] = {}
        if proprio:
            self._state_keys["proprio"] = "robot0_proprio-state"
        if object_state:
            self._state_keys["object"] = "object-state"
        self.observation_space = self._make_observation_space(height, width)
        low, high = self._simulator.action_spec
        self.action_space = spaces.Box(low.astype(np.float32), high.astype(np.float32))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; `seed` decides all of it, None goes on with the env's own stream."""
        simulator = self._open_simulator()
        super().reset(seed=seed)
        if seed is not None or self._steps is None:
            # In place: robosuite's placement samplers hold on to this very generator.
            simulator.rng.bit_generator.state = self.np_random.bit_generator.state
        choose_object(simulator)
        states = simulator.reset()
        self._steps = 0
        return self._observe(states), {"success": bool(simulator._check_success())}

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Run the action for 1 / `control_freq` simulated seconds.

        Raises:
            ValueError: the action has another shape than the action space, or is not finite.
            RuntimeError: the env was closed, or not reset yet.
        """
        simulator = self._open_simulator()
        if self._steps is None:
            raise RuntimeError("step needs a running episode: call reset() first.")
        action = np.asarray(action, dtype=np.float64)
        if action.shape != self.action_space.shape:
            raise ValueError(
                f"action must have the shape {self.action_space.shape}, got {action.shape}."
            )
        if not np.isfinite(action).all():
            raise ValueError(f"action must be finite, got {action}.")

        states, reward, done, _ = simulator.step(action)
        self._steps += 1
        success = bool(simulator._check_success())
        terminated = self.terminate_on_success if success else bool(done)
        truncated = self._steps >= self.horizon
        return self._observe(states), float(reward), terminated, truncated, {"success": success}

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """The first camera's frame: uint8 [H, W, 3]; None when made without `render_mode`."""
        self._open_simulator()
        if self.render_mode is None:
            gym.logger.warn("render() needs an env made with render_mode='rgb_array'.")
            return None
        return self._frame(self.cameras[0] if self.cameras else "agentview")

    def close(self) -> None:
        """Free the render context and the simulation; closing again does nothing."""
        self._renderer.close()
        if self._simulator is not None:
            self._simulator.close()
            self._simulator = None

    @property
    def model(self) -> Any:
        """The live `mujoco.MjModel`. A hard reset replaces it: look it up after each reset."""
        return self._open_simulator().sim.model._model

    @property
    def data(self) -> Any:
        """The live `mujoco.MjData`, replaced together with the model."""
        return self._open_simulator().sim.data._data

    @property
    def simulator(self) -> Any:
        """The robosuite env itself, for what has no place in an observation (scripted experts)."""
        return self._open_simulator()

    @property
    def spec(self) -> EnvSpec | None:
        """What `gymnasium.make` made it by; its horizon is the limit of steps."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._spec = dataclasses.replace(spec, max_episode_steps=self.horizon)

    def render_contexts(self) -> list[tuple[Any, Any]]:
        """The live (GLContext, MjrContext) pairs, for uploading a texture changed in `model`.

        Empty until the first frame was rendered, which uploads all textures by itself.

        Example:
            >>> import mujoco
            >>> env = RobosuiteEnv("Lift")
            >>> _ = env.reset(seed=0)
            >>> for gl_context, mjr_context in env.render_contexts():
            ...     gl_context.make_current()
            ...     mujoco.mjr_uploadTexture(env.model, mjr_context, 0)
            >>> env.close()
        """
        context = self._renderer.context()
        return [] if context is None else [context]

    def observe(self) -> Observation:
        """The observation of the present state, rendered again: for after a change of the scene."""
        return self._observe(self._open_simulator()._get_observations())

    def _open_simulator(self) -> Any:
        if self._simulator is None:
            raise RuntimeError("this env was closed: make a new one.")
        return self._simulator

    def _frame(self, camera: str) -> np.ndarray:
        return self._renderer.frame(self.model, self.data, camera)

    def _observe(self, states: Observation) -> Observation:
        observation = {}
        for camera in self.cameras:
            frame = self._frame(camera) if self.renders else self._black.copy()
            observation[f"{camera}_image"] = frame
        for key, source in self._state_keys.items():
            observation[key] = states[source].astype(np.float32)
        return observation

    def _make_observation_space(self, height: int, width: int) -> spaces.Dict:
        entries: dict[str, spaces.Space[Any]] = {
            f"{camera}_image": spaces.Box(0, 255, (height, width, 3), np.uint8)
            for camera in self.cameras
        }
        states = self._simulator.observation_spec()
        for key, source in self._state_keys.items():
            entries[key] = spaces.Box(-np.inf, np.inf, states[source].shape, np.float32)
        return spaces.Dict(entries)

    def _check_observation(
        self, size: int | list[int] | tuple[int, int], proprio: bool, object_state: bool
    ) -> None:
        sides = (size, size) if isinstance(size, int) else tuple(size)
        if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
            raise ValueError(f"size must be a positive int or (height, width), got {size!r}.")
        if not (self.cameras or proprio or object_state):
            raise ValueError("the observation is empty: give cameras, proprio or object_state.")
        if len(set(self.cameras)) < len(self.cameras):
            raise ValueError(f"cameras must differ from each other, got {self.cameras}.")

    def _check_episode(self, horizon: int, render_quality: str, render_mode: str | None) -> None:
        if horizon < 1:
            raise ValueError(f"horizon must be at least 1, got {horizon}.")
        if render_quality not in QUALITIES:
            raise ValueError(f"render_quality must be one of {QUALITIES}, got {render_quality!r}.")
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be None or 'rgb_array', got {render_mode!r}.")
