"""The MuJoCo model beneath an env, and everything that draws it.

Envs hold their model, and their renderers, in different places. This is the one file that knows
which: Gymnasium's and Gymnasium-Robotics' MuJoCo envs (MetaWorld's are built on them), robosuite
with or without the ``stemob/…`` ids, dm_control, and any env with an ``MjModel`` as ``model``.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Generator
from typing import Any

from stemob_wrappers.extras import needs

with needs("mujoco"):
    import mujoco

from stemob_wrappers.scene.edit import SceneEdit
from stemob_wrappers.scene.renderer import CameraRenderer


def find_simulation(env: Any) -> Simulation:
    """The simulation beneath an env, however it is wrapped; always the same one for one env.

    Raises:
        ValueError: no layer of the env has a MuJoCo model.

    Example:
        >>> import gymnasium as gym
        >>> find_simulation(gym.make("HalfCheetah-v5")).model.ncam
        1
    """
    layer = env
    while layer is not None:
        if model_of(layer) is not None:
            if "_perturbed_simulation" not in vars(layer):
                layer._perturbed_simulation = Simulation(layer)
            return layer._perturbed_simulation
        layer = getattr(layer, "env", None)
    raise ValueError(
        f"ScenePerturbation needs an env with a MuJoCo model beneath; {env} has none (looked for "
        "an mujoco.MjModel as 'model' and for robosuite's 'sim'). For any other env whose "
        "observation holds images, use stemob_wrappers.perturb.PixelPerturbation."
    )


def model_of(env: Any) -> Any:
    """The `mujoco.MjModel` that this layer of an env holds now, or None."""
    model = getattr(env, "model", None)
    if isinstance(model, mujoco.MjModel):
        return model
    physics = getattr(getattr(env, "physics", None), "model", None)  # dm_control
    model = getattr(physics, "ptr", None)
    if isinstance(model, mujoco.MjModel):
        return model
    wrapped = getattr(getattr(getattr(env, "sim", None), "model", None), "_model", None)
    return wrapped if isinstance(wrapped, mujoco.MjModel) else None


class Simulation:
    """One env's model, data and renderers, looked up afresh each time: a hard reset replaces them.

    Args:
        env: the layer that holds them.
    """

    def __init__(self, env: Any) -> None:
        self.env = env
        inner = getattr(env, "simulator", env)
        inner = getattr(inner, "unwrapped", inner)  # beneath robosuite's own wrappers too
        self.robosuite: Any = inner if hasattr(inner, "_reset_internal") else None
        self.edit: SceneEdit | None = None  # what is in force now
        self.after_rebuild: Callable[[], None] | None = None
        self._held: set[int] | None = None  # textures to upload later, while uploads are held back
        self._install_hooks()

    @property
    def model(self) -> Any:
        """The `mujoco.MjModel` as it is now."""
        return model_of(self.env)

    @property
    def data(self) -> Any:
        """The `mujoco.MjData` that belongs to the model."""
        physics = getattr(getattr(self.env, "physics", None), "data", None)
        data = getattr(physics, "ptr", None) or getattr(self.env, "data", None)
        return data if isinstance(data, mujoco.MjData) else self.env.sim.data._data

    @property
    def hidden_groups(self) -> tuple[int, ...]:
        """Geom groups that are never drawn: robosuite keeps its collision geoms in group 0."""
        return (0, 3, 4, 5) if self.robosuite is not None else (3, 4, 5)

    def new_edit(self) -> SceneEdit:
        """Nothing changed yet, for the model as it is now."""
        return SceneEdit(self.model, self.hidden_groups)

    def upload(self, textures: list[int]) -> None:
        """Send textures of the model to every live render context; later ones read the model."""
        if self._held is not None:
            self._held.update(textures)
            return
        for make_current, context in self._contexts():
            make_current()
            for texture in textures:
                mujoco.mjr_uploadTexture(self.model, context, texture)
        # MuJoCo's interactive window, as robosuite opens it, draws in a thread of its own.
        window: Any = getattr(getattr(self.robosuite, "viewer", None), "viewer", None)
        if hasattr(window, "update_texture"):
            for texture in textures:
                window.update_texture(texture)

    @contextlib.contextmanager
    def uploads_at_the_end(self) -> Generator[None]:
        """Send each texture once, as it is at the end: frames drawn within may show others."""
        self._held = held = set()
        try:
            yield
        finally:
            self._held = None
            # A model that was built within may have fewer.
            self.upload(sorted(texture for texture in held if texture < self.model.ntex))

    def place_lights_and_cameras(self) -> None:
        """Update where lights and cameras are in the world; no state of the physics changes."""
        mujoco.mj_camlight(self.model, self.data)

    def restore(self) -> None:
        """Undo what is in force: the model as it was, in every renderer too."""
        if self.edit is None:
            return
        edit, self.edit = self.edit, None
        edit.restore()
        if edit.model is self.model:
            self.upload(edit.take_changed_textures())
            self.place_lights_and_cameras()

    def make_way(self, edit: SceneEdit) -> None:
        """Undo what is in force, before `edit` changes the scene anew."""
        if self.edit is edit:
            edit.restore()  # what it does not change again is uploaded with what it does
        else:
            self.restore()

    def attach_renderers(self) -> None:
        """Reach renderers that came into being since the last call."""
        for holder in (self.env, getattr(self.env, "_renderer", None)):
            for value in vars(holder).values() if holder is not None else ():
                if isinstance(value, mujoco.Renderer):
                    self._attach_renderer(value)
        context = self._robosuite_context()
        if context is not None:
            self._attach_robosuite_context(context)

    def _contexts(self) -> list[tuple[Callable[[], None], Any]]:
        """(make current, MjrContext) of every live render context."""
        env: Any = self.env
        found: list[tuple[Callable[[], None], Any]] = []
        if hasattr(env, "mujoco_renderer"):
            for viewer in env.mujoco_renderer._viewers.values():
                found.append((viewer.make_context_current, viewer.con))
        if hasattr(env, "render_contexts"):
            found += [(gl.make_current, context) for gl, context in env.render_contexts()]
        for value in vars(env).values():
            if isinstance(value, mujoco.Renderer):
                gl: Any = value._gl_context
                found.append((gl.make_current, value._mjr_context))
        context = self._robosuite_context()
        if context is not None:
            found.append((context.gl_ctx.make_current, context.con))
        return found

    def _robosuite_context(self) -> Any:
        """robosuite's own off-screen context, if it has one."""
        return getattr(getattr(self.robosuite, "sim", None), "_render_context_offscreen", None)

    # --- hooks: on these instances alone, for what they offer no call for ------------------------

    def _install_hooks(self) -> None:
        if self.robosuite is not None:
            call_after(self.robosuite, "_reset_internal", self._robosuite_was_reset)
        if hasattr(self.env, "mujoco_renderer"):
            call_after(self.env.mujoco_renderer, "_get_viewer", self._prepare_viewer)
        if isinstance(getattr(self.env, "_renderer", None), CameraRenderer):
            call_after(self.env._renderer, "_open", self._camera_renderer_opened)
        self.attach_renderers()

    def _robosuite_was_reset(self, _robosuite: Any, _: None) -> None:
        """The model is final and no frame of the episode is rendered yet."""
        self.attach_renderers()
        if self.after_rebuild is not None:
            self.after_rebuild()

    def _prepare_viewer(self, _renderer: Any, viewer: Any) -> None:
        """Gymnasium: markers are added to the frame that follows, and then forgotten."""
        # With one viewer Gymnasium does not do this itself, and draws into another env's context.
        viewer.make_context_current()
        self._set_flags(viewer, viewer.scn)
        self._turn_free_camera(viewer)
        if self.edit is not None:
            viewer._markers.extend(self.edit.geoms)

    def _camera_renderer_opened(self, _renderer: Any, renderer: Any) -> None:
        self._attach_renderer(renderer)

    def _attach_renderer(self, renderer: Any) -> None:
        call_after(renderer, "update_scene", self._scene_was_updated)

    def _scene_was_updated(self, renderer: Any, _: None) -> None:
        """mujoco.Renderer: between its update_scene and its render."""
        self._add_to_scene(renderer, renderer.scene)

    def _attach_robosuite_context(self, context: Any) -> None:
        """robosuite's own context updates and draws in one call: draw again, with the additions."""
        if "render" in vars(context):
            return
        known = weakref.ref(context)

        def render(width: int, height: int, camera_id: Any = None, segmentation: bool = False):
            context: Any = known()
            type(context).render(context, width, height, camera_id, segmentation)
            edit = self.edit
            if not segmentation and edit is not None and (edit.geoms or edit.flags):
                self._add_to_scene(context, context.scn)
                mujoco.mjr_render(mujoco.MjrRect(0, 0, width, height), context.scn, context.con)

        context.render = render

    def _add_to_scene(self, holder: Any, scene: Any) -> None:
        self._set_flags(holder, scene)
        for geom in self.edit.geoms if self.edit is not None else ():
            if scene.ngeom < scene.maxgeom:
                mujoco.mjv_initGeom(scene.geoms[scene.ngeom], **geom)
                scene.ngeom += 1

    def _set_flags(self, holder: Any, scene: Any) -> None:
        """Turn on what `edit` asks for; without one, everything is as the renderer had it."""
        usual = vars(holder).setdefault("_usual_flags", scene.flags.copy())
        scene.flags[:] = usual
        if self.edit is not None and self.edit.flags:
            scene.flags[sorted(self.edit.flags)] = 1

    def _turn_free_camera(self, viewer: Any) -> None:
        camera = viewer.cam
        usual = (camera.lookat.copy(), camera.azimuth, camera.elevation)
        lookat, azimuth, elevation = vars(viewer).setdefault("_usual_free_camera", usual)
        shift, turn = (0.0, (0.0, 0.0)) if self.edit is None else self.edit.free_camera
        camera.lookat[:] = lookat + shift
        camera.azimuth, camera.elevation = azimuth + turn[0], elevation + turn[1]


def call_after(owner: Any, method: str, callback: Callable[[Any, Any], None]) -> None:
    """Have every call of one instance's method followed by ``callback(owner, result)``; once.

    The owner is not kept alive by it: render contexts must be freed as soon as they are let go.
    """
    if method in vars(owner):
        return
    original, known = getattr(type(owner), method), weakref.ref(owner)

    def called(*args: Any, **kwargs: Any) -> Any:
        owner = known()
        result = original(owner, *args, **kwargs)
        callback(owner, result)
        return result

    setattr(owner, method, called)
