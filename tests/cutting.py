"""End a process before a system call that changes a file, as a kill or a power cut does.

The process is traced from outside (ptrace), in all its threads, so that all of it is seen: what
Python writes, and what the libraries do that write HDF5, videos and weights.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import os
import platform
import random
import shutil
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

SUPPORTED = sys.platform.startswith("linux") and platform.machine() == "x86_64"
_SEIZE, _INTERRUPT, _SYSCALL, _SYSCALL_INFO = 0x4206, 0x4207, 24, 0x420E
# Mark stops at system calls; trace new threads, too; end the process with the tracer.
_OPTIONS = 1 | 8 | 0x100000
_ANY, _ANY_CHILD = -1, 0x40000000
_ENTRY = 1
_INFO = struct.Struct("=B3xI2Q7Q")  # kind, architecture, two pointers, number and arguments
# System calls by number (x86-64), with the arguments that say where.
_BY_DESCRIPTOR = {1: 0, 18: 0, 20: 0, 40: 0, 77: 0, 285: 0, 296: 0, 326: 2}  # writes, truncations
_SYNCS = (74, 75)
_BY_PATH = {76: 0, 82: 0, 83: 0, 84: 0, 85: 0, 86: 0, 87: 0, 88: 1}  # rename, unlink, mkdir, …
_BY_FOLDER_AND_PATH = {258: 0, 263: 0, 264: 0, 265: 2, 266: 1, 316: 0}  # the same, …at
_OPEN = {2: (None, 0, 1), 257: (0, 1, 2)}  # folder, path and flags
_CHANGING_FLAGS = os.O_CREAT | os.O_TRUNC
_SECONDS = 300  # that work may take, traced
_BLOCK_BYTES = 512  # written at once by a disk

Work = Callable[..., None]


class Disk:
    """What of a folder is on the disk: bytes and names that were waited for, and maybe others.

    Args:
        folder: the folder as it is, all on the disk.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[int, int] = {}  # by inode, an open descriptor: it is not given away then
        self.durable: dict[int, bytes] = {}
        self.names: list[dict[str, int]] = []  # since the last wait for a folder, in order
        self.look()
        self.durable = {inode: self._content(inode) for inode in self.files}

    def look(self) -> None:
        """See what the folder holds now; again, if another thread changes it meanwhile."""
        while True:
            with contextlib.suppress(FileNotFoundError):
                return self._look()

    def _look(self) -> None:
        names = {}
        for path in sorted(self.folder.rglob("*")):
            names[str(path.relative_to(self.folder))] = 0
            if path.is_file():
                names[str(path.relative_to(self.folder))] = inode = path.stat().st_ino
                if inode not in self.files:
                    self.files[inode] = os.open(path, os.O_RDONLY)
        if not self.names or names != self.names[-1]:
            self.names.append(names)

    def wait_for(self, path: Path) -> None:
        """A file's bytes are on the disk now; with a folder, all names that were given before."""
        if path.is_dir():
            del self.names[:-1]
        elif path.exists():
            inode = path.stat().st_ino
            self.durable[inode] = self._content(inode)

    def cut(self, rng: random.Random) -> None:
        """Leave in the folder what a power cut may leave of it.

        Of the changes of names, as many as are known to be there or more, in order. Of bytes that
        nobody waited for: none, all, the first ones, or some blocks.
        """
        names = rng.choice(self.names)
        contents = {inode: self._left(inode, rng) for inode in set(names.values()) - {0}}
        empty(self.folder)
        first: dict[int, Path] = {}
        for name, inode in names.items():
            path = self.folder / name
            if inode == 0:
                path.mkdir()
            elif inode in first:
                os.link(first[inode], path)
            else:
                path.write_bytes(contents[inode])
                first[inode] = path

    def close(self) -> None:
        for descriptor in self.files.values():
            os.close(descriptor)

    def _content(self, inode: int) -> bytes:
        return os.pread(self.files[inode], os.fstat(self.files[inode]).st_size, 0)

    def _left(self, inode: int, rng: random.Random) -> bytes:
        now, before = self._content(inode), self.durable.get(inode, b"")
        if now == before:
            return now
        kind = rng.randrange(4)
        if kind < 2:
            return now if kind else before
        if kind == 2:
            return now[: rng.randrange(len(now) + 1)]
        before = before[: len(now)].ljust(len(now), b"\0")
        return b"".join(
            rng.choice((now, before))[start : start + _BLOCK_BYTES]
            for start in range(0, len(now), _BLOCK_BYTES)
        )


