"""Write HDF5 files so that a full disk is an ordinary exception."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from stemob_wrappers.extras import needs

with needs("datasets"):
    import h5py


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """Open a new file; give it, and a function that raises if a write has failed so far.

    HDF5 crashes when a file is closed that could not be written to. Here a failed write is
    remembered instead, HDF5 is told that all is well, and the error is raised when asked for and
    at the end.

    Raises:
        OSError: the file cannot be made, or a write failed.

    Example:
        >>> with new_file(Path("a.hdf5")) as (file, check):
        ...     file["a"] = [1, 2]
        ...     check()
    """
    sink = _Sink(path)
    try:
        with h5py.File(sink, "w") as file:
            yield file, sink.check
    except (OSError, RuntimeError):
        sink.check()
        raise
    finally:
        os.close(sink.descriptor)
    sink.check()


class _Sink:
    """The file object that h5py writes to."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        self.position = 0
        self.size = 0
        self.error: OSError | None = None

    def check(self) -> None:
        if self.error is not None:
            raise self.error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence]
        self.position = start + offset
        return self.position

    def tell(self) -> int:
        return self.position

    def read(self, count: int) -> bytes:
        data = os.pread(self.descriptor, count, self.position)
        self.position += len(data)
        return data

    def readinto(self, buffer: memoryview) -> int:
        count = os.preadv(self.descriptor, [buffer], self.position)
        self.position += count
        return count

    def write(self, data: memoryview) -> int:
        view = memoryview(data).cast("B")
        try:
            written = 0
            while self.error is None and written < len(view):
                written += os.pwrite(self.descriptor, view[written:], self.position + written)
        except OSError as error:
            self.error = error
        self.position += len(view)
        self.size = max(self.size, self.position)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        self.size = self.position if size is None else size
        if self.error is None:
            try:
                os.ftruncate(self.descriptor, self.size)
            except OSError as error:
                self.error = error
        return self.size

    def flush(self) -> None:
        """Nothing is held back."""
