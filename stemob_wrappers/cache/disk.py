"""The disk tier: one file per frame in a fan-out of folders, shared by any number of processes.

Everything lies in a folder of our own, ``PATH/frames-v1``, that only its owner may enter:

    ab/cdef…    an entry (see entry.py), named by its key
    tmp/…       entries being written, renamed when they are whole
    used        bytes held, a counter that every writer adds to
    lock        held by the one process that evicts

Nothing is ever changed in place and nothing is synced: what a crash leaves torn fails its checksum
and counts as absent. The folder is opened once (see owned.py), and what is not named as an entry is
neither counted nor removed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import time
import warnings
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.cache import entry
from stemob_wrappers.cache.counter import OPEN, Counter, lock
from stemob_wrappers.cache.owned import SAFE, OwnedFolder

FOLDER = "frames-v1"
TOUCH_SECONDS = 3600.0  # a read entry's time is renewed no more often than this
STALE_SECONDS = 3600.0  # age at which a temporary file is left over from a dead process
KEPT_SHARE = 0.9  # of the budget, after an eviction
BLOCK_BYTES = 4096  # files take up whole blocks

_READ = os.O_RDONLY | os.O_NONBLOCK | SAFE
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | SAFE
# What opening a foreign thing in the place of an entry says: a link, a socket, a file as folder.
_FOREIGN = (errno.ELOOP, errno.ENXIO, errno.ENOTDIR, errno.ENOENT)
_FAN_OUT, _ENTRY = re.compile("[0-9a-f]{2}"), re.compile("[0-9a-f]{30}")


@dataclass
class DiskStats:
    """What a disk tier holds.

    Attributes:
        entries: number of frames.
        bytes_used: disk space that they take.
        temporaries: files being written, or left over by dead processes.
        oldest_seconds: time since the longest unread entry was read, to the hour.
    """

    entries: int
    bytes_used: int
    temporaries: int
    oldest_seconds: float


class DiskTier:
    """Frames in files below a folder, within a budget of bytes.

    Reading and writing never raise for what the disk does: a file that is torn, foreign or not to
    be read is a miss, and the first failure (disk full, read-only, no permission, too many open
    files) warns once and leaves the frame uncached.

    Args:
        path: folder, made when the first frame is stored.
        max_bytes: disk space to keep to; beyond it the longest unread frames go.

    Raises:
        NotADirectoryError: there is something else at ``path``.

    Example:
        >>> tier = DiskTier("frames", 2**20)
        >>> tier.put(bytes(16), np.zeros((8, 8, 3), np.uint8))
        >>> tier.get(bytes(16)).shape
        (8, 8, 3)
    """

    def __init__(self, path: str | os.PathLike[str], max_bytes: int) -> None:
        self.path = Path(path).expanduser().absolute()
        if self.path.exists() and not self.path.is_dir():
            raise NotADirectoryError(f"the cache needs a folder, but {self.path} is a file")
        self.max_bytes = max_bytes
        self._root = str(self.path / FOLDER)
        self._folder: OwnedFolder | None = None
        self._used = Counter(_measure)
        self._warned = False

    def get(self, key: bytes) -> NDArray[np.uint8] | None:
        """Return the frame stored under a key (16 bytes), or None."""
        try:
            folder = self._folder or self._open()
            if folder is None:
                return None
            descriptor = self._open_entry(folder, key)
        except OSError as error:
            self._warn_once("read", error)
            return None
        if descriptor is None:
            return None
        try:
            data, unread_since = _read_bounded(descriptor)
            frame = entry.parse(data, key)
            if frame is not None and time.time() - unread_since > TOUCH_SECONDS:
                with contextlib.suppress(OSError):  # a cache that is read-only serves all the same
                    os.utime(descriptor)
            return frame
        except OSError as error:
            self._warn_once("read", error)
            return None
        finally:
            os.close(descriptor)

    def put(self, key: bytes, frame: NDArray[np.uint8]) -> None:
        """Store a frame; one larger than 64 MiB or than the whole budget is not stored.

        It waits for no other process.
        """
        frame = np.ascontiguousarray(frame)
        size = _on_disk(entry.HEADER_BYTES + frame.nbytes)
        if frame.nbytes > entry.MAX_FRAME_BYTES or size > self.max_bytes:
            return
        header = entry.pack_header(key, frame)
        try:
            folder = self._open() or self._make()
            try:
                if folder.make("tmp"):
                    folder.close_to_others()
                    _sweep(folder)
                folder.make(_fan_out(key))
                _write(folder, key, [header, frame.reshape(-1).data])
            except FileNotFoundError:  # somebody removed the folders: made anew next time
                self._folder = None
                return
            used = self._used.add(folder, size)
            if used is not None and used > self.max_bytes:
                self._evict(self.max_bytes, wait=False)
        except OSError as error:
            self._warn_once("write", error)

    def prune(self, max_bytes: int) -> int:
        """Remove the longest unread frames unless all fit; return how many went.

        One process at a time does it; this waits for another one that is evicting.

        Raises:
            OSError: the folder cannot be listed or changed.
        """
        return self._evict(max_bytes, wait=True)

    def _evict(self, max_bytes: int, *, wait: bool) -> int:
        """Remove as ``prune`` does; without ``wait``, leave it to another process at work."""
        folder = self._open()
        if folder is None:
            return 0
        _sweep(folder)
        with _eviction_lock(folder, wait) as locked:
            if not locked:
                return 0
            counted = self._used.add(folder, 0)
            entries = sorted(_entries(folder))  # the longest unread first
            total = sum(size for _, size, _ in entries)
            limit = int(max_bytes * KEPT_SHARE) if total > max_bytes else max_bytes
            removed = 0
            for _, size, place in entries:
                if total <= limit:
                    break
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(place, dir_fd=folder.descriptor)
                    removed += 1
                total -= size
            if counted is None:
                self._used.forget(folder)
            else:  # what others stored meanwhile stays counted: a difference, not the sum, is added
                self._used.add(folder, total - counted)
            return removed

    def clear(self) -> int:
        """Remove every frame; return how many there were.

        Raises:
            OSError: the folder cannot be listed or changed.
        """
        return self.prune(0)

    def stats(self) -> DiskStats:
        """Return what is held now, by looking at every file."""
        folder = self._open()
        entries = [] if folder is None else list(_entries(folder))
        oldest = min((read for read, _, _ in entries), default=time.time_ns())
        return DiskStats(
            entries=len(entries),
            bytes_used=sum(size for _, size, _ in entries),
            temporaries=0 if folder is None else sum(1 for _ in folder.files("tmp")),
            oldest_seconds=max(0.0, (time.time_ns() - oldest) / 1e9),
        )

    def verify(self, *, remove: bool = False) -> tuple[int, list[Path]]:
        """Read every entry; return how many are sound, and the paths of those that are not.

        Args:
            remove: delete the unsound ones.
        """
        folder = self._open()
        if folder is None:
            return 0, []
        sound, unsound = 0, list[str]()
        for _, _, place in _entries(folder):
            try:
                descriptor = os.open(place, _READ, dir_fd=folder.descriptor)
            except FileNotFoundError:
                continue  # evicted since it was listed
            except OSError:
                unsound.append(place)
                continue
            try:
                data, _ = _read_bounded(descriptor)
            finally:
                os.close(descriptor)
            if entry.parse(data, bytes.fromhex(place.replace("/", ""))) is None:
                unsound.append(place)
            else:
                sound += 1
        for place in unsound if remove else ():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(place, dir_fd=folder.descriptor)
        return sound, [Path(self._root, place) for place in unsound]

    def _open(self) -> OwnedFolder | None:
        """The root, opened and checked once; None where there is none."""
        if self._folder is None:
            with contextlib.suppress(FileNotFoundError):
                self._folder = OwnedFolder(self._root)
        return self._folder

    def _make(self) -> OwnedFolder:
        """Make the root and open it."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):
            os.mkdir(self._root, 0o700)
        self._folder = folder = OwnedFolder(self._root)
        self._used.drop_changes()
        return folder

    def _open_entry(self, folder: OwnedFolder, key: bytes) -> int | None:
        """Open the file of an entry, or return None where there is none."""
        try:
            if folder.has(_fan_out(key)):
                return os.open(_place(key), _READ, dir_fd=folder.descriptor)
        except OSError as error:
            if error.errno not in _FOREIGN:
                raise
        if not folder.is_current():  # moved or removed: looked for anew next time
            self._folder = None
        return None

    def _warn_once(self, action: str, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"could not {action} the frame cache in {self.path} ({error}); going on without "
                "it: free space, mend the permissions, or name another folder (STEMOB_CACHE)",
                RuntimeWarning,
                stacklevel=2,
            )