def killed(step: int, folder: Path, module: str, work: Work, *arguments: Any) -> Disk | None:
    """Do work in a process that is killed before its step-th change below a folder.

    Args:
        step: from 1.
        module: imported before the process is made.
        work: a function that is imported by its name, with arguments that can be pickled.

    Returns:
        what may be on the disk, or None if the work came to its end before.
    """
    context = get_context("forkserver")  # forked from a process without threads
    context.set_forkserver_preload([module])
    ours, theirs = context.Pipe()
    child = context.Process(target=_work_when_told, args=(theirs, work, arguments))
    child.start()
    ours.recv()
    assert child.pid is not None
    disk = Disk(folder)
    _Traced(child.pid, folder, disk).run_to(step, lambda: ours.send("go"))
    child.join()
    assert child.exitcode in (0, -signal.SIGKILL)
    if child.exitcode == 0:
        disk.close()
        return None
    disk.look()
    return disk


def later_and_later() -> Iterator[int]:
    """Steps to be killed at, each three times as late as the one before: a few of all."""
    return (3**number for number in itertools.count())


def empty(folder: Path) -> None:
    """Remove all that lies in a folder."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _work_when_told(pipe: Connection, work: Work, arguments: tuple[Any, ...]) -> None:
    signal.alarm(_SECONDS)  # a process that hangs fails the test
    pipe.send("ready")
    pipe.recv()
    work(*arguments)
    os._exit(0)


class _Traced:
    """A process that stops at its system calls."""

    def __init__(self, pid: int, folder: Path, disk: Disk) -> None:
        self.pid, self.folder, self.disk = pid, folder, disk
        self._call = ctypes.CDLL(None, use_errno=True).ptrace
        self._call.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self._call.restype = ctypes.c_long
        self._info = ctypes.create_string_buffer(_INFO.size)
        self._ptrace(_SEIZE, 0, _OPTIONS)
        self._ptrace(_INTERRUPT)

    def run_to(self, step: int, started: Callable[[], None]) -> None:
        thread, status = self._wait()
        started()
        while True:
            self._go_on(thread, status)
            thread, status = self._wait()
            if thread == self.pid and not os.WIFSTOPPED(status):
                return
            if os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGTRAP | 0x80:
                self._ptrace(_SYSCALL_INFO, _INFO.size, ctypes.addressof(self._info), thread)
                kind, _, _, _, number, *arguments = _INFO.unpack(self._info)
                place = self._changed(number, arguments) if kind == _ENTRY else None
                if place is None:
                    continue
                step -= 1
                if step == 0:
                    os.kill(self.pid, signal.SIGKILL)
                    while thread != self.pid or not os.WIFSIGNALED(status):
                        thread, status = self._wait()
                    return
                if number not in _BY_DESCRIPTOR:
                    self.disk.look()
                if number in _SYNCS:
                    self.disk.wait_for(place)

    def _changed(self, number: int, arguments: list[int]) -> Path | None:
        """What a system call changes, or waits for, if that lies below the folder."""
        descriptor, place = None, None
        if number in _SYNCS:
            descriptor = arguments[0]
        elif number in _BY_DESCRIPTOR:
            descriptor = arguments[_BY_DESCRIPTOR[number]]
        elif number in _BY_PATH:
            place = arguments[_BY_PATH[number]]
        elif number in _BY_FOLDER_AND_PATH:
            first = _BY_FOLDER_AND_PATH[number]
            descriptor, place = arguments[first : first + 2]
        elif number in _OPEN:
            folder, path, flags = _OPEN[number]
            if not arguments[flags] & _CHANGING_FLAGS:
                return None
            descriptor, place = None if folder is None else arguments[folder], arguments[path]
        else:
            return None
        found = Path(self._text(place)) if place is not None else Path()
        if descriptor is not None and not found.is_absolute() and descriptor < 2**31:
            found = Path(os.readlink(f"/proc/{self.pid}/fd/{descriptor}")) / found
        return found if found.is_relative_to(self.folder) else None

    def _text(self, address: int) -> str:
        with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            return os.fsdecode(memory.read(4096).split(b"\0")[0])

    def _wait(self) -> tuple[int, int]:
        """Return which thread has stopped, or ended, and how."""
        return os.waitpid(_ANY, _ANY_CHILD)

    def _go_on(self, thread: int, status: int) -> None:
        """Let a thread that has stopped go on to its next system call."""
        if not os.WIFSTOPPED(status):
            return
        stopped_by = os.WSTOPSIG(status)
        # A signal that stopped it is delivered; a stop of the tracing is none.
        delivered = 0 if stopped_by & 0x80 or status >> 16 else stopped_by
        try:
            self._ptrace(_SYSCALL, 0, delivered, thread)
        except OSError as error:
            if error.errno != errno.ESRCH:  # it has ended, with its process
                raise

    def _ptrace(
        self, request: int, address: int = 0, data: int = 0, thread: int | None = None
    ) -> None:
        if self._call(request, thread or self.pid, address, data) < 0:
            raise OSError(ctypes.get_errno(), f"ptrace request {request:#x}")
