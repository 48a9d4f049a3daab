"""The bytes that a folder of frames holds, counted in one file by all who write to it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections import deque
from collections.abc import Callable

from stemob_wrappers.cache.owned import SAFE, OwnedFolder

FILE = "used"
STALLED_SECONDS = 5.0  # time after which a counter that stays locked is given up and made anew
MOST_BYTES = 2**60  # a counter beyond it is not to be believed
OPEN = os.O_RDWR | os.O_CREAT | SAFE


class Counter:
    """Bytes held, shared by processes; nobody waits for another.

    Args:
        measure: sums up what a folder holds, for a counter that was lost.
    """

    def __init__(self, measure: Callable[[OwnedFolder], int]) -> None:
        self._measure = measure
        self._uncounted: deque[int] = deque()  # changes to count when the lock is free
        self._stalled_since: float | None = None

    def add(self, folder: OwnedFolder, change: int) -> int | None:
        """Add to the counter and return it, or None where another process has it locked.

        The change is then counted the next time. A lock that lasts is a stopped process's: the
        counter is removed, lock and all, and the next time made anew.
        """
        self._uncounted.append(change)
        descriptor = os.open(FILE, OPEN, 0o600, dir_fd=folder.descriptor)
        try:
            if not lock(descriptor, wait=False):
                self._bear(folder)
                return None
            self._stalled_since = None
            stored = os.pread(descriptor, 9, 0)
            changes = sum(self._uncounted.popleft() for _ in range(len(self._uncounted)))
            used = max(0, int.from_bytes(stored, "little", signed=True) + changes)
            if len(stored) != 8 or used > MOST_BYTES:
                used = self._measure(folder)
            os.pwrite(descriptor, used.to_bytes(8, "little", signed=True), 0)
            os.ftruncate(descriptor, 8)
            return used
        finally:
            os.close(descriptor)

    def forget(self, folder: OwnedFolder) -> None:
        """Remove the counter; the next to add to it measures what there is."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(FILE, dir_fd=folder.descriptor)

    def drop_changes(self) -> None:
        """Leave out what is not counted yet: the folder is another one."""
        self._uncounted.clear()

    def _bear(self, folder: OwnedFolder) -> None:
        now = time.monotonic()
        self._stalled_since = self._stalled_since or now
        if now - self._stalled_since >= STALLED_SECONDS:
            self._stalled_since = None
            self.forget(folder)


def lock(descriptor: int, wait: bool) -> bool:
    """Lock an open file for this process alone; without ``wait``, say whether it was free."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
