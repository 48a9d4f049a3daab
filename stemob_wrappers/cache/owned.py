"""A folder that is this user's own, opened once: whoever moves it away cannot put another there.

All that is done in it goes by its descriptor and not by its path, as the folder around it may
belong to others.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

SAFE = os.O_CLOEXEC | os.O_NOFOLLOW
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | SAFE
_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class OwnedFolder:
    """An open folder; it is closed when nobody holds it any more, so threads may share it.

    Args:
        path: absolute path.

    Attributes:
        descriptor: for ``dir_fd``.

    Raises:
        FileNotFoundError: there is nothing at the path.
        PermissionError: there is a link or no folder, or another user can change the folder or
            those above it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._known: set[str] = set()  # folders within, seen to be ours
        self.descriptor = -1
        try:
            self.descriptor = os.open(path, _FOLDER)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):  # whichever a link gives here
                raise _refusal("not a folder of this user", path) from error
            raise
        self._status = os.fstat(self.descriptor)
        _check_owner(self._status, path)
        if self._status.st_mode & _OTHERS:
            self.close_to_others()
        _check_parents(path)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        if self.descriptor >= 0:
            close(self.descriptor)  # `os` itself may be gone when the program ends

    def close_to_others(self) -> None:
        """Let nobody but the owner in.

        Raises:
            OSError: it is another user's, or on a disk that is read-only.
        """
        if stat.S_IMODE(os.fstat(self.descriptor).st_mode) != 0o700:
            os.fchmod(self.descriptor, 0o700)

    def is_current(self) -> bool:
        """Whether its path still leads to it; it was moved or removed otherwise."""
        try:
            now = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return False
        return (now.st_dev, now.st_ino) == (self._status.st_dev, self._status.st_ino)

    def has(self, name: str) -> bool:
        """Whether a folder of this user lies in it.

        Raises:
            PermissionError: something else does.
        """
        if name in self._known:
            return True
        try:
            status = os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        path = os.path.join(self.path, name)
        if not stat.S_ISDIR(status.st_mode):
            raise _refusal("not a folder of this user", path)
        _check_owner(status, path)
        self._known.add(name)
        return True

    def make(self, name: str) -> bool:
        """Make a folder in it, unless it is there; return whether it was not seen before.

        Raises:
            PermissionError: something else is.
        """
        if name in self._known:
            return False
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=self.descriptor)
        return self.has(name)

    def files(self, name: str) -> Iterator[os.DirEntry[str]]:
        """What lies in a folder in it, folders aside; nothing where there is no folder."""
        for item in self.items(name):
            if not item.is_dir(follow_symlinks=False):
                yield item

    def items(self, name: str = ".") -> Iterator[os.DirEntry[str]]:
        """What lies in a folder in it, or in itself."""
        try:  # a descriptor of its own: those of one folder share the place that they list from
            descriptor = os.open(name, _FOLDER, dir_fd=self.descriptor)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return
            raise
        try:
            with os.scandir(descriptor) as found:
                yield from found
        finally:
            os.close(descriptor)


def _check_owner(status: os.stat_result, path: str) -> None:
    if status.st_uid not in (os.geteuid(), 0):
        raise _refusal("not a folder of this user", path)


def _check_parents(path: str) -> None:
    """Refuse folders around it that others could put one of our own other folders into.

    Root is spared: containers run as root in folders that belong to a user outside.
    """
    if os.geteuid() == 0:
        return
    for parent in sorted({*Path(path).parents, *Path(path).resolve().parents}, reverse=True):
        status = parent.stat()
        _check_owner(status, str(parent))
        if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
            raise _refusal("a folder that every user can write to (chmod o-w or +t)", str(parent))


def _refusal(what: str, path: str) -> PermissionError:
    return PermissionError(errno.EPERM, f"{what}; remove it or choose another path", path)
