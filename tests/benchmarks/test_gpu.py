"""The benchmark of CUDA runs from end to end, in little, where there is none."""

import runpy
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RESULT = BENCHMARKS / "results" / "gpu.json"


@pytest.fixture
def run(monkeypatch, capsys):
    def run_benchmark(*arguments):
        monkeypatch.syspath_prepend(str(BENCHMARKS))
        monkeypatch.setattr(sys, "argv", ["gpu.py", *arguments])
        runpy.run_path(str(BENCHMARKS / "gpu.py"), run_name="__main__")
        return capsys.readouterr().out

    return run_benchmark


def test_it_runs_in_little_and_leaves_the_results_alone(run):
    before = RESULT.read_bytes() if RESULT.exists() else None
    printed = run("--tiny")
    for said in (
        "embedded",
        "TAESD",
        "KL",
        "SD 1.5, DDIM",
        "eager",
        "recordings",
        "copies_to_host",
    ):
        assert said in printed
    assert "left out: 6 minutes" not in printed
    assert (RESULT.read_bytes() if RESULT.exists() else None) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA")
def test_without_cuda_it_says_so_and_fails(run):
    with pytest.raises(SystemExit, match=r"^benchmarks/gpu.py needs a CUDA GPU.*found here\.$"):
        run()
