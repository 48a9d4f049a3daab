"""Interrupted, crowded, corrupt, full: the result is right or absent, and the way on is said."""

from __future__ import annotations

import fcntl
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from robomimic_files import contents, make_file

from stemob_wrappers.cache import FrameCache
from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets import (
    invert_dataset,
    merge_shards,
    read_provenance,
    verify_dataset,
)

CONFIG = StemConfig(inversion_steps=5)
CONVERT = """
import sys, warnings
from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets import invert_dataset
if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print("ready", flush=True)
    exec(sys.argv[3])
    invert_dataset(sys.argv[1], sys.argv[2], StemConfig(inversion_steps=5))
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_file(tmp_path_factory.mktemp("source") / "demo.hdf5", demos=8)


@pytest.fixture(scope="module")
def expected(source: Path) -> dict[str, Any]:
    target = source.with_name("stem.hdf5")
    invert_dataset(source, target, CONFIG)
    return contents(target)


def test_killed_conversions_resume_to_equal_data_sets(
    source: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    kill_and_resume(source, expected, tmp_path / "stem.hdf5", kills=5)


@pytest.mark.slow
def test_many_killed_conversions_resume_to_equal_data_sets(
    source: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    kills = min(200, int(os.environ.get("STEMOB_SOAK_COUNT", "200")))
    kill_and_resume(source, expected, tmp_path / "stem.hdf5", kills=kills)


def kill_and_resume(source: Path, expected: dict[str, Any], target: Path, kills: int) -> None:
    """Kill children at random moments of their conversion; every result must be the same.

    Converting is slowed to a tenth of a second a part, so that kills fall between and within parts;
    children are forked from one that has loaded everything.
    """
    from multiprocessing import get_context

    rng, context, killed, finished = random.Random(0), get_context("fork"), 0, 0
    parts = target.with_name(f"{target.name}.parts")
    for kill in range(kills):
        child = context.Process(target=_convert_slowly, args=(source, target))
        child.start()
        while kill == 0 and child.is_alive() and not list(parts.glob("demo_*")):
            time.sleep(0.01)  # a busy machine makes no part in the time that others are given
        child.join(timeout=0.05 + 0.6 * rng.random())
        if child.is_alive():
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
            child.join()
            killed += 1
        if target.exists():
            assert contents(target) == expected
            target.unlink()
            finished += 1
    summary = invert_dataset(source, target, CONFIG)
    assert contents(target) == expected
    assert killed
    assert finished or summary.resumed
    print(f"{kills} conversions, {killed} of them killed; {finished} left a finished file")


def _convert_slowly(source: Path, target: Path) -> None:
    import torch

    from stemob_wrappers.datasets.robomimic import source as robomimic

    torch.set_num_threads(1)  # the parent's threads are not in a forked child
    convert = robomimic.invert_block

    def slow(*args: Any) -> Any:
        time.sleep(0.02)
        return convert(*args)

    robomimic.invert_block = slow
    invert_dataset(source, target, CONFIG)


def test_killed_workers_go_with_their_parent(
    source: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    target = tmp_path / "stem.hdf5"
    two = "import functools; invert_dataset = functools.partial(invert_dataset, workers=2)"
    command = [sys.executable, "-c", CONVERT, str(source), str(target), two]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        children: set[int] = set()
        for _ in range(6000):
            time.sleep(0.02)
            children |= children_of(parent.pid)
            if list(tmp_path.glob("stem.hdf5.parts/demo_*")) or parent.poll() is not None:
                break
        parent.kill()
    assert len(children) >= 2
    for _ in range(1200):  # a busy machine takes long to start what then ends itself
        if not any(map(is_running, children)):
            break
        time.sleep(0.05)
    assert not any(map(is_running, children))
    if not target.exists():
        invert_dataset(source, target, CONFIG)
    assert contents(target) == expected


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children_of(pid: int) -> set[int]:
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return set()
    return set(map(int, listed.split()))


def test_workers_and_shards_change_no_byte(
    source: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    invert_dataset(source, tmp_path / "workers.hdf5", CONFIG, workers=2)
    assert contents(tmp_path / "workers.hdf5") == expected
    for count in (2, 3):
        shards = [tmp_path / f"{count}-{index}.hdf5" for index in range(count)]
        for index, shard in enumerate(shards):
            invert_dataset(source, shard, CONFIG, shard=(index, count))
            assert read_provenance(shard)["shard"]["index"] == index
        target = tmp_path / f"{count}.hdf5"
        assert merge_shards(target, list(reversed(shards))) == []
        assert contents(target) == expected
        with pytest.raises(FileExistsError):
            merge_shards(target, shards)
        with pytest.raises(ValueError, match=r"number \[1\] is missing|number \[1"):
            merge_shards(tmp_path / "x.hdf5", [shards[0], *shards[2:]])
        with pytest.raises(ValueError, match="same shard"):
            merge_shards(tmp_path / "x.hdf5", [shards[0], shards[0]])
    with pytest.raises(ValueError, match="whole data set"):
        merge_shards(tmp_path / "x.hdf5", [tmp_path / "2.hdf5"])
    with pytest.raises(ValueError, match="another conversion"):
        merge_shards(tmp_path / "x.hdf5", [tmp_path / "2-0.hdf5", tmp_path / "3-1.hdf5"])


def test_shards_with_draws_and_filter(source: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"draws": 2, "filter_key": "train", "keys": ["eye_image"]}
    invert_dataset(source, tmp_path / "whole.hdf5", CONFIG, **options)
    shards = [tmp_path / f"{index}.hdf5" for index in range(3)]
    for index, shard in enumerate(shards):
        invert_dataset(source, shard, CONFIG, shard=(index, 3), **options)
    merge_shards(tmp_path / "merged.hdf5", shards)
    assert contents(tmp_path / "merged.hdf5") == contents(tmp_path / "whole.hdf5")


def test_batch_size_stays_within_a_grey_level(source: Path, tmp_path: Path) -> None:
    for size in (1, 4):
        invert_dataset(source, tmp_path / f"{size}.hdf5", CONFIG, batch_size=size, num_trajs=1)
    with h5py.File(tmp_path / "1.hdf5") as one, h5py.File(tmp_path / "4.hdf5") as four:
        pair: list[Any] = [file["data/demo_0/obs/eye_image"] for file in (one, four)]
        assert np.abs(pair[0][:].astype(int) - pair[1][:]).max() <= 1


def test_target_is_never_overwritten_unasked(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "stem.hdf5"
    target.write_text("precious")
    with pytest.raises(FileExistsError, match="overwrite"):
        invert_dataset(source, target, CONFIG, num_trajs=1)
    assert target.read_text() == "precious"
    assert not target.with_name("stem.hdf5.parts").exists()
    invert_dataset(source, target, CONFIG, num_trajs=1, overwrite=True)
    assert read_provenance(target)["config"] == CONFIG.to_dict()
    with pytest.raises(ValueError, match="the same"):
        invert_dataset(target, target, CONFIG, overwrite=True)


def test_an_empty_demo_and_a_failing_page_stop_no_conversion(tmp_path: Path) -> None:
    source = make_file(tmp_path / "demo.hdf5", demos=2)
    with h5py.File(source, "r+") as file:
        obs: Any = file["data/demo_1/obs"]
        for name in list(obs):
            image = obs[name]
            del obs[name]
            obs[name] = image[:0]
    target = tmp_path / "stem.hdf5"
    target.with_name("stem.hdf5.html").mkdir()  # in the place of the page
    with pytest.warns(RuntimeWarning, match="finished, but its page"):
        summary = invert_dataset(source, target, CONFIG)
    assert (summary.items, summary.failed, summary.contact_sheet) == (2, [], None)
    assert not target.with_name("stem.hdf5.parts").exists()
    assert verify_dataset(source, target) == []
    target.with_name("stem.hdf5.html").rmdir()
    assert invert_dataset(source, target, CONFIG, overwrite=True).contact_sheet is not None


def test_a_converted_file_is_not_converted_again(source: Path, tmp_path: Path) -> None:
    invert_dataset(source, tmp_path / "stem.hdf5", CONFIG, num_trajs=1)
    with pytest.raises(ValueError, match="stem frames already"):
        invert_dataset(tmp_path / "stem.hdf5", tmp_path / "twice.hdf5", CONFIG)
    assert [path.name for path in tmp_path.glob("twice*")] == []


def test_a_folder_of_parts_that_is_not_ours_is_left_alone(source: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "stem.hdf5.parts" / "notes.txt"
    theirs.parent.mkdir()
    theirs.write_text("precious")
    with pytest.raises(ValueError, match="holds something else"):
        invert_dataset(source, tmp_path / "stem.hdf5", CONFIG, overwrite=True)
    assert theirs.read_text() == "precious"
    assert list(theirs.parent.iterdir()) == [theirs]


def test_parts_of_another_precision_are_not_mixed_in(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "stem.hdf5"
    interrupt(source, target)
    with pytest.raises(FileExistsError, match="dtype differ"):
        invert_dataset(source, target, CONFIG, dtype="float64")


def test_a_given_cache_keeps_its_frames(source: Path, tmp_path: Path) -> None:
    cache = FrameCache()
    cache.put(bytes(16), np.zeros((8, 8, 3), np.uint8))
    invert_dataset(source, tmp_path / "stem.hdf5", CONFIG, num_trajs=1, cache=cache)
    assert cache.get(bytes(16)) is not None


def test_a_dead_worker_is_explained(source: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from stemob_wrappers.datasets import invert_dataset\n"
        "invert_dataset(sys.argv[1], sys.argv[2], dict(inversion_steps=5), workers=2)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    command = [sys.executable, str(script), str(source), str(tmp_path / "stem.hdf5")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "out of memory" in result.stderr
    assert 'if __name__ == "__main__"' in result.stderr.rsplit("OSError", 1)[1]


def test_parts_of_another_conversion_are_not_mixed_in(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "stem.hdf5"
    interrupt(source, target)
    with pytest.raises(FileExistsError, match="fingerprint"):
        invert_dataset(source, target, CONFIG.replace(seed=1))
    summary = invert_dataset(source, target, CONFIG.replace(seed=1), overwrite=True)
    assert summary.resumed == 0
    assert read_provenance(target)["config"]["seed"] == 1


def interrupt(source: Path, target: Path) -> None:
    """Leave the parts of a conversion that stopped after its first demos."""
    with pytest.MonkeyPatch.context() as patch:
        from stemob_wrappers.datasets.robomimic.source import RobomimicSource

        convert = RobomimicSource.convert

        def stop(self: Any, item: Any, *args: Any) -> Any:
            if item.name == "demo_3":
                raise KeyboardInterrupt
            return convert(self, item, *args)

        patch.setattr(RobomimicSource, "convert", stop)
        with pytest.raises(KeyboardInterrupt):
            invert_dataset(source, target, CONFIG)
    assert list(target.with_name(target.name + ".parts").glob("demo_*.hdf5"))


def test_second_process_on_one_target_is_refused(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "stem.hdf5"
    command = [sys.executable, "-c", CONVERT, str(source), str(target)]
    wait = "from stemob_wrappers.datasets import invert; invert._plan = lambda *a: input()"
    with subprocess.Popen([*command, wait], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        lock = tmp_path / "stem.hdf5.parts" / "lock"
        for _ in range(600):
            time.sleep(0.05)
            if lock.exists() and is_held(lock):
                break
        with pytest.raises(BlockingIOError, match="another process"):
            invert_dataset(source, target, CONFIG)
        first.kill()
    summary = invert_dataset(source, target, CONFIG)  # the lock went with its holder
    assert summary.items == 8


def is_held(lock: Path) -> bool:
    with open(lock) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_full_disk_leaves_source_and_finished_parts_and_says_how_to_go_on(
    source: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    """A limit on file sizes stands for the full disk: it hits the assembly, after every part."""
    target, before = tmp_path / "stem.hdf5", source.read_bytes()
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000))"
    command = [sys.executable, "-c", CONVERT, str(source), str(target), limit]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1, result.stderr  # not a crash
    assert re.search(r"source is untouched and 8 finished parts are kept", result.stderr)
    assert source.read_bytes() == before
    assert not target.exists()
    summary = invert_dataset(source, target, CONFIG)
    assert summary.resumed == 8
    assert contents(target) == expected


@pytest.mark.slow
def test_really_full_disk(source: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    try:
        command = [sys.executable, "-c", CONVERT, str(source), str(disk / "stem.hdf5"), ""]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 1, result.stderr
        assert "No space left on device" in result.stderr
        subprocess.run(["mount", "-o", "remount,size=9m", str(disk)], check=True)
        assert invert_dataset(source, disk / "stem.hdf5", CONFIG).resumed > 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_corrupt_trajectory_is_named_and_the_rest_finished(tmp_path: Path) -> None:
    source = make_file(tmp_path / "demo.hdf5", demos=4, length=12)
    with h5py.File(source) as file:
        image: Any = file["data/demo_1/obs/eye_image"]
        chunk = image.id.get_chunk_info(5)
    with open(source, "r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"\xff" * 64)
    summary = invert_dataset(source, tmp_path / "stem.hdf5", CONFIG)
    assert summary.items == 3
    assert len(summary.failed) == 1
    assert summary.failed[0].startswith("demo_1: /data/demo_1/obs/eye_image cannot be read")
    with h5py.File(tmp_path / "stem.hdf5") as file:
        data: Any = file["data"]
        masks: Any = file["mask"]
        assert sorted(data) == ["demo_0", "demo_2", "demo_3"]
        assert data.attrs["total"] == 36
        assert list(masks["train"][:]) == [b"demo_0", b"demo_2"]


def test_contact_sheet_shows_frames_before_and_after(source: Path, tmp_path: Path) -> None:
    summary = invert_dataset(source, tmp_path / "stem.hdf5", CONFIG, num_trajs=2)
    assert summary.contact_sheet is not None
    page = summary.contact_sheet.read_text()
    assert page.count("<figure>") == 2 * 2 * 4
    assert page.count("data:image/png;base64,") == 2 * page.count("<figure>")
    assert str(summary).startswith(f"{tmp_path / 'stem.hdf5'}: 2 items")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"draws": 0}, "draws must be 1 or more"),
        ({"workers": 0}, "workers must be 1 or more"),
        ({"batch_size": 0}, "batch_size must be 1 or more"),
        ({"shard": (2, 2)}, "0 to 1"),
    ],
)
def test_bad_arguments(
    source: Path, tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        invert_dataset(source, tmp_path / "stem.hdf5", CONFIG, **arguments)


@pytest.mark.slow
def test_memory_stays_flat_on_large_files(tmp_path: Path) -> None:
    """At least 4 GB of frames, at most 600 MB above the idle process (STEMOB_SOAK_MB: fewer)."""
    megabytes = int(os.environ.get("STEMOB_SOAK_MB", "4200"))
    source = tmp_path / "large.hdf5"
    length, size = 1000, 128
    frames = np.random.default_rng(0).integers(0, 256, (length, size, size, 3), dtype=np.uint8)
    with h5py.File(source, "w") as file:
        for demo in range(max(1, megabytes * 2**20 // frames.nbytes + 1)):
            data = file.create_dataset(
                f"data/demo_{demo}/obs/front", frames.shape, np.uint8, chunks=(1, size, size, 3)
            )
            data[:] = frames + np.uint8(demo)
    code = (
        "import sys, resource, numpy as np, warnings; warnings.simplefilter('ignore')\n"
        "from stemob_wrappers import StemConfig, StemPipeline\n"
        "from stemob_wrappers.datasets import invert_dataset, robomimic\n"
        "config = StemConfig(inversion_steps=5)\n"
        "StemPipeline(config, cache=False)(np.zeros((64, 32, 32, 3), np.uint8))\n"
        "idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "invert_dataset(sys.argv[1], sys.argv[2], config)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle) / 1024)\n"
    )
    command = [sys.executable, "-c", code, str(source), str(tmp_path / "stem.hdf5")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    print(f"{source.stat().st_size / 2**20:.0f} MB file: {result.stdout} MB above idle")
    assert float(result.stdout) <= 600
