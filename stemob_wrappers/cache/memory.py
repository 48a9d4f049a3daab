"""The memory tier: a byte-bounded, thread-safe table of frames."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray


class MemoryTier:
    """Keeps copies of frames and forgets the longest unread first.

    Args:
        max_bytes: bytes of frames kept; 0 keeps none.

    Attributes:
        bytes_used: bytes of frames held now.

    Example:
        >>> tier = MemoryTier(100_000)
        >>> tier.put(b"key", np.zeros((84, 84, 3), np.uint8))
        >>> len(tier), tier.bytes_used
        (1, 21168)
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes_used = 0
        self._frames: OrderedDict[bytes, NDArray[np.uint8]] = OrderedDict()
        self._lock = threading.Lock()
        _tiers.add(self)

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
        if frame.nbytes > self.max_bytes:
            return
        frame = frame.copy()
        with self._lock:
            replaced = self._frames.pop(key, None)
            self.bytes_used += frame.nbytes - (0 if replaced is None else replaced.nbytes)
            self._frames[key] = frame
            while self.bytes_used > self.max_bytes:
                _, evicted = self._frames.popitem(last=False)
                self.bytes_used -= evicted.nbytes

    def clear(self) -> None:
        """Forget every frame."""
        with self._lock:
            self._frames.clear()
            self.bytes_used = 0

    def recover_from_fork(self) -> None:
        """Take a fresh lock and count anew; a thread that is not in this process was at work."""
        self._lock = threading.Lock()
        self.bytes_used = sum(frame.nbytes for frame in self._frames.values())


_tiers: weakref.WeakSet[MemoryTier] = weakref.WeakSet()


def _recover_from_fork() -> None:
    for tier in _tiers:
        tier.recover_from_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_recover_from_fork)
