"""The disk tier: never a wrong frame, whatever happens to its files, its folder or its writers.

The large counts are marked slow (`make soak`); STEMOB_SOAK_COUNT caps them for a trial.
"""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
import pickle
import random
import resource
import shutil
import signal
import stat
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemob_wrappers.cache import FrameCache, as_cache, default_folder, recorded_cache
from stemob_wrappers.cache import disk as disk_module
from stemob_wrappers.cache.disk import DiskTier
from stemob_wrappers.cache.entry import HEADER_BYTES, MAX_FRAME_BYTES, pack_header, parse
from stemob_wrappers.config import StemConfig
from stemob_wrappers.stem.pipeline import StemPipeline

ENTRY_BYTES = 4096  # on disk, of the small frames used here


def capped(count: int) -> int:
    return min(count, int(os.environ.get("STEMOB_SOAK_COUNT", count)))


def key_of(number: int) -> bytes:
    return random.Random(number).randbytes(16)


def frame_of(number: int, size: int = 8) -> np.ndarray:
    """The one frame that may ever be found under ``key_of(number)``."""
    return np.random.default_rng(number).integers(0, 256, (size, size, 3), dtype=np.uint8)


def assert_holds(cache: FrameCache | DiskTier, number: int) -> None:
    found = cache.get(key_of(number))
    assert found is not None
    np.testing.assert_array_equal(found, frame_of(number))


def entry_path(tier: DiskTier, key: bytes) -> Path:
    return tier.path / disk_module.FOLDER / key[:1].hex() / key[1:].hex()


@pytest.fixture
def tier(tmp_path: Path) -> DiskTier:
    return DiskTier(tmp_path / "cache", 2**30)


# What is stored comes back


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.binary(min_size=16, max_size=16))
def test_entry_gives_back_the_frame_and_no_other_key_does(shape: list[int], key: bytes) -> None:
    frame = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    data = pack_header(key, frame) + frame.tobytes()
    parsed = parse(data, key)
    assert parsed is not None
    np.testing.assert_array_equal(parsed, frame)
    assert parse(data, bytes([key[0] ^ 1]) + key[1:]) is None


def test_another_process_reads_what_this_one_stored(tier: DiskTier) -> None:
    tier.put(key_of(1), frame_of(1))
    code = (
        "import sys; from stemob_wrappers.cache import FrameCache;"
        "frame = FrameCache(sys.argv[1]).get(bytes.fromhex(sys.argv[2]));"
        "sys.stdout.buffer.write(frame.tobytes())"
    )
    command = [sys.executable, "-c", code, str(tier.path), key_of(1).hex()]
    assert subprocess.run(command, capture_output=True, check=True).stdout == frame_of(1).tobytes()


def test_frame_cache_reads_through_memory_to_disk(tmp_path: Path) -> None:
    FrameCache(tmp_path).put(key_of(1), frame_of(1))
    cache = FrameCache(tmp_path)
    found = cache.get(key_of(1))
    assert found is not None
    found[:] = 0  # the caller's own
    assert cache.disk is not None
    cache.disk.clear()
    again = cache.get(key_of(1))
    assert again is not None
    np.testing.assert_array_equal(again, frame_of(1))


def test_pickled_cache_opens_the_same_folder(tmp_path: Path) -> None:
    cache = FrameCache(tmp_path, memory_bytes=1000, disk_bytes=2**20)
    cache.put(key_of(1), frame_of(1))
    copy = pickle.loads(pickle.dumps(cache))
    assert (copy.memory_bytes, copy.disk_bytes) == (1000, 2**20)
    np.testing.assert_array_equal(copy.get(key_of(1)), frame_of(1))


def test_where_the_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEMOB_CACHE", raising=False)
    assert FrameCache().disk is None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    if sys.platform == "linux":
        assert default_folder() == tmp_path / "xdg" / "stemob_wrappers"
    monkeypatch.setenv("STEMOB_CACHE", str(tmp_path / "named"))
    assert FrameCache().path == default_folder() == tmp_path / "named"
    assert recorded_cache(tmp_path) == str(tmp_path)
    assert as_cache(False) is None
    with pytest.raises(TypeError, match="cache must be"):
        as_cache(3)  # type: ignore[arg-type]


def test_a_recorded_cache_has_path_and_budgets(tmp_path: Path) -> None:
    for path in (tmp_path, None):
        recorded = recorded_cache(FrameCache(path, memory_bytes=1000, disk_bytes=2000))
        rebuilt = as_cache(json.loads(json.dumps(recorded)))
        assert rebuilt is not None
        assert (rebuilt.path, rebuilt.memory_bytes, rebuilt.disk_bytes) == (path, 1000, 2000)
    with pytest.raises(TypeError, match="budget"):
        as_cache({"budget": 3})


def test_a_frame_that_was_read_may_be_changed(tier: DiskTier) -> None:
    tier.put(key_of(1), frame_of(1))
    found = tier.get(key_of(1))
    assert found is not None
    found[:] = 0
    assert_holds(tier, 1)


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="needs a folder"):
        FrameCache(tmp_path / "file")


# Damage is a miss


def test_every_flipped_header_byte_is_a_miss(tier: DiskTier) -> None:
    tier.put(key_of(1), frame_of(1))
    path = entry_path(tier, key_of(1))
    sound = path.read_bytes()
    assert len(sound) == HEADER_BYTES + frame_of(1).nbytes
    for position in range(HEADER_BYTES):
        for flip in (0x01, 0x80, 0xFF):
            damaged = bytearray(sound)
            damaged[position] ^= flip
            path.write_bytes(damaged)
            assert tier.get(key_of(1)) is None, position
    path.write_bytes(sound)
    assert tier.get(key_of(1)) is not None


