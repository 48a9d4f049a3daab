"""The disk tier: one file per frame in a fan-out of folders, shared by any number of processes.

Everything lies in a folder of our own, ``PATH/frames-v1``, that only its owner may enter:

    ab/cdef…    an entry (see entry.py), named by its key
    tmp/…       entries being written, renamed when they are whole
    used        bytes held, a counter that every writer adds to
    lock        held by the one process that evicts

Nothing is ever changed in place and nothing is synced: what a crash leaves torn fails its checksum
and counts as absent.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.cache import entry

FOLDER = "frames-v1"
TOUCH_SECONDS = 3600.0  # a read entry's time is renewed no more often than this
STALE_SECONDS = 3600.0  # age at which a temporary file is left over from a dead process
KEPT_SHARE = 0.9  # of the budget, after an eviction
MOST_BYTES = 2**60  # a counter beyond it is not to be believed
BLOCK_BYTES = 4096  # files take up whole blocks

_SAFE = os.O_CLOEXEC | os.O_NOFOLLOW
_READ = os.O_RDONLY | os.O_NONBLOCK | _SAFE
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFE
_COUNT = os.O_RDWR | os.O_CREAT | _SAFE
# What opening a foreign thing in the place of an entry says: a link, a socket, a file as folder.
_FOREIGN = (errno.ELOOP, errno.ENXIO, errno.ENOTDIR, errno.ENOENT)


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
        self._trusted: set[str] = set()  # folders seen to be folders of ours and no links
        self._warned = False
        self._swept = False

    def get(self, key: bytes) -> NDArray[np.uint8] | None:
        """Return the frame stored under a key (16 bytes), or None."""
        try:
            if not self._is_safe(self._fan_out(key)):
                return None
            descriptor = os.open(self._entry_path(key), _READ)
        except OSError as error:
            if error.errno not in _FOREIGN:
                self._warn_once("read", error)
            return None
        try:
            data, unread_since = _read_bounded(descriptor)
            frame = entry.parse(data, key)
            if frame is not None and time.time() - unread_since > TOUCH_SECONDS:
                os.utime(descriptor)
            return frame
        except OSError as error:
            self._warn_once("read", error)
            return None
        finally:
            os.close(descriptor)

    def put(self, key: bytes, frame: NDArray[np.uint8]) -> None:
        """Store a frame; one larger than 64 MiB or than the whole budget is not stored."""
        frame = np.ascontiguousarray(frame)
        size = _on_disk(entry.HEADER_BYTES + frame.nbytes)
        if frame.nbytes > entry.MAX_FRAME_BYTES or size > self.max_bytes:
            return
        header = entry.pack_header(key, frame)
        try:
            self._make_folders(key)
            try:
                self._write(key, [header, frame.reshape(-1).data])
            except FileNotFoundError:  # somebody removed the folders: made anew next time
                self._trusted.clear()
                self._swept = False
                return
            if self._add_used(size) > self.max_bytes:
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
        if not self._is_safe(self._root):
            return 0
        self._sweep()
        with self._eviction_lock(wait) as locked:
            if not locked:
                return 0
            counted = self._add_used(0)
            entries = sorted(self._stat_entries(), key=_last_read)
            total = sum(size for _, size, _ in entries)
            limit = int(max_bytes * KEPT_SHARE) if total > max_bytes else max_bytes
            removed = 0
            for _, size, path in entries:
                if total <= limit:
                    break
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
                    removed += 1
                total -= size
            # What others stored meanwhile stays counted: a difference, not the sum, is written.
            self._add_used(total - counted)
            return removed

    def clear(self) -> int:
        """Remove every frame; return how many there were.

        Raises:
            OSError: the folder cannot be listed or changed.
        """
        return self.prune(0)

    def stats(self) -> DiskStats:
        """Return what is held now, by looking at every file."""
        entries = list(self._stat_entries()) if self._is_safe(self._root) else []
        oldest = min((read for read, _, _ in entries), default=time.time_ns())
        return DiskStats(
            entries=len(entries),
            bytes_used=sum(size for _, size, _ in entries),
            temporaries=sum(1 for _ in _files(os.path.join(self._root, "tmp"))),
            oldest_seconds=max(0.0, (time.time_ns() - oldest) / 1e9),
        )

    def verify(self, *, remove: bool = False) -> tuple[int, list[Path]]:
        """Read every entry; return how many are sound, and the paths of those that are not.

        Args:
            remove: delete the unsound ones.
        """
        sound, unsound = 0, []
        if not self._is_safe(self._root):
            return 0, []
        for path in self._entry_files():
            try:
                key = bytes.fromhex("".join(Path(path).parts[-2:]))
                descriptor = os.open(path, _READ)
            except FileNotFoundError:
                continue  # evicted since it was listed
            except (OSError, ValueError):
                unsound.append(Path(path))
                continue
            try:
                data, _ = _read_bounded(descriptor)
            finally:
                os.close(descriptor)
            if entry.parse(data, key) is None:
                unsound.append(Path(path))
            else:
                sound += 1
        for path in unsound if remove else ():
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                os.unlink(path)
        return sound, unsound

    def _fan_out(self, key: bytes) -> str:
        return f"{self._root}/{key[:1].hex()}"

    def _entry_path(self, key: bytes) -> str:
        return f"{self._root}/{key[:1].hex()}/{key[1:].hex()}"

    def _is_safe(self, folder: str) -> bool:
        """Whether a folder (and the root above it) is there, is no link, and is ours."""
        if folder in self._trusted:
            return True
        if folder != self._root and not self._is_safe(self._root):
            return False
        try:
            status = os.lstat(folder)
        except FileNotFoundError:
            return False
        user = os.geteuid()
        if not stat.S_ISDIR(status.st_mode) or (user and status.st_uid not in (user, 0)):
            raise PermissionError(
                errno.EPERM, "not a folder of this user; remove it or choose another path", folder
            )
        self._trusted.add(folder)
        return True

    def _make_folders(self, key: bytes) -> None:
        fan_out = self._fan_out(key)
        if fan_out in self._trusted and self._swept:
            return
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self._root, f"{self._root}/tmp", fan_out):
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, 0o700)
            self._is_safe(folder)
        if not self._swept:
            os.chmod(self._root, 0o700)
            self._swept = True
            self._sweep()

    def _write(self, key: bytes, parts: list[bytes | memoryview]) -> None:
        temporary = f"{self._root}/tmp/{secrets.token_hex(12)}"
        descriptor = os.open(temporary, _CREATE, 0o600)
        try:
            try:
                written = os.writev(descriptor, parts)
                # The kernel's own clock is coarse; the order of eviction needs a fine one.
                os.utime(descriptor, ns=(now := time.time_ns(), now))
            finally:
                os.close(descriptor)
            if written != sum(map(len, parts)):
                raise OSError(errno.ENOSPC, "the file could not be written whole", temporary)
            os.rename(temporary, self._entry_path(key))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    def _add_used(self, change: int) -> int:
        """Add to the shared counter of bytes held and return it; a lost counter is rebuilt."""
        descriptor = os.open(f"{self._root}/used", _COUNT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            stored = os.pread(descriptor, 9, 0)
            used = max(0, int.from_bytes(stored, "little", signed=True) + change)
            if len(stored) != 8 or used > MOST_BYTES:
                used = sum(size for _, size, _ in self._stat_entries())
            os.pwrite(descriptor, used.to_bytes(8, "little", signed=True), 0)
            os.ftruncate(descriptor, 8)
            return used
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _eviction_lock(self, wait: bool) -> Iterator[bool]:
        descriptor = os.open(f"{self._root}/lock", _COUNT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
        except BlockingIOError:
            yield False
        finally:
            os.close(descriptor)

    def _entry_files(self) -> Iterator[str]:
        for name in os.listdir(self._root):
            folder = os.path.join(self._root, name)
            if len(name) == 2 and not os.path.islink(folder):
                yield from _files(folder)

    def _stat_entries(self) -> Iterator[tuple[int, int, str]]:
        """Time of last reading in nanoseconds, disk space and path of every entry."""
        for path in self._entry_files():
            with contextlib.suppress(FileNotFoundError):
                status = os.lstat(path)
                yield status.st_mtime_ns, _on_disk(status.st_size), path

    def _sweep(self) -> None:
        """Remove temporary files that dead processes left."""
        for path in _files(os.path.join(self._root, "tmp")):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - os.lstat(path).st_mtime > STALE_SECONDS:
                    os.unlink(path)

    def _warn_once(self, action: str, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"could not {action} the frame cache in {self.path} ({error}); going on without "
                "it: free space, mend the permissions, or name another folder (STEMOB_CACHE)",
                RuntimeWarning,
                stacklevel=2,
            )


def _read_bounded(descriptor: int) -> tuple[bytearray, float]:
    """Return the bytes of a regular file of an entry's size, or none, and its time."""
    status = os.fstat(descriptor)
    bound = entry.HEADER_BYTES + entry.MAX_FRAME_BYTES
    if not stat.S_ISREG(status.st_mode) or status.st_size > bound:
        return bytearray(), status.st_mtime
    data = bytearray(status.st_size)
    del data[os.readv(descriptor, [data]) :]
    return data, status.st_mtime


def _files(folder: str) -> Iterator[str]:
    """Paths of what is in a folder, folders aside; none where there is no folder."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as found:
        for item in found:
            if not item.is_dir(follow_symlinks=False):
                yield item.path


def _last_read(item: tuple[int, int, str]) -> int:
    return item[0]


def _on_disk(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES
