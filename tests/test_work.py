import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stemob_wrappers.work import digest, file_digest, spawn_pool, whole_file, write_text


@pytest.mark.parametrize("sync", [False, True])
def test_a_file_appears_whole(tmp_path, sync):
    path = tmp_path / "new" / "a.json"
    with whole_file(path, sync=sync) as temporary:
        assert (temporary.parent, temporary.suffix) == (path.parent, ".json")
        temporary.write_text("half")
        assert not path.exists()
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail_half_way():
        with whole_file(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "a.txt"
    with whole_file(path) as one, whole_file(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"  # the outer block ends last


@pytest.mark.parametrize("sync", [False, True])
def test_bytes_reach_the_disk_before_the_name(tmp_path, monkeypatch, sync):
    """A power cut after the rename must not find an empty file under the name."""
    calls = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *a, name=name, original=original: (calls.append(name), original(*a))
        )
    write_text(tmp_path / "a.txt", "text", sync=sync)
    # The file, its name, and where something waits for it the folder's entry.
    assert calls == ["fsync", "replace", "fsync"][: 3 if sync else 2]


def test_a_digest_tells_settings_apart_whatever_their_order():
    assert digest({"a": [1, 2], "b": None}) == digest({"b": None, "a": [1, 2]})
    assert digest({"a": [1, 2]}) != digest({"a": [2, 1]})
    assert len(digest({}, size=6)) == 12
    with pytest.raises(TypeError):
        digest({"a": Path("a")})


def test_a_file_is_told_by_its_bytes(tmp_path):
    for name, text in (("a", "one"), ("b", "one"), ("c", "two")):
        write_text(tmp_path / name, text)
    one, same, other = (file_digest(tmp_path / name) for name in "abc")
    assert one == same != other


PARENT = """
import os, sys, time
from stemob_wrappers.work import spawn_pool

if __name__ == "__main__":
    pool = spawn_pool(1, print, ("started",))
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 600)
    time.sleep(600)
"""


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        lines = iter(parent.stdout.readline, "")
        worker = next(int(line) for line in lines if line.strip().isdigit())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while _runs(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(worker)


def test_a_pool_hands_results_and_errors_back():
    with spawn_pool(2) as pool:
        assert list(pool.map(abs, [-1, 2, -3])) == [1, 2, 3]
        with pytest.raises(ValueError, match="invalid literal"):
            pool.submit(int, "no number").result()


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