@pytest.mark.parametrize(
    "flips", [500, pytest.param(10_000, marks=pytest.mark.slow)], ids="{} flips".format
)
def test_every_flipped_payload_bit_is_a_miss(tier: DiskTier, flips: int) -> None:
    tier.put(key_of(1), frame_of(1, 84))
    path = entry_path(tier, key_of(1))
    sound = path.read_bytes()
    rng = random.Random(0)
    for _ in range(capped(flips)):
        damaged = bytearray(sound)
        damaged[rng.randrange(HEADER_BYTES, len(sound))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        assert tier.get(key_of(1)) is None


@pytest.mark.parametrize(
    "count", [5_000, pytest.param(1_000_000, marks=pytest.mark.slow)], ids="{} files".format
)
def test_fuzzed_entries_are_misses_and_allocate_little(tier: DiskTier, count: int) -> None:
    """Truncated, extended, spliced and random bytes; a tenth of them as files."""
    key, rng = key_of(1), random.Random(0)
    tier.put(key, frame_of(1))
    path = entry_path(tier, key)
    sound = path.read_bytes()
    tracemalloc.start()
    for number in range(capped(count)):
        kind = number % 4
        if kind == 0:
            data = sound[: rng.randrange(len(sound))]
        elif kind == 1:
            data = sound + rng.randbytes(rng.randrange(1, 64))
        elif kind == 2:
            start = rng.randrange(len(sound) - 8)
            data = sound[:start] + rng.randbytes(8) + sound[start + 8 :]
        else:
            data = sound[: rng.randrange(HEADER_BYTES)] + rng.randbytes(rng.randrange(512))
        if number % 10:
            found = parse(data, key)
        else:
            path.write_bytes(data)
            found = tier.get(key)
        assert found is None or data == sound
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def test_a_huge_file_with_a_sound_header_is_not_read(tier: DiskTier) -> None:
    tier.put(key_of(1), frame_of(1))
    path = entry_path(tier, key_of(1))
    header = bytearray(path.read_bytes()[:HEADER_BYTES])
    struct.pack_into("<4IQ", header, 20, 2**16, 2**16, 3, 0, 3 * 2**32)
    with open(path, "wb") as file:
        file.write(header)
        file.truncate(HEADER_BYTES + MAX_FRAME_BYTES + 1)  # sparse
    tracemalloc.start()
    assert tier.get(key_of(1)) is None
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("what", ["folder", "link", "pipe", "another entry"])
def test_foreign_things_in_the_place_of_an_entry_are_misses(tier: DiskTier, what: str) -> None:
    tier.put(key_of(1), frame_of(1))
    tier.put(key_of(2), frame_of(2))
    path = entry_path(tier, key_of(1))
    elsewhere = path.rename(tier.path / "elsewhere")
    if what == "folder":
        path.mkdir()
    elif what == "link":
        path.symlink_to(elsewhere)
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(entry_path(tier, key_of(2)).read_bytes())
    assert tier.get(key_of(1)) is None


def test_linked_folders_are_not_followed(tier: DiskTier, tmp_path: Path) -> None:
    tier.put(key_of(1), frame_of(1))
    folder = entry_path(tier, key_of(1)).parent
    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")
    fresh = DiskTier(tier.path, 2**30)
    with pytest.warns(RuntimeWarning, match="not a folder of this user"):
        assert fresh.get(key_of(1)) is None
    fresh.clear()
    assert len(list((tmp_path / "moved").iterdir())) == 1


def test_only_the_owner_may_enter(tier: DiskTier) -> None:
    tier.put(key_of(1), frame_of(1))
    root = Path(tier._root)
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert stat.S_IMODE(entry_path(tier, key_of(1)).stat().st_mode) == 0o600


# The budget


def test_longest_unread_goes_first(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path, 10 * ENTRY_BYTES)
    for number in range(10):
        tier.put(key_of(number), frame_of(number))
    an_hour_ago = time.time() - 3700
    for number in range(10):
        os.utime(entry_path(tier, key_of(number)), times=(0, an_hour_ago + number))
    assert tier.get(key_of(0)) is not None  # read, so touched
    tier.put(key_of(10), frame_of(10))
    held = {number for number in range(11) if tier.get(key_of(number)) is not None}
    assert held == {0, 3, 4, 5, 6, 7, 8, 9, 10}
    assert tier.stats().bytes_used <= tier.max_bytes


def test_an_entry_is_touched_at_most_hourly(tier: DiskTier) -> None:
    tier.put(key_of(1), frame_of(1))
    path = entry_path(tier, key_of(1))
    for age, touched in ((3000, False), (4000, True)):
        then = time.time() - age
        os.utime(path, times=(then, then))
        tier.get(key_of(1))
        assert (path.stat().st_mtime > then + 1) == touched


def test_budget_holds_when_the_counter_is_lost_or_wrong(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path, 20 * ENTRY_BYTES)
    for number in range(100):
        if number % 10 == 0:
            counter = Path(tier._root) / "used"
            if counter.exists():
                counter.write_bytes(b"torn" if number % 20 else b"\xff" * 7 + b"\x7f")
        tier.put(key_of(number), frame_of(number))
        assert tier.stats().bytes_used <= 21 * ENTRY_BYTES
    assert tier.get(key_of(99)) is not None


def test_old_temporaries_are_swept_and_young_ones_left(tier: DiskTier) -> None:
    tier.put(key_of(1), frame_of(1))
    old, young = Path(tier._root, "tmp", "old"), Path(tier._root, "tmp", "young")
    for path in (old, young):
        path.write_bytes(b"half a frame")
    os.utime(old, times=(0, time.time() - 7200))
    DiskTier(tier.path, 2**30).put(key_of(2), frame_of(2))
    assert not old.exists()
    assert young.exists()


def test_looking_after_the_folder(tier: DiskTier) -> None:
    for number in range(8):
        tier.put(key_of(number), frame_of(number))
    entry_path(tier, key_of(3)).write_bytes(b"torn")
    sound, unsound = tier.verify()
    assert (sound, unsound) == (7, [entry_path(tier, key_of(3))])
    tier.verify(remove=True)
    assert tier.verify() == (7, [])
    assert tier.prune(4 * ENTRY_BYTES) == 4
    assert tier.stats().entries == tier.clear() == 3
    assert tier.stats().entries == 0
    tier.put(key_of(1), frame_of(1))
    assert tier.get(key_of(1)) is not None


def test_clearing_waits_for_another_eviction_and_storing_does_not(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path, 2 * ENTRY_BYTES)
    tier.put(key_of(0), frame_of(0))
    with open(tmp_path / disk_module.FOLDER / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for number in range(1, 4):
            tier.put(key_of(number), frame_of(number))
        assert tier.stats().entries == 4
        release = threading.Timer(0.3, fcntl.flock, (lock, fcntl.LOCK_UN))
        release.start()
        assert tier.clear() == 4
        release.join()


def test_a_folder_removed_under_way_is_made_anew(tier: DiskTier) -> None:
    tier.put(key_of(1), frame_of(1))
    shutil.rmtree(tier.path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            tier.put(key_of(2), frame_of(2))
    assert_holds(tier, 2)


# Failing disks


FAILURES = {"full": errno.ENOSPC, "read-only": errno.EROFS, "denied": errno.EACCES,
            "too many files": errno.EMFILE}  # fmt: skip


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("call", ["open", "writev", "rename", "mkdir"])
def test_a_failing_disk_warns_once_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str, call: str
) -> None:
    cache = FrameCache(tmp_path / "cache", memory_bytes=0)

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(FAILURES[failure], os.strerror(FAILURES[failure]))

    with monkeypatch.context() as patch, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        patch.setattr(disk_module.os, call, fail)
        for number in range(20):
            cache.put(key_of(number), frame_of(number))
            assert cache.get(key_of(number)) is None
    assert [warning.category for warning in caught] == [RuntimeWarning]
    assert "could not" in str(caught[0].message)
    cache.put(key_of(1), frame_of(1))  # the disk is well again
    assert_holds(cache, 1)
    assert cache.disk is not None
    assert cache.disk.stats().temporaries == 0


def test_really_too_many_open_files(tmp_path: Path) -> None:
    """In a process of its own: elsewhere a thread may close a file at any moment."""
    cache = FrameCache(tmp_path, memory_bytes=0)
    cache.put(key_of(1), frame_of(1))
    code = (
        "import contextlib, os, resource, sys, warnings, numpy as np\n"
        "from stemob_wrappers.cache import FrameCache\n"
        "cache = FrameCache(sys.argv[1], memory_bytes=0)\n"
        "key = bytes.fromhex(sys.argv[2])\n"
        "assert cache.get(key) is not None\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "taken = []\n"
        "with contextlib.suppress(OSError):\n"
        "    while True:\n"
        "        taken.append(os.open('/dev/null', os.O_RDONLY))\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    for _ in range(3):\n"
        "        assert cache.get(key) is None\n"
        "        cache.put(bytes(16), np.ones((8, 8, 3), np.uint8))\n"
        "for descriptor in taken:\n"
        "    os.close(descriptor)\n"
        "told = ['Too many open files' in str(warning.message) for warning in caught]\n"
        "assert told == [True], told\n"
        "assert cache.get(key) is not None\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path), key_of(1).hex()], check=True)
    assert_holds(cache, 1)


def test_a_file_that_cannot_be_written_whole_leaves_nothing(tmp_path: Path) -> None:
    """A file size limit is what a full disk looks like to a writer: a short write."""
    code = (
        "import resource, sys, warnings, numpy as np\n"
        "from stemob_wrappers.cache import FrameCache\n"
        "cache = FrameCache(sys.argv[1], memory_bytes=0)\n"
        "cache.put(bytes(16), np.zeros((4, 4, 3), np.uint8))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    for number in range(5):\n"
        "        cache.put(bytes([number]) * 16, np.ones((64, 64, 3), np.uint8))\n"
        "assert len(caught) == 1, caught\n"
        "assert cache.get(bytes([1]) * 16) is None\n"
        "assert cache.get(bytes(16)).sum() == 0 if cache.get(bytes(16)) is not None else True\n"
        "assert cache.disk.stats().temporaries == 0\n"
        "assert cache.disk.verify()[1] == []\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


# Many at once, and killed


def _write_for_ever(path: str, started: int) -> None:
    tier = DiskTier(path, 2**30)
    for number in range(started, 2**31):
        tier.put(key_of(number % 64), frame_of(number % 64, 84))


@pytest.mark.parametrize(
    "kills", [50, pytest.param(1000, marks=pytest.mark.slow)], ids="{} kills".format
)
def test_killed_writers_leave_no_wrong_frame(tmp_path: Path, kills: int) -> None:
    context, rng = multiprocessing.get_context("fork"), random.Random(0)
    for number in range(capped(kills)):
        writer = context.Process(target=_write_for_ever, args=(str(tmp_path), number))
        writer.start()
        time.sleep(0.005 + 0.02 * rng.random())
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
    tier = DiskTier(tmp_path, 2**30)
    assert tier.verify()[1] == []
    found = 0
    for number in range(64):
        frame = tier.get(key_of(number))
        if frame is not None:
            found += 1
            np.testing.assert_array_equal(frame, frame_of(number, 84))
    assert found
    tier.put(key_of(1), frame_of(1, 84))
    assert tier.get(key_of(1)) is not None


def _mixed_operations(path: str, seed: int, operations: int, budget: int) -> None:
    warnings.simplefilter("error")
    rng, tier = random.Random(seed), DiskTier(path, budget)
    frames = {number: frame_of(number) for number in range(200)}
    for count in range(operations):
        number = rng.randrange(200)
        if rng.random() < 0.5:
            tier.put(key_of(number), frames[number])
        else:
            found = tier.get(key_of(number))
            assert found is None or np.array_equal(found, frames[number])
        if count % 500 == 499:
            tier.prune(budget // 2)
            tier.verify()
            tier.stats()
        if count % 1000 == 999 and seed == 0:
            tier.clear()


@pytest.mark.parametrize(
    ("processes", "operations"),
    [(4, 2_000), pytest.param(16, 100_000, marks=pytest.mark.slow)],
    ids="{}".format,
)
def test_processes_share_a_folder(tmp_path: Path, processes: int, operations: int) -> None:
    operations = capped(operations)
    budget = 100 * ENTRY_BYTES
    context = multiprocessing.get_context("fork")
    workers = [
        context.Process(target=_mixed_operations, args=(str(tmp_path), seed, operations, budget))
        for seed in range(processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * processes
    tier = DiskTier(tmp_path, budget)
    tier.put(key_of(0), frame_of(0))
    assert tier.stats().bytes_used <= 1.1 * budget
    assert tier.verify()[1] == []


def test_threads_share_a_cache(tmp_path: Path) -> None:
    cache = FrameCache(tmp_path, memory_bytes=10_000, disk_bytes=50 * ENTRY_BYTES)
    wrong: list[int] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(200):
            number = rng.randrange(80)
            found = cache.get(key_of(number))
            if found is None:
                cache.put(key_of(number), frame_of(number))
            elif not np.array_equal(found, frame_of(number)):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(
    "steps", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)], ids="{} steps".format
)
def test_cached_steps_leak_neither_memory_nor_descriptors(tmp_path: Path, steps: int) -> None:
    cache = FrameCache(tmp_path, memory_bytes=64 * 768, disk_bytes=200 * ENTRY_BYTES)
    pipeline = StemPipeline(StemConfig(inversion_steps=5), cache)
    frames = np.stack([frame_of(number, 16) for number in range(150)])

    def step(count: int) -> None:  # two thirds of the frames come from disk
        for number in range(count):
            pipeline(frames[number % 150 : number % 150 + 1])

    step(2_000)
    computed = pipeline.stats.misses
    before = resident_bytes(), len(os.listdir("/proc/self/fd"))
    step(capped(steps))
    after = resident_bytes(), len(os.listdir("/proc/self/fd"))
    assert pipeline.stats.misses == computed
    assert after[0] < 1.01 * before[0]
    assert after[1] == before[1]


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
