"""FrameCache: stem frames that were computed before, in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

DEFAULT_MEMORY_BYTES = 128 * 2**20


class FrameCache:
    """A byte-bounded, thread-safe cache of frames that forgets the longest unread first.

    It copies on the way in and on the way out, so nobody can change a stored frame.

    Args:
        memory_bytes: bytes of frames kept in memory; 0 keeps none.

    Attributes:
        bytes_used: bytes of frames held now.

    Raises:
        ValueError: a negative budget.

    Example:
        >>> cache = FrameCache(memory_bytes=100_000)
        >>> cache.put(b"key", np.zeros((84, 84, 3), np.uint8))
        >>> cache.get(b"key").shape, cache.get(b"other")
        ((84, 84, 3), None)
    """

    def __init__(self, *, memory_bytes: int = DEFAULT_MEMORY_BYTES) -> None:
        if memory_bytes < 0:
            raise ValueError(f"memory_bytes must not be negative, received {memory_bytes}")
        self.memory_bytes = memory_bytes
        self.bytes_used = 0
        self._frames: OrderedDict[bytes, NDArray[np.uint8]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._frames)

    def get(self, key: bytes) -> NDArray[np.uint8] | None:
        """Return a copy of the frame stored under a key, or None."""
        with self._lock:
            frame = self._frames.get(key)
            if frame is not None:
                self._frames.move_to_end(key)
        return None if frame is None else frame.copy()

    def put(self, key: bytes, frame: NDArray[np.uint8]) -> None:
        """Store a copy of a frame; one larger than the whole budget is not stored."""
        if frame.nbytes > self.memory_bytes:
            return
        frame = frame.copy()
        with self._lock:
            replaced = self._frames.pop(key, None)
            self.bytes_used += frame.nbytes - (0 if replaced is None else replaced.nbytes)
            self._frames[key] = frame
            while self.bytes_used > self.memory_bytes:
                _, evicted = self._frames.popitem(last=False)
                self.bytes_used -= evicted.nbytes

    def clear(self) -> None:
        """Forget every frame."""
        with self._lock:
            self._frames.clear()
            self.bytes_used = 0