def _fan_out(key: bytes) -> str:
    return key[:1].hex()


def _place(key: bytes) -> str:
    return f"{key[:1].hex()}/{key[1:].hex()}"


def _write(folder: OwnedFolder, key: bytes, parts: list[bytes | memoryview]) -> None:
    root, temporary = folder.descriptor, f"tmp/{secrets.token_hex(12)}"
    descriptor = os.open(temporary, _CREATE, 0o600, dir_fd=root)
    try:
        try:
            written = os.writev(descriptor, parts)
            # The kernel's own clock is coarse; the order of eviction needs a fine one.
            os.utime(descriptor, ns=(now := time.time_ns(), now))
        finally:
            os.close(descriptor)
        if written != sum(map(len, parts)):
            raise OSError(errno.ENOSPC, "the file could not be written whole", temporary)
        os.rename(temporary, _place(key), src_dir_fd=root, dst_dir_fd=root)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=root)
        raise


def _entries(folder: OwnedFolder) -> Iterator[tuple[int, int, str]]:
    """Time of last reading in nanoseconds, disk space and place of every entry."""
    for fan_out in folder.items():
        if not _FAN_OUT.fullmatch(fan_out.name):
            continue
        for file in folder.files(fan_out.name):
            if _ENTRY.fullmatch(file.name):
                with contextlib.suppress(FileNotFoundError):
                    status = file.stat(follow_symlinks=False)
                    place = f"{fan_out.name}/{file.name}"
                    yield status.st_mtime_ns, _on_disk(status.st_size), place


def _measure(folder: OwnedFolder) -> int:
    return sum(size for _, size, _ in _entries(folder))


def _sweep(folder: OwnedFolder) -> None:
    """Remove temporary files that dead processes left."""
    for file in folder.files("tmp"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - file.stat(follow_symlinks=False).st_mtime > STALE_SECONDS:
                os.unlink(f"tmp/{file.name}", dir_fd=folder.descriptor)


@contextlib.contextmanager
def _eviction_lock(folder: OwnedFolder, wait: bool) -> Generator[bool, None, None]:
    descriptor = os.open("lock", OPEN, 0o600, dir_fd=folder.descriptor)
    try:
        yield lock(descriptor, wait)
    finally:
        os.close(descriptor)


def _read_bounded(descriptor: int) -> tuple[bytearray, float]:
    """Return the bytes of a regular file of an entry's size, or none, and its time."""
    status = os.fstat(descriptor)
    bound = entry.HEADER_BYTES + entry.MAX_FRAME_BYTES
    if not stat.S_ISREG(status.st_mode) or status.st_size > bound:
        return bytearray(), status.st_mtime
    data = bytearray(status.st_size)
    del data[os.readv(descriptor, [data]) :]
    return data, status.st_mtime


def _on_disk(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES
