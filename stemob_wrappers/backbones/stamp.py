"""Is a model folder as it was when it was loaded? File times tell, or bytes where in doubt."""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = (".json", ".safetensors", ".txt", ".model")  # of the files that a model is read from
DEPTH = 3  # a model, its plain one, a part of that
# A file changed within the resolution of its file system's clock may change again at that time.
SETTLED_NS = 2 * 10**9
MAX_HASHED_BYTES = 2**30

Files = tuple[tuple[str, int, int, int, int], ...]


@dataclass(frozen=True)
class Stamp:
    """What some folders held at one time.

    Attributes:
        folders: those of a model.
        files: path, size, times of change (content, entry) and inode of each file.
        content: hash of all bytes, where files changed too lately for their times to tell.
    """

    folders: tuple[Path, ...]
    files: Files
    content: str | None

    @classmethod
    def of(cls, folders: tuple[Path, ...]) -> Stamp:
        """Look at folders; their files' bytes are read only if one has just changed."""
        now, files = time.time_ns(), _look_at(folders)
        settled = all(max(file[2:4]) < now - SETTLED_NS for file in files)
        return cls(folders, files, None if settled else _hash(files))

    def renewed(self) -> Stamp | None:
        """Return the stamp of the same folders now, or None if a file changed.

        Example:
            >>> stamp = Stamp.of((Path("model"),))
            >>> stamp.renewed() == stamp
            True
        """
        if self.content is None:
            return self if _look_at(self.folders) == self.files else None
        now = Stamp.of(self.folders)
        return now if (now.content or _hash(now.files)) == self.content else None


def _look_at(folders: tuple[Path, ...]) -> Files:
    found: list[tuple[str, int, int, int, int]] = []
    for folder in folders:
        for depth in range(DEPTH):
            for path in sorted(folder.glob("*/" * depth + "*")):
                if path.suffix in SUFFIXES and path.is_file():
                    status = path.stat()
                    times = (status.st_mtime_ns, status.st_ctime_ns)
                    found.append((str(path), status.st_size, *times, status.st_ino))
    return tuple(found)


def _hash(files: Files) -> str:
    if sum(size for _, size, *_ in files) > MAX_HASHED_BYTES:
        return secrets.token_hex(16)  # equal to nothing: loaded again while it is in doubt
    digest = hashlib.blake2b(digest_size=16)
    for path, size, *_ in files:
        digest.update(f"{path} {size}\n".encode())
        with open(path, "rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()
