"""The cache beside other users, stopped processes, forks, and disks that cannot be written."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stemob_wrappers.backbones.load import load_backbone
from stemob_wrappers.cache import FrameCache, counter
from stemob_wrappers.cache import disk as disk_module
from stemob_wrappers.cache.disk import FOLDER, DiskTier
from stemob_wrappers.cache.owned import OwnedFolder

FRAME = np.full((8, 8, 3), 7, np.uint8)
USER, OTHER = 64001, 64002  # nobody's ids
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="acting as two users takes root")


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def run_as(user: int, code: str, *arguments: object) -> str:
    """What a script prints that runs as a user; it has DiskTier, FRAME and key."""
    prelude = textwrap.dedent("""
        import os, sys, warnings
        import numpy as np
        from stemob_wrappers.cache.disk import DiskTier
        FRAME, key = np.full((8, 8, 3), 7, np.uint8), lambda number: number.to_bytes(16, "big")
        os.setgroups([]); os.setgid(USER); os.setuid(USER)
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_: print("warned:", message)
    """).replace("USER", str(user))
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", prelude + textwrap.dedent(code), *map(str, arguments)],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that users reach; those of pytest are closed to others."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def owned(path: Path, user: int, mode: int = 0o755) -> Path:
    path.mkdir()
    path.chmod(mode)
    os.chown(path, user, user)
    return path


# Other users


@as_root
def test_a_cache_in_a_folder_of_another_user_is_refused_with_one_warning(open_folder: Path) -> None:
    theirs = owned(open_folder / "theirs", OTHER, 0o777)
    mine = owned(open_folder / "mine", USER)
    shared = owned(open_folder / "shared", 0, 0o777)  # where all may write, and so rename
    sticky = owned(open_folder / "sticky", 0, 0o1777)
    code = """
        tier = DiskTier(sys.argv[1], 2**20)
        for number in range(3): tier.put(key(number), FRAME)
        print(tier.get(key(1)) is not None, end="")
    """
    for folder, refused in (
        (theirs / "cache", "not a folder of this user"),
        (theirs, "not a folder of this user"),
        (shared / "cache", "every user can write to"),
        (mine / "cache", ""),
        (sticky / "cache", ""),
    ):
        said = run_as(USER, code, folder)
        assert said.count("warned") == bool(refused), said
        assert refused in said
        assert said.endswith("True") != bool(refused)


@as_root
def test_a_link_to_a_folder_below_another_users_is_refused(open_folder: Path) -> None:
    theirs = owned(open_folder / "theirs", OTHER, 0o777)
    owned(theirs / "real", USER)
    mine = owned(open_folder / "mine", USER)
    (mine / "cache").symlink_to(theirs / "real")
    code = "DiskTier(sys.argv[1], 2**20).put(key(1), FRAME)"
    assert "not a folder of this user" in run_as(USER, code, mine / "cache")


@as_root
def test_a_root_put_there_by_another_user_is_refused(open_folder: Path) -> None:
    cache = owned(open_folder / "cache", USER, 0o1777)
    owned(cache / FOLDER, OTHER, 0o777)
    code = """
        tier = DiskTier(sys.argv[1], 2**20)
        tier.put(key(1), FRAME)
        print(tier.get(key(1)))
    """
    said = run_as(USER, code, cache)
    assert said.count("warned") == 1
    assert "not a folder of this user" in said
    assert not list((cache / FOLDER).iterdir())


def test_a_root_that_is_moved_away_takes_all_writing_with_it(tmp_path: Path) -> None:
    """A link is put in its place under way: nothing behind it is read, written or removed."""
    tier = DiskTier(tmp_path / "cache", 20 * 4096)
    tier.put(key(1), FRAME)
    root, home = tmp_path / "cache" / FOLDER, tmp_path / "home"
    for number in range(256):
        (home / f"{number:02x}").mkdir(parents=True)
    (home / "tmp").mkdir()
    entry = Path("00", key(1).hex()[2:])
    shutil.copy(root / entry, home / entry)
    precious = home / "00" / ("0" * 30)
    precious.write_text("years of work")
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    root.rename(tmp_path / "cache" / "old")
    root.symlink_to(home)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(50):  # more than the budget, so they are evicted too
            tier.put(os.urandom(16), FRAME)
        tier.clear()
        assert tier.get(key(1)) is None  # a miss, on which the folder is looked at again
        for number in range(50):
            tier.put(key(number), FRAME)
        with contextlib.suppress(PermissionError):
            tier.clear()
    assert [warning.category for warning in caught] == [RuntimeWarning]
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before


def test_what_is_not_named_as_an_entry_is_neither_counted_nor_removed(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path, 2**20)
    tier.put(key(0), FRAME)
    others = [tmp_path / FOLDER / "go" / "thesis", tmp_path / FOLDER / "00" / "thesis"]
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_text("years of work")
    assert tier.stats().entries == 1
    assert tier.verify(remove=True) == (1, [])
    assert tier.clear() == 1
    assert all(path.exists() for path in others)


def test_a_root_that_others_may_write_to_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER).chmod(0o777)
    assert DiskTier(tmp_path, 2**20).get(key(1)) is None
    assert stat.S_IMODE((tmp_path / FOLDER).stat().st_mode) == 0o700


def test_a_reader_finds_a_folder_that_was_made_anew(tmp_path: Path) -> None:
    reader, writer = DiskTier(tmp_path, 2**20), DiskTier(tmp_path, 2**20)
    writer.put(key(1), FRAME)
    assert reader.get(key(1)) is not None
    shutil.rmtree(tmp_path / FOLDER)
    assert reader.get(key(1)) is None
    DiskTier(tmp_path, 2**20).put(key(1), FRAME)
    assert reader.get(key(1)) is not None


def test_threads_that_lose_their_folder_never_use_a_closed_descriptor(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path / "cache", 2**20)
    stop, failed = threading.Event(), []

    def work() -> None:
        number = 0
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                while not stop.is_set():
                    tier.put(key(number % 40), FRAME)
                    found = tier.get(key(number % 40))
                    assert found is None or (found == FRAME).all()
                    number += 1
        except RuntimeWarning as said:  # its folder went away again within one write
            if os.strerror(errno.EBADF) in str(said):
                failed.append(said)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(20):
        time.sleep(0.01)
        with contextlib.suppress(FileNotFoundError):
            (tmp_path / "cache").rename(tmp_path / f"gone-{number}")
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed


def test_a_folder_closes_its_descriptor(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    folders = [OwnedFolder(str(tmp_path)) for _ in range(10)]
    assert len(os.listdir("/proc/self/fd")) == before + 10
    folders.clear()
    assert len(os.listdir("/proc/self/fd")) == before


# Read-only


@as_root
def test_a_cache_of_another_owner_that_is_read_only_serves_its_entries(open_folder: Path) -> None:
    """As a layer of an image has it: root's, readable by all; old, so their times are due."""
    tier = DiskTier(open_folder / "cache", 2**20)
    tier.put(key(1), FRAME)
    os.utime(tier.path / FOLDER / "00" / key(1).hex()[2:], (0, 0))
    for path in [tier.path, *tier.path.rglob("*")]:
        path.chmod(0o755)
    code = """
        tier = DiskTier(sys.argv[1], 2**20)
        for _ in range(2): print((tier.get(key(1)) == FRAME).all())
        print(tier.verify(), tier.stats().entries)
    """
    assert run_as(USER, code, tier.path) == "True\nTrue\n(1, []) 1\n"


