"""The bytes of one cached frame: a fixed binary header, then the raw pixels.

Little-endian: magic (8 bytes), version (2), number of dimensions (1), zero (1), dtype (8), shape
(4 x 4), length of the pixels (8), key (16), checksum (4, CRC-32 of all that comes before it and of
the pixels). Whatever deviates from that is no entry.
"""

from __future__ import annotations

import math
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

KEY_BYTES = 16
MAX_FRAME_BYTES = 64 * 2**20

_MAGIC = b"STEMOBFR"
_VERSION = 1
_DTYPE = b"|u1"
_FIELDS = struct.Struct("<8sHBB8s4IQ16s")
_CHECKSUM_BYTES = 4
HEADER_BYTES = _FIELDS.size + _CHECKSUM_BYTES


def pack_header(key: bytes, frame: NDArray[np.uint8]) -> bytes:
    """Return the header that precedes a contiguous frame's bytes.

    Raises:
        ValueError: a key of another length than 16, or no uint8 frame of 1 to 4 dimensions.

    Example:
        >>> frame = np.zeros((2, 2, 3), np.uint8)
        >>> len(pack_header(bytes(16), frame))
        64
    """
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key on disk has {KEY_BYTES} bytes, received {len(key)}")
    if frame.dtype != np.uint8 or not 1 <= frame.ndim <= 4 or not frame.size:
        raise ValueError(
            "a frame on disk is uint8 of 1 to 4 dimensions and not empty, "
            f"received {frame.dtype} {frame.shape}"
        )
    shape = (*frame.shape, 0, 0, 0)[:4]
    fields = _FIELDS.pack(_MAGIC, _VERSION, frame.ndim, 0, _DTYPE, *shape, frame.nbytes, key)
    return fields + _checksum(fields, frame.data)


def parse(data: bytes | bytearray, key: bytes) -> NDArray[np.uint8] | None:
    """Return the frame in an entry's bytes, or None unless every byte is as written.

    The frame lies in the memory of ``data``: nothing is copied.

    Example:
        >>> frame = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
        >>> data = pack_header(bytes(16), frame) + frame.tobytes()
        >>> parse(data, bytes(16)).shape, parse(data[:-1], bytes(16))
        ((2, 2, 3), None)
    """
    if len(data) <= HEADER_BYTES:
        return None
    fields = bytes(data[: _FIELDS.size])
    magic, version, ndim, zero, dtype, *shape, length, stored_key = _FIELDS.unpack(fields)
    known = (magic, version, zero, dtype.rstrip(b"\0")) == (_MAGIC, _VERSION, 0, _DTYPE)
    if not known or stored_key != key or not 1 <= ndim <= 4:
        return None
    if length != len(data) - HEADER_BYTES or math.prod(shape[:ndim]) != length:
        return None
    pixels = memoryview(data)[HEADER_BYTES:]
    if data[_FIELDS.size : HEADER_BYTES] != _checksum(fields, pixels):
        return None
    return np.frombuffer(pixels, np.uint8).reshape(shape[:ndim])


def _checksum(fields: bytes, pixels: memoryview) -> bytes:
    return zlib.crc32(pixels, zlib.crc32(fields)).to_bytes(_CHECKSUM_BYTES, "little")
