"""Every case runs in a fresh interpreter: MuJoCo and PyOpenGL choose once per process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the choice of a backend is Linux's", allow_module_level=True)

RENDER = """
import mujoco
model = mujoco.MjModel.from_xml_string(
    '<mujoco><worldbody><light pos="0 0 1"/><geom size=".1"/></worldbody></mujoco>'
)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 8, 8) as renderer:
    renderer.update_scene(data)
    assert renderer.render().any()
    print("rendered")
"""
ENSURE = "from stemob_wrappers.scene.gl import ensure_gl; print(ensure_gl())\n"


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Python with a clean choice of backend and no display."""
    dropped = ("MUJOCO_GL", "PYOPENGL_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY")
    env = {name: value for name, value in os.environ.items() if name not in dropped}
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        env={**env, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


def broken_libraries(folder: Path, *names: str) -> str:
    """A loader path on which the libraries are found, but empty."""
    for name in names:
        for suffix in ("", *(f".{version}" for version in range(10))):
            (folder / f"lib{name}.so{suffix}").touch()
    return str(folder)


@pytest.fixture(scope="module")
def working() -> list[str]:
    """The backends that render on this machine, found without our code."""
    found = [name for name in ("egl", "osmesa") if run("-c", RENDER, MUJOCO_GL=name).stdout]
    if not found:
        pytest.skip("neither EGL nor OSMesa renders on this machine")
    return found


def test_command_prints_the_backend_only(working: list[str]) -> None:
    result = run("-m", "stemob_wrappers.scene.gl")
    assert (result.stdout, result.returncode) == (f"{working[0]}\n", 0)
    assert result.stderr == ""


def test_what_it_picks_renders(working: list[str]) -> None:
    result = run("-c", ENSURE + RENDER)
    assert result.stdout == f"{working[0]}\nrendered\n"


def test_mujoco_may_be_imported_before(working: list[str]) -> None:
    result = run("-c", "import mujoco\n" + ENSURE + RENDER)
    assert result.stdout == f"{working[0]}\nrendered\n"


@pytest.mark.parametrize("backend", ["egl", "osmesa"])
def test_a_set_backend_is_respected(working: list[str], backend: str) -> None:
    if backend not in working:
        pytest.skip(f"{backend} does not render on this machine")
    assert run("-c", ENSURE + RENDER, MUJOCO_GL=backend).stdout == f"{backend}\nrendered\n"


def test_a_display_that_works_leaves_the_choice_to_mujoco() -> None:
    works = "import stemob_wrappers.scene.gl as gl; gl._probe = lambda backend: ''\n"
    script = works + ENSURE + "import os; assert 'MUJOCO_GL' not in os.environ"
    result = run("-c", script, DISPLAY=":0")
    assert (result.stdout, result.returncode) == ("glfw\n", 0)


def test_a_dead_display_is_passed_over(working: list[str]) -> None:
    result = run("-c", ENSURE + RENDER, DISPLAY=":99")
    assert result.stdout == f"{working[0]}\nrendered\n"


def test_falls_back_to_osmesa_without_egl(working: list[str], tmp_path: Path) -> None:
    if "osmesa" not in working:
        pytest.skip("osmesa does not render on this machine")
    path = broken_libraries(tmp_path, "EGL")
    result = run("-c", ENSURE + RENDER, LD_LIBRARY_PATH=path)
    assert result.stdout == "osmesa\nrendered\n"


def test_no_library_names_reasons_and_packages(tmp_path: Path) -> None:
    path = broken_libraries(tmp_path, "EGL", "OSMesa")
    result = run("-m", "stemob_wrappers.scene.gl", LD_LIBRARY_PATH=path)
    assert (result.stdout, result.returncode) == ("", 1)
    assert "sudo apt-get install -y libegl1 libosmesa6" in result.stderr
    assert "  egl: " in result.stderr
    assert "  osmesa: " in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("backend", "library", "package"),
    [("egl", "EGL", "libegl1"), ("osmesa", "OSMesa", "libosmesa6")],
)
def test_a_set_backend_that_fails_is_not_replaced(
    tmp_path: Path, backend: str, library: str, package: str
) -> None:
    path = broken_libraries(tmp_path, library)
    result = run("-m", "stemob_wrappers.scene.gl", LD_LIBRARY_PATH=path, MUJOCO_GL=backend)
    assert (result.stdout, result.returncode) == ("", 1)
    assert f"MUJOCO_GL={backend} does not render here" in result.stderr
    assert result.stderr.endswith(f"sudo apt-get install -y {package}\n")


@pytest.mark.parametrize("value", ["glfw", "disable", "nonsense"])
def test_a_set_value_that_cannot_render_says_what_to_set(value: str) -> None:
    result = run("-m", "stemob_wrappers.scene.gl", MUJOCO_GL=value)
    assert (result.stdout, result.returncode) == ("", 1)
    assert f"MUJOCO_GL={value} does not render here" in result.stderr
    assert "set MUJOCO_GL to egl or osmesa" in result.stderr


def test_pyopengl_loaded_for_another_platform_is_said() -> None:
    script = "from OpenGL import GL\n" + ENSURE
    result = run("-c", script, MUJOCO_GL="osmesa")
    assert result.returncode == 1
    assert "PyOpenGL is already loaded as GLXPlatform" in result.stderr
    assert "set MUJOCO_GL=osmesa before the program starts" in result.stderr


def test_pyopengl_platform_narrows_the_choice(working: list[str]) -> None:
    last = working[-1]
    assert run("-c", ENSURE + RENDER, PYOPENGL_PLATFORM=last).stdout == f"{last}\nrendered\n"
    result = run("-m", "stemob_wrappers.scene.gl", PYOPENGL_PLATFORM="glx")
    assert result.returncode == 1
    assert "PYOPENGL_PLATFORM=glx rules it out: unset it" in result.stderr


def test_probes_once_per_process(working: list[str]) -> None:
    script = f"""
import subprocess
from stemob_wrappers.scene.gl import ensure_gl
first = ensure_gl()
subprocess.run = None  # a second child process would fail
assert ensure_gl() == first == {working[0]!r}
"""
    result = run("-c", script)
    assert (result.stderr, result.returncode) == ("", 0)


def test_choosing_loads_nothing_heavy() -> None:
    script = ENSURE + (
        "import sys; print(sorted({'mujoco', 'torch', 'robosuite', 'OpenGL'} & set(sys.modules)))"
    )
    assert run("-c", script).stdout.endswith("\n[]\n")
