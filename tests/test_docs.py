"""The examples in the docstrings run and print what they say."""

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest

import stemob_wrappers

# Their examples make robosuite envs or worker processes: a process of their own, and seconds.
HEAVY = ["envs.robosuite", "vector", "wrappers.observation", "wrappers.sb3", "wrappers.view"]
LIGHT = sorted(
    name
    for _, full, _ in pkgutil.walk_packages(stemob_wrappers.__path__, "stemob_wrappers.")
    if (name := full.removeprefix("stemob_wrappers.")) not in HEAVY
)


@pytest.mark.parametrize("name", LIGHT)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(f"stemob_wrappers.{name}")
    failures, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failures == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", HEAVY)
def test_heavy_examples(name):
    code = f"import doctest, stemob_wrappers.{name} as m; exit(doctest.testmod(m).failed)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
