"""Files with damaged headers, read one after the other in a process that may die of them."""

from __future__ import annotations

import mmap
import random
import resource
import signal
import struct
import traceback
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

SECONDS = 20  # of processor time that one file may take
FUSE_BYTES = 4 * 2**30  # of address space on top, so that a defect does not take the machine along
# The number at work, files refused, files read, memory taken, and the number that took it.
_COUNTS = struct.Struct("<5Q")


@dataclass
class Findings:
    """What became of the files.

    Attributes:
        read: how many were read without an error.
        refused: how many were refused with a ValueError or an OSError.
        taken_bytes: resident memory at the worst moment beyond that at the start.
        taken_by: the number of the file that was read then.
        failed: other endings, by the number that ``damaged`` makes the file of.
    """

    read: int = 0
    refused: int = 0
    taken_bytes: int = 0
    taken_by: int = 0
    failed: dict[int, str] | None = None


def read_damaged(
    read: Callable[[Path], None],
    seeds: dict[str, bytes],
    folder: Path,
    numbers: range,
) -> Findings:
    """Read one damaged file for each number; a process that ends under way is replaced.

    Args:
        read: a function of a module, called with a path.
        seeds: sound files by name.
        folder: where the damaged ones are put, each in the place of the one before.
        numbers: file n is ``damaged(n, seeds)``.
    """
    context = get_context("fork")
    findings = Findings(failed={})
    assert findings.failed is not None
    left = numbers
    while left:
        shared, said = folder / "counts", folder / "said"
        shared.write_bytes(bytes(_COUNTS.size))
        said.write_text("")
        child = context.Process(target=_read_all, args=(read, seeds, folder, left))
        child.start()
        child.join()
        at, refused, passed, *taken = _COUNTS.unpack(shared.read_bytes())
        findings.refused += refused
        findings.read += passed
        worst = max((findings.taken_bytes, findings.taken_by), tuple(taken))
        findings.taken_bytes, findings.taken_by = worst
        if child.exitcode == 0:
            break
        findings.failed[at] = said.read_text() or f"ended with {child.exitcode}"
        left = left[left.index(at) + 1 :]
    return findings


def _read_all(
    read: Callable[[Path], None], seeds: dict[str, bytes], folder: Path, numbers: range
) -> None:
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # it also ends a loop within a library
    start = _peak()
    limit = _address_space() + FUSE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    refused = passed = taken = taken_by = 0
    with open(folder / "counts", "r+b") as file, mmap.mmap(file.fileno(), _COUNTS.size) as counts:
        for number in numbers:
            counts[:] = _COUNTS.pack(number, refused, passed, taken, taken_by)
            name, data = damaged(number, seeds)
            (folder / name).write_bytes(data)
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            try:
                read(folder / name)
                passed += 1
            except (ValueError, OSError):
                refused += 1
            except BaseException:
                (folder / "said").write_text(traceback.format_exc())
                raise SystemExit(1) from None
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
            if _peak() - start > taken:
                taken, taken_by = _peak() - start, number
        counts[:] = _COUNTS.pack(numbers[-1], refused, passed, taken, taken_by)


def damaged(number: int, seeds: dict[str, bytes]) -> tuple[str, bytes]:
    """Return the name and the bytes of the file of a number.

    Of a sound file some bytes are replaced: by others, by those of other places, by numbers that
    are large or small for their size. Every fifth is cut off. Checksums of PNG are mended in half
    of them, so that what lies behind is reached.
    """
    rng = random.Random(number)
    name = rng.choice(sorted(seeds))
    data = bytearray(seeds[name])
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        size = rng.choice((1, 1, 2, 4, 8))
        # Headers come first in most formats, and last in some.
        most = len(data) if rng.random() < 0.5 else min(len(data), 512)
        at = rng.randrange(max(1, most - size))
        kind = rng.randrange(4)
        if kind == 0:
            data[at : at + size] = rng.randbytes(size)
        elif kind == 1:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            other = rng.randrange(len(data) - size)
            data[at : at + size] = data[other : other + size]
        else:
            value = rng.choice((0, 1, 2, 3, 255, -1, -2, 2 ** (8 * size - 1) - 1)) % 256**size
            data[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))
    if number % 5 == 0:
        del data[rng.randrange(len(data)) :]
    if name.endswith(".png") and number % 2:
        _mend_checksums(data)
    return name, bytes(data)


def _mend_checksums(data: bytearray) -> None:
    at = 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        end = at + 8 + length
        if end + 4 > len(data):
            return
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4


def _peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
