"""The OpenGL backend that MuJoCo renders with, chosen so that it works without a display.

``python -m stemob_wrappers.scene.gl`` prints the backend and nothing else on standard output.
"""

from __future__ import annotations

import functools
import importlib
import os
import subprocess
import sys
from typing import Any

from stemob_wrappers.extras import find_installed, needs

# Backend -> Debian package that brings its library, in the order they are tried.
PACKAGES = {"egl": "libegl1", "osmesa": "libosmesa6"}

# PyOpenGL binds itself to one of these when it is first imported, for good.
_PYOPENGL_PLATFORM = {"egl": "EGLPlatform", "osmesa": "OSMesaPlatform"}

_PROBE_SECONDS = 120
_PROBE = """
import os
try:
    import mujoco
    model = mujoco.MjModel.from_xml_string(
        '<mujoco><worldbody><light pos="0 0 1"/><geom size=".1"/></worldbody></mujoco>'
    )
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    renderer = mujoco.Renderer(model, 8, 8)
    renderer.update_scene(data)
    if not renderer.render().any():
        raise RuntimeError("the rendered frame is black")
except Exception as error:
    print(f"{type(error).__name__}: {error}", flush=True)
    os._exit(1)
os._exit(0)  # at once: MuJoCo's finalisers complain when the interpreter goes down first
"""


class GLError(RuntimeError):
    """No OpenGL backend renders here; the message says what to install."""


@functools.cache
def ensure_gl() -> str:
    """Make MuJoCo render without a display; return the backend: "egl", "osmesa", "glfw", ….

    A value of ``MUJOCO_GL`` is respected and checked. Without one, and without a display, the
    first of EGL and OSMesa that renders a frame in a child process is taken and written to
    ``MUJOCO_GL``, where MuJoCo, Gymnasium and robosuite read it. Best called before any of them
    is imported: robosuite reads it at import only. The answer is kept for the process.

    Raises:
        ModuleNotFoundError: MuJoCo is not installed.
        GLError: no backend, or not the one ``MUJOCO_GL`` names, renders a frame. The message
            has each one's reason and the command that installs what is missing.

    Example:
        >>> from stemob_wrappers.scene.gl import ensure_gl
        >>> ensure_gl() in ("egl", "osmesa", "glfw")
        True
    """
    with needs("mujoco", "rendering"):
        find_installed("mujoco")
    asked = os.environ.get("MUJOCO_GL", "").strip().lower()
    if asked:
        obstacle = _obstacle(asked)
        if obstacle:
            raise GLError(f"MUJOCO_GL={asked} does not render here. {obstacle}")
        _adopt(asked)
        return asked
    if not sys.platform.startswith("linux"):
        return "cgl" if sys.platform == "darwin" else "wgl"  # MuJoCo's only choice there
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if display and not _obstacle("glfw"):
        return "glfw"  # MuJoCo's own default

    obstacles = {}
    for backend in PACKAGES:
        obstacles[backend] = _obstacle(backend)
        if not obstacles[backend]:
            _adopt(backend)
            return backend
    reasons = "\n".join(f"  {backend}: {reason}" for backend, reason in obstacles.items())
    raise GLError(
        "MuJoCo needs an OpenGL library to render without a display; "
        f"none of {', '.join(PACKAGES)} works here:\n{reasons}\n"
        f"Both at once: {_install(*PACKAGES.values())}"
    )


def _obstacle(backend: str) -> str:
    """Why the backend cannot be used in this process and what to do; empty when it can."""
    loaded = sys.modules.get("OpenGL.platform")
    if backend in PACKAGES and loaded is not None:
        platform = type(loaded.PLATFORM).__name__
        if platform != _PYOPENGL_PLATFORM[backend]:
            return (
                f"PyOpenGL is already loaded as {platform} in this process and cannot change: "
                f"set MUJOCO_GL={backend} before the program starts, or call ensure_gl() before "
                "anything imports mujoco or OpenGL."
            )
    platform = os.environ.get("PYOPENGL_PLATFORM", "").lower()
    if backend in PACKAGES and platform not in ("", backend):
        return f"PYOPENGL_PLATFORM={platform} rules it out: unset it."

    failure = _probe(backend)
    if not failure:
        return ""
    if backend in PACKAGES:
        return f"{failure}. If its library is missing: {_install(PACKAGES[backend])}"
    return f"{failure}. Without a display set MUJOCO_GL to egl or osmesa, or unset it."


def _probe(backend: str) -> str:
    """Render one 8 x 8 frame in a child process; return what went wrong, empty if nothing."""
    try:
        child = subprocess.run(
            [sys.executable, "-c", _PROBE],
            check=False,
            env={**os.environ, "MUJOCO_GL": backend},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"rendering one frame took more than {_PROBE_SECONDS} s"
    if child.returncode == 0:
        return ""
    if child.returncode < 0:
        return f"rendering one frame ended with signal {-child.returncode}"
    return " ".join((child.stdout or child.stderr).split()).rstrip(".")


def _adopt(backend: str) -> None:
    """Tell everything that renders, loaded already or not, to use the backend."""
    os.environ["MUJOCO_GL"] = backend
    if backend in PACKAGES:
        os.environ["PYOPENGL_PLATFORM"] = backend
    context: Any = sys.modules.get("mujoco.gl_context")
    if context is not None:  # it read MUJOCO_GL when it was imported: have it read again
        mujoco: Any = sys.modules["mujoco"]
        mujoco.GLContext = importlib.reload(context).GLContext


def _install(*packages: str) -> str:
    return f"sudo apt-get install -y {' '.join(packages)}"


def main() -> int:
    """Print the backend; 1, with the reason on standard error, when there is none."""
    try:
        print(ensure_gl())
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
