"""The stored states of demonstrations, drawn again from any camera."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.envs.simulator import import_robosuite
from stemob_wrappers.extras import needs
from stemob_wrappers.scene.gl import ensure_gl
from stemob_wrappers.scene.renderer import CameraRenderer

Frames = NDArray[np.uint8]


class Replay:
    """States of a robomimic file in the simulation that its ``env_args`` describe.

    Args:
        env_args: what the file says of its env.
        states: the model file of each state's demo (None: it has none) and the state itself, float
            [1 + nq + nv]: time, positions, velocities.

    Attributes:
        cameras: the names of the cameras of the scene.

    Raises:
        ValueError: the env cannot be built, or a state does not fit it.
    """

    def __init__(
        self, env_args: dict[str, Any], states: Sequence[tuple[str | None, NDArray[np.float64]]]
    ) -> None:
        ensure_gl()
        robosuite = import_robosuite()
        blind = {"has_renderer": False, "has_offscreen_renderer": False, "use_camera_obs": False}
        arguments = {**env_args.get("env_kwargs", {}), **blind, "hard_reset": False, "seed": 0}
        try:
            self._env: Any = robosuite.make(env_args["env_name"], **arguments)
        except Exception as error:  # whatever robosuite raises on arguments of another version
            raise ValueError(
                f"robosuite {robosuite.__version__} cannot build the file's env ({error!r})"
            ) from error
        self._scenes: list[tuple[Any, Any]] = []
        self._renderers: dict[tuple[int, int, str], CameraRenderer] = {}
        self._drawn: dict[tuple[str, tuple[int, int], str], Frames] = {}
        loaded: str | None = None
        for model_file, state in states:
            if model_file is not None and model_file != loaded:
                self._load(model_file)
                loaded = model_file
            self._scenes.append(self._place(state))
        self.cameras = [str(name) for name in self._env.sim.model.camera_names]

    def draw(self, camera: str, size: tuple[int, int], quality: str = "full") -> Frames:
        """The states from a camera: uint8 [N, H, W, 3], upright. Each is drawn once."""
        key = (camera, size, quality)
        if key not in self._drawn:
            self._drawn[key] = self._draw(*key)
        return self._drawn[key]

    def close(self) -> None:
        """Free the render contexts and the simulation."""
        for renderer in self._renderers.values():
            renderer.close()
        self._env.close()

    def _load(self, model_file: str) -> None:
        try:
            self._env.reset_from_xml_string(self._env.edit_model_xml(model_file))
        except Exception as error:  # MuJoCo's and robosuite's, on models of other versions
            raise ValueError(f"the model file of a demo cannot be loaded ({error!r})") from error

    def _place(self, state: NDArray[np.float64]) -> tuple[Any, Any]:
        with needs("robosuite"):
            import mujoco

        model = self._env.sim.model._model
        positions, length = model.nq, 1 + model.nq + model.nv
        if len(state) != length:
            raise ValueError(
                f"a state has {len(state)} numbers, the model here {length} "
                f"(time, {model.nq} positions, {model.nv} velocities)"
            )
        data = mujoco.MjData(model)  # pyright: ignore[reportAttributeAccessIssue]
        data.time, data.qpos[:] = state[0], state[1 : 1 + positions]
        data.qvel[:] = state[1 + positions :]
        mujoco.mj_forward(model, data)  # pyright: ignore[reportAttributeAccessIssue]
        return model, data

    def _draw(self, camera: str, size: tuple[int, int], quality: str) -> Frames:
        key = (*size, quality)
        renderer = self._renderers.setdefault(key, CameraRenderer(size, quality))
        frames = []
        for model, data in self._scenes:
            samples = model.vis.quality.offsamples
            frames.append(renderer.frame(model, data, camera))
            model.vis.quality.offsamples = samples  # "fast" drops them for good
        return np.stack(frames)
