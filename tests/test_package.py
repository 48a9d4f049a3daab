import importlib
import subprocess
import sys

import pytest

import stemob_wrappers
from stemob_wrappers import backbones, datasets, evaluation, perturb


def run(script):
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )


def test_importing_it_loads_nothing_heavy_and_registers_the_envs():
    heavy = ["torch", "diffusers", "transformers", "robosuite", "mujoco", "cv2", "h5py"]
    result = run(
        "import sys, stemob_wrappers, gymnasium\n"
        "assert 'stemob/Lift-v0' in gymnasium.registry\n"
        f"loaded = [name for name in {heavy} if name in sys.modules]\n"
        "assert not loaded, loaded\n"
        "stemob_wrappers.StemConfig()\n"
        "assert 'torch' not in sys.modules"
    )
    assert result.returncode == 0, result.stderr


def test_from_the_pipeline_downward_nothing_imports_gymnasium_or_robosuite():
    result = run(
        "import sys, types\n"
        # The package itself registers env ids; its modules below must do without Gymnasium.
        "package = types.ModuleType('stemob_wrappers')\n"
        f"package.__path__ = {list(stemob_wrappers.__path__)!r}\n"
        "sys.modules['stemob_wrappers'] = package\n"
        "import stemob_wrappers.stem.pipeline\n"
        "loaded = [name for name in ('gymnasium', 'robosuite', 'mujoco') if name in sys.modules]\n"
        "assert not loaded, loaded"
    )
    assert result.returncode == 0, result.stderr


def test_every_public_name_is_there():
    for package in (stemob_wrappers, backbones, datasets, evaluation, perturb):
        for name in package.__all__:
            assert getattr(package, name) is not None
            assert name in dir(package)


def test_a_function_is_not_shadowed_by_its_module():
    importlib.import_module("stemob_wrappers.evaluation.evaluate")
    assert callable(evaluation.evaluate)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="attribute StemObservations"):
        getattr(stemob_wrappers, "StemObservations")  # noqa: B009


def test_the_version_is_the_installed_one():
    from importlib.metadata import version

    assert version("stemob_wrappers") == stemob_wrappers.__version__
