"""FrameCache: stem frames that were computed before, in memory and, on request, on disk."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.cache.memory import MemoryTier

if TYPE_CHECKING:
    from stemob_wrappers.cache.disk import DiskTier

DEFAULT_MEMORY_BYTES = 128 * 2**20
DEFAULT_DISK_BYTES = 8 * 2**30
VARIABLE = "STEMOB_CACHE"

CacheLike: TypeAlias = "FrameCache | str | os.PathLike[str] | dict[str, Any] | bool | None"


class FrameCache:
    """A byte-bounded, thread-safe cache of frames that forgets the longest unread first.

    It copies on the way in and on the way out, so nobody can change a stored frame. With a folder
    it also keeps frames in files that any number of processes share: a file that is torn or foreign
    is a miss, and a disk that fails leaves frames uncached, with one warning.

    Args:
        path: folder of the disk tier, made when needed. None takes the one that the environment
            variable STEMOB_CACHE names; without it, frames are kept in memory alone.
        memory_bytes: bytes of frames kept in memory; 0 keeps none.
        disk_bytes: bytes of disk space kept to.

    Attributes:
        path: absolute path of the folder, or None.
        bytes_used: bytes of frames held in memory now.
        disk: the DiskTier, or None.

    Raises:
        ValueError: a negative budget.
        NotADirectoryError: ``path`` is a file.
        OSError: a folder is named on a platform without file locks or folder descriptors (Windows).

    Example:
        >>> cache = FrameCache(memory_bytes=100_000)
        >>> cache.put(b"key", np.zeros((84, 84, 3), np.uint8))
        >>> cache.get(b"key").shape, cache.get(b"other")
        ((84, 84, 3), None)
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        disk_bytes: int = DEFAULT_DISK_BYTES,
    ) -> None:
        for name, budget in (("memory_bytes", memory_bytes), ("disk_bytes", disk_bytes)):
            if budget < 0:
                raise ValueError(f"{name} must not be negative, received {budget}")
        path = path or os.environ.get(VARIABLE) or None
        self.memory_bytes = memory_bytes
        self.disk_bytes = disk_bytes
        self.memory = MemoryTier(memory_bytes)
        self.disk = None if path is None else _disk_tier(path, disk_bytes)
        self.path = None if self.disk is None else self.disk.path

    def __len__(self) -> int:
        """Number of frames held in memory."""
        return len(self.memory)

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the same folder and starts with an empty memory."""
        return _rebuild, (self.path, self.memory_bytes, self.disk_bytes)

    @property
    def bytes_used(self) -> int:
        """Bytes of frames held in memory now."""
        return self.memory.bytes_used

    def get(self, key: bytes) -> NDArray[np.uint8] | None:
        """Return a copy of the frame stored under a key, or None."""
        frame = self.memory.get(key)
        if frame is None and self.disk is not None:
            frame = self.disk.get(key)
            if frame is not None:
                self.memory.put(key, frame)
        return frame

    def put(self, key: bytes, frame: NDArray[np.uint8]) -> None:
        """Store a copy of a frame; one larger than a tier's whole budget is not stored there.

        Raises:
            ValueError: with a folder, a key of another length than 16 bytes or no uint8 frame.
        """
        self.memory.put(key, frame)
        if self.disk is not None:
            self.disk.put(key, frame)

    def clear(self) -> None:
        """Forget every frame in memory; ``.disk.clear()`` empties the folder."""
        self.memory.clear()


def as_cache(cache: CacheLike) -> FrameCache | None:
    """Turn what a user may pass for a cache into a FrameCache, or None for no cache.

    Args:
        cache: a FrameCache; the path of a folder; a dict of FrameCache's arguments; True for the
            platform's cache folder; None for one in memory (or the folder that STEMOB_CACHE names);
            False for none.

    Raises:
        TypeError: something else, or a dict with a name that is no argument.

    Example:
        >>> as_cache(False) is None, as_cache("frames").path.name
        (True, 'frames')
    """
    if cache is False:
        return None
    if cache is None:
        return FrameCache()
    if cache is True:
        return FrameCache(default_folder())
    if isinstance(cache, FrameCache):
        return cache
    if isinstance(cache, str | os.PathLike):
        return FrameCache(cache)
    if isinstance(cache, dict):  # pyright: ignore[reportUnnecessaryIsInstance]
        return FrameCache(**cache)
    raise TypeError(
        "cache must be a FrameCache, a path, a dict of FrameCache's arguments, True, False or "
        f"None, received {cache!r}"
    )


def recorded_cache(cache: CacheLike) -> dict[str, Any] | str | bool | None:
    """Return, as plain JSON, what :func:`as_cache` rebuilds a cache from; not the frames in it.

    Example:
        >>> recorded_cache(FrameCache(memory_bytes=1000, disk_bytes=2000))
        {'path': None, 'memory_bytes': 1000, 'disk_bytes': 2000}
        >>> recorded_cache(False)
        False
    """
    if isinstance(cache, FrameCache):
        return {
            "path": None if cache.path is None else str(cache.path),
            "memory_bytes": cache.memory_bytes,
            "disk_bytes": cache.disk_bytes,
        }
    if isinstance(cache, str | os.PathLike):
        return str(Path(cache).expanduser().absolute())
    return cache


def default_folder() -> Path:
    """Return STEMOB_CACHE where it is set, else the platform's cache folder for this package.

    Example:
        >>> default_folder().is_absolute()
        True
    """
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "stemob_wrappers"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "stemob_wrappers"


def open_disk(path: str | os.PathLike[str] | None = None) -> DiskTier:
    """Return the disk tier at a path, or at :func:`default_folder`, to look after it.

    Example:
        >>> open_disk("frames").stats().entries >= 0
        True
    """
    return _disk_tier(path or default_folder(), DEFAULT_DISK_BYTES)


def _disk_tier(path: str | os.PathLike[str], max_bytes: int) -> DiskTier:
    try:
        from stemob_wrappers.cache.disk import DiskTier
    except (ImportError, AttributeError) as error:
        raise OSError(
            f"frames in a folder ({os.fspath(path)}) need fcntl.flock and folder descriptors, "
            f"which this platform lacks ({error}); keep them in memory: cache=None, without "
            f"{VARIABLE}"
        ) from error
    return DiskTier(path, max_bytes)


def _rebuild(path: Path | None, memory_bytes: int, disk_bytes: int) -> FrameCache:
    return FrameCache(path, memory_bytes=memory_bytes, disk_bytes=disk_bytes)
