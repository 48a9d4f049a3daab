"""Two versions of this package share one folder of frames, and neither is given a wrong one.

The older one comes from the history of the repository. STEMOB_SOAK_COUNT caps the slow test.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from stemob_wrappers.cache.disk import DiskTier

ROOT = Path(__file__).parents[2]
OLDER = "f03a22c"  # before the folder was opened once, and the counter no longer waited for
BUDGET = 100 * 4096

# What each version runs: mixed reads and writes with eviction, then stems with and without a cache.
PROGRAM = """
import random, sys, warnings
import numpy as np
import stemob_wrappers
from stemob_wrappers.cache import FrameCache
from stemob_wrappers.cache.disk import DiskTier

warnings.simplefilter("error")
place, folder, operations, stems, seed = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
assert stemob_wrappers.__file__.startswith(place), stemob_wrappers.__file__
keys = [random.Random(number).randbytes(16) for number in range(200)]
frames = [np.random.default_rng(n).integers(0, 256, (8, 8, 3), np.uint8) for n in range(200)]
rng, tier, hits = random.Random(seed), DiskTier(folder, %d), 0
for count in range(operations):
    number = rng.randrange(200)
    if rng.random() < 0.5:
        tier.put(keys[number], frames[number])
    else:
        found = tier.get(keys[number])
        hits += found is not None
        assert found is None or (found == frames[number]).all(), number
    if count %% 500 == 499:
        tier.prune(tier.max_bytes // 2)
        assert not tier.verify()[1]
    if count %% 5000 == 4999:
        tier.clear()
assert hits
if stems:
    warnings.simplefilter("ignore")
    from stemob_wrappers import StemConfig, StemPipeline
    config = StemConfig(inversion_steps=5)
    shown = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), np.uint8)
    right = StemPipeline(config, cache=False)(shown)
    for _ in range(stems):
        cache = FrameCache(folder, memory_bytes=0, disk_bytes=%d)
        given = StemPipeline(config, cache=cache)(shown)
        assert np.abs(given.astype(int) - right).max() <= 1
print(operations, "operations", hits, "hits")
""" % (BUDGET, BUDGET)  # fmt: skip  # noqa: UP031


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("older")
    command = ["git", "-C", str(ROOT), "archive", "-o", str(place / "a.tar"), OLDER]
    if subprocess.run([*command, "stemob_wrappers"], capture_output=True).returncode:
        pytest.skip(f"the history of this checkout has no {OLDER}")
    with tarfile.open(place / "a.tar") as archive:
        archive.extractall(place, filter="data")
    return place


def test_two_versions_share_a_folder(tmp_path: Path, older: Path) -> None:
    run_together([ROOT, older], tmp_path, operations=3_000, stems=0)


@pytest.mark.slow
def test_the_wheel_shares_a_folder_with_an_older_version(tmp_path: Path, older: Path) -> None:
    operations = min(200_000, int(os.environ.get("STEMOB_SOAK_COUNT", "200000")))
    wheel = unpacked_wheel(tmp_path / "wheel")
    run_together([wheel, older] * 2, tmp_path / "cache", operations, stems=20)


def unpacked_wheel(place: Path) -> Path:
    shutil.copytree(ROOT / "stemob_wrappers", place / "source" / "stemob_wrappers")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place / "source" / name)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", place, place / "source"], check=True)
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(place / "installed")
    return place / "installed"


def run_together(places: list[Path], folder: Path, operations: int, stems: int) -> None:
    programs = []
    for seed, place in enumerate(places):
        environment = {**os.environ, "PYTHONPATH": str(place), "OMP_NUM_THREADS": "1"}
        arguments = [str(place), str(folder), str(operations), str(stems), str(seed)]
        program = subprocess.Popen(
            [sys.executable, "-P", "-c", PROGRAM, *arguments],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        programs.append(program)
    for program in programs:
        said, _ = program.communicate()
        assert program.returncode == 0, said
        print(said)
    tier = DiskTier(folder, BUDGET)
    tier.prune(BUDGET)
    assert tier.stats().bytes_used <= BUDGET
    assert tier.verify()[1] == []
