"""Are conversions and cached frames as fast as in an older version? Both run in turn.

    python benchmarks/versions.py

CPU time, which other programs on the machine change less than they change the clock's, of one
thread: a conversion of an HDF5 file, and hits in memory and on disk at 84 px, each next to hashing
the same frames. The figures are medians of the older version's, of this one's, and of the ratios
of neighbouring runs (below 1: faster now). The older version comes from the repository's history.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from common import report

ROOT = Path(__file__).parents[1]
PROGRAM = """
import json, sys, tempfile, time, warnings
from pathlib import Path
import h5py, numpy as np, torch
warnings.simplefilter("ignore")
torch.set_num_threads(1)
from stemob_wrappers import FrameCache, StemConfig, StemPipeline
from stemob_wrappers.datasets import invert_dataset
from stemob_wrappers.stem.identity import frame_digest

def microseconds(work, count):
    started = time.process_time()
    work()
    return 1e6 * (time.process_time() - started) / count

frames = np.random.default_rng(0).integers(0, 256, (256, 84, 84, 3), np.uint8)
found = {}
with tempfile.TemporaryDirectory() as folder:
    with h5py.File(f"{folder}/demo.hdf5", "w") as file:
        for index in range(4):
            file[f"data/demo_{index}/obs/front"] = frames[64 * index : 64 * index + 64]
    StemPipeline(StemConfig(), cache=False)(frames[:2])
    convert = lambda: invert_dataset(f"{folder}/demo.hdf5", f"{folder}/stem.hdf5")
    found["conversion"] = microseconds(convert, len(frames))
    caches = {"memory hit": FrameCache(memory_bytes=2**27),
              "disk hit": FrameCache(f"{folder}/cache", memory_bytes=0)}
    rounds = 5
    found["hash"] = microseconds(
        lambda: [frame_digest(frame) for _ in range(rounds) for frame in frames], rounds * 256)
    for name, cache in caches.items():
        pipeline = StemPipeline(StemConfig(), cache)
        pipeline(frames)
        def look_up():  # and drop each frame, as a control loop does
            for _ in range(rounds):
                for i in range(256):
                    pipeline(frames[i : i + 1])
        look_up()
        found[name] = microseconds(look_up, rounds * 256)
print(json.dumps(found))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--older", default="f03a22c", help="a commit")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "older.tar"
        command = ["git", "-C", str(ROOT), "archive", "-o", str(archive), arguments.older]
        subprocess.run([*command, "stemob_wrappers"], check=True)
        with tarfile.open(archive) as file:
            file.extractall(folder, filter="data")
        runs = [(measure(Path(folder)), measure(ROOT)) for _ in range(arguments.rounds)]
    rows = [
        {
            "what": name,
            "before": statistics.median(before[name] for before, _ in runs),
            "after": statistics.median(after[name] for _, after in runs),
            "ratio": statistics.median(after[name] / before[name] for before, after in runs),
        }
        for name in runs[0][0]
    ]
    columns = ("what", "before", "after", "ratio")
    report("versions", columns, rows, unit="CPU us a frame", older=arguments.older)


def measure(place: Path) -> dict[str, float]:
    """Run the program with the package of a place."""
    environment = {**os.environ, "PYTHONPATH": str(place), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-c", PROGRAM]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