def test_a_time_that_cannot_be_renewed_costs_no_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tier = DiskTier(tmp_path, 2**20)
    tier.put(key(1), FRAME)
    os.utime(tmp_path / FOLDER / "00" / key(1).hex()[2:], (0, 0))

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(disk_module.os, "utime", fail)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tier.get(key(1)) is not None


# Stopped processes


@contextlib.contextmanager
def stopped_holder(path: Path) -> Iterator[None]:
    """Another process that holds the lock of a file and does not go on."""
    code = (
        "import fcntl, os, sys, time; file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT);"
        "fcntl.flock(file, fcntl.LOCK_EX); print(flush=True); time.sleep(100)"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGSTOP)
        yield
        process.kill()


@pytest.mark.parametrize("file", ["used", "lock"])
def test_storing_waits_for_no_stopped_process(tmp_path: Path, file: str) -> None:
    tier = DiskTier(tmp_path, 5 * 4096)
    tier.put(key(0), FRAME)
    with stopped_holder(tmp_path / FOLDER / file):
        done = threading.Event()

        def store() -> None:
            for number in range(20):
                tier.put(key(number), FRAME)
            done.set()

        threading.Thread(target=store, daemon=True).start()
        assert done.wait(20)
        assert tier.get(key(19)) is not None
    tier.put(key(20), FRAME)
    assert tier.stats().bytes_used <= 5 * 4096


