"""An evaluation from a script without a guard: one env runs, more are refused at once."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import pointing
from stemob_wrappers.evaluation import Condition, evaluate
{guard}evaluate(
    [Condition("raw", "pointing:guess")], "pointing:fake/Pointing-v0",
    suite=[], episodes=2, num_envs={num_envs}, out="out",
)
"""


def run(folder, num_envs, guard=""):
    (folder / "script.py").write_text(SCRIPT.format(num_envs=num_envs, guard=guard))
    places = os.pathsep.join(sys.path)
    return subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        check=False,
    )


def test_one_env_runs_in_the_process_of_the_script(tmp_path):
    done = run(tmp_path, 1)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "results.json").is_file()


def test_several_envs_need_the_guard(tmp_path):
    refused = run(tmp_path, 2)
    assert refused.returncode == 1
    assert "put what line 4 does under `if __name__" in refused.stderr
    assert refused.stderr.count("Traceback") == 1  # before any worker began


@pytest.mark.slow
def test_several_envs_run_under_the_guard(tmp_path):
    assert run(tmp_path, 2, 'if __name__ == "__main__": ').returncode == 0
