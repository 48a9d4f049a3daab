"""A small core, and optional packages that are named with the line that installs them."""

import ast
import re
import subprocess
import sys
import textwrap
import threading
import tomllib
from pathlib import Path

import numpy as np
import pytest

from stemob_wrappers.extras import needs
from stemob_wrappers.pictures import write_image

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
OPTIONAL = [
    *("robosuite", "diffusers", "huggingface_hub", "mujoco", "cv2", "h5py", "rich", "typer"),
    *("transformers", "PIL", "simplejpeg", "av", "jinja2", "matplotlib", "scipy", "onnx"),
    *("stable_baselines3", "gradio"),
]
# Where a package is called otherwise than what is imported.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python",
    "huggingface_hub": "huggingface-hub",
    "stable_baselines3": "stable-baselines3",
}


def without(packages, script):
    """Run a script in a process where packages cannot be imported."""
    blocker = f"""
        import sys
        class Blocker:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in {list(packages)!r}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        sys.meta_path.insert(0, Blocker())
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(blocker) + textwrap.dedent(script)],
        capture_output=True,
        text=True,
    )


def brought_by(extra):
    """The distributions that an extra installs, by name."""
    found = set()
    for requirement in EXTRAS[extra]:
        name = re.split(r"[\[<>=!~]", requirement)[0]
        if name == "stemob_wrappers":
            for other in requirement[requirement.index("[") + 1 : -1].split(","):
                found |= brought_by(other)
        else:
            found.add(name)
    return found


def test_the_core_runs_without_any_optional_package():
    result = without(
        OPTIONAL,
        """
        import gymnasium as gym
        import numpy as np
        import stemob_wrappers

        class Pictures(gym.Env):
            observation_space = gym.spaces.Box(0, 255, (16, 16, 3), np.uint8)
            action_space = gym.spaces.Discrete(2)
            def reset(self, *, seed=None, options=None):
                return self.observation_space.sample(), {}
            def step(self, action):
                return self.observation_space.sample(), 0.0, False, False, {}

        for method in ("ddpm", "ddim"):
            options = {"method": method, "inversion_steps": 1}
            env = stemob_wrappers.StemObservation(Pictures(), **options)
            assert env.observation_space.contains(env.reset(seed=0)[0])
            venv = stemob_wrappers.vector.StemObservation(
                gym.vector.SyncVectorEnv([Pictures] * 2), **options
            )
            venv.reset(seed=0)
            assert venv.step([0, 1])[0].shape == (2, 16, 16, 3)
        """,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("statement", "package", "extra"),
    [
        ("from stemob_wrappers.perturb import PixelPerturbation", "cv2", "images"),
        ("from stemob_wrappers.perturb import ScenePerturbation", "mujoco", "mujoco"),
        ("from stemob_wrappers.evaluation import evaluate", "rich", "report"),
        ("from stemob_wrappers.datasets import invert_dataset", "rich", "datasets"),
        ("from stemob_wrappers.scene.gl import ensure_gl; ensure_gl()", "mujoco", "mujoco"),
        ("from stemob_wrappers.extras import OnUse; OnUse('av', 'video').open", "av", "video"),
        ("from stemob_wrappers.wrappers import sb3", "stable_baselines3", "sb3"),
        ("import stemob_wrappers; stemob_wrappers.load_backbone('a/b')", "diffusers", "diffusers"),
    ],
)
def test_what_is_missing_is_named_with_the_pip_line(statement, package, extra):
    missing = "(diffusers|huggingface_hub)" if package == "diffusers" else package
    result = without(OPTIONAL, statement)
    last = result.stderr.splitlines()[-1]
    assert re.fullmatch(
        rf"ModuleNotFoundError: .+ needs {missing}, which is not installed: "
        rf"pip install 'stemob_wrappers\[{extra}\]'",
        last,
    ), result.stderr


def test_a_picture_is_inverted_without_the_reader_of_videos(tmp_path):
    before, after = tmp_path / "before.png", tmp_path / "after.png"
    write_image(before, np.zeros((32, 32, 3), np.uint8))
    run = f"import sys; sys.argv = ['stemob', 'invert', {str(before)!r}, {str(after)!r}]; main()"
    result = without(["av"], f"from stemob_wrappers.cli import main; {run}")
    assert after.exists(), result.stderr


def test_the_command_says_how_to_install_it():
    result = without(["typer", "rich"], "from stemob_wrappers.cli import main; main()")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert "pip install 'stemob_wrappers[cli]'" in result.stderr


def test_an_installed_package_that_fails_inside_says_so_itself():
    with pytest.raises(ImportError, match="libGL"), needs("images"):
        raise ImportError("libGL.so.1: cannot open shared object file")


def test_a_public_name_shows_the_error_inside_its_module(tmp_path):
    script = """
        import sys, types
        sys.modules["stemob_wrappers.vector"] = None
        module = types.ModuleType("stemob_wrappers.stem.pipeline")
        def missing(name): raise AttributeError("module 'numpy' has no attribute 'float'")
        module.__getattr__ = missing
        sys.modules["stemob_wrappers.stem.pipeline"] = module
        from stemob_wrappers import StemPipeline
    """
    result = without([], script)
    assert "no attribute 'float'" in result.stderr.splitlines()[-1], result.stderr


def test_it_runs_where_fcntl_is_missing_and_says_what_the_disk_lacks(tmp_path):
    result = without(
        ["fcntl"],
        f"""
        import numpy as np
        import stemob_wrappers
        frames = np.zeros((1, 16, 16, 3), np.uint8)
        pipeline = stemob_wrappers.StemPipeline()
        assert (pipeline(frames) == pipeline(frames)).all()
        try:
            stemob_wrappers.FrameCache({str(tmp_path)!r})
        except OSError as error:
            print(error)
        """,
    )
    assert result.returncode == 0, result.stderr
    assert "need fcntl.flock" in result.stdout


def test_an_offline_hub_is_one_error():
    script = """
        from huggingface_hub import constants
        from stemob_wrappers import load_backbone
        constants.ENDPOINT = "http://127.0.0.1:9"
        try:
            load_backbone("some-org/some-model")
        except OSError as error:
            print(error)
    """
    result = without([], script)
    assert result.stdout.startswith("some-org/some-model could not be found"), result.stderr
    assert result.stderr == ""  # its client says so when it tries again, for 20 seconds


def test_a_name_server_that_never_answers_is_an_offline_hub(monkeypatch):
    pytest.importorskip("huggingface_hub")
    from stemob_wrappers.backbones import files

    silent = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: silent.wait(60))
    monkeypatch.setattr(files, "_SECONDS_TO_ANSWER", 0.1)
    files._answers.cache_clear()
    assert not files.hub_answers()
    silent.set()
    files._answers.cache_clear()


def needed(statement):
    """The extra that a block ``with needs(...)`` names, or None."""
    if isinstance(statement, ast.With):
        call = statement.items[0].context_expr
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "needs":
            return ast.unparse(call.args[0]).strip("'")
    return None


def optional_imports(path):
    """Each import of an optional package in a file, with the extra that it is said to need."""

    def visit(node, extra):
        for child in ast.iter_child_nodes(node):
            inner = needed(child) or extra
            if isinstance(child, ast.Call) and ast.unparse(child.func) == "OnUse":
                yield tuple(ast.literal_eval(argument) for argument in child.args)
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in child.names]
                if isinstance(child, ast.ImportFrom):
                    names = [child.module or ""] if not child.level else []
                for name in names:
                    if name.partition(".")[0] in OPTIONAL:
                        yield name.partition(".")[0], inner
            yield from visit(child, inner)

    return list(visit(ast.parse(path.read_text()), None))


def test_every_import_of_an_optional_package_names_an_extra_that_brings_it():
    wrong = []
    for path in sorted((ROOT / "stemob_wrappers").rglob("*.py")):
        for package, extra in optional_imports(path):
            wanted = DISTRIBUTIONS.get(package, package)
            if extra is None or wanted not in brought_by(extra):
                wrong.append(f"{path.relative_to(ROOT)}: {package} under needs({extra!r})")
    assert not wrong, "\n".join(wrong)