def test_what_could_not_be_counted_is_counted_later(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path, 2**20)
    tier.put(key(0), FRAME)
    used = tmp_path / FOLDER / counter.FILE
    with stopped_holder(used):
        for number in range(1, 10):
            tier.put(key(number), FRAME)
        assert int.from_bytes(used.read_bytes(), "little") == 4096
    tier.put(key(10), FRAME)
    assert int.from_bytes(used.read_bytes(), "little") == 11 * 4096


def test_a_counter_that_stays_locked_is_made_anew_and_the_budget_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counter, "STALLED_SECONDS", 0.05)
    tier = DiskTier(tmp_path, 10 * 4096)
    tier.put(key(0), FRAME)
    with stopped_holder(tmp_path / FOLDER / "used"):
        tier.put(key(1), FRAME)
        time.sleep(0.06)
        for number in range(50):
            tier.put(key(number), FRAME)
            assert tier.stats().bytes_used <= 12 * 4096
        assert tier.get(key(49)) is not None
        assert tier.prune(4096) > 0


# Forks


def test_a_child_forked_while_threads_are_inside_is_not_stuck(tmp_path: Path) -> None:
    cache, stop = FrameCache(tmp_path, memory_bytes=20 * FRAME.nbytes), threading.Event()

    def churn() -> None:
        number = 0
        while not stop.is_set():
            cache.memory.put(key(number % 50), FRAME)
            number += 1

    threads = [threading.Thread(target=churn, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    states = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads, on purpose
        for _ in range(60):
            pid = os.fork()
            if pid == 0:
                signal.alarm(3)
                cache.put(key(99), FRAME)
                sound = cache.get(key(99)) is not None
                sound &= cache.bytes_used == len(cache) * FRAME.nbytes <= cache.memory_bytes
                os._exit(not sound)
            states.append(os.waitpid(pid, 0)[1])
    stop.set()
    for thread in threads:
        thread.join()
    assert set(states) == {0}


def test_a_child_forked_during_a_load_can_load() -> None:
    from stemob_wrappers.backbones import load

    load_backbone("embedded")
    with load._lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
        if pid == 0:
            signal.alarm(5)
            load_backbone("embedded")
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


# Platforms


def test_where_there_are_no_file_locks_memory_works_and_the_disk_says_what_is_missing() -> None:
    code = textwrap.dedent("""
        import os, sys
        import torch  # it and Python's own modules come for another platform there
        sys.modules["fcntl"] = None
        for name in ("O_NOFOLLOW", "O_DIRECTORY", "O_CLOEXEC", "register_at_fork", "geteuid"):
            delattr(os, name)
        import numpy as np
        from stemob_wrappers import FrameCache, StemPipeline
        cache = FrameCache()
        cache.put(b"key", np.zeros((4, 4, 3), np.uint8))
        assert cache.get(b"key") is not None
        StemPipeline()(np.zeros((1, 32, 32, 3), np.uint8))
        try:
            FrameCache("folder")
        except OSError as error:
            print(error)
    """)
    environment = {name: value for name, value in os.environ.items() if name != "STEMOB_CACHE"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "need fcntl.flock and folder descriptors, which this platform lacks" in done.stdout
