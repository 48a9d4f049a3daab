"""The noise policies: counter-based draws keyed by (seed, key), the same in any batch, anywhere.

A draw is a Philox stream whose key is a hash of the seed and of what the policy names, turned into
normals by Box-Muller. It is made on the CPU and then moved, so that every device sees the same one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_INV_2_24 = np.float32(2.0**-24)
_TWO_PI = np.float32(2 * np.pi)


def noise_key(policy: str, *, frame: bytes, episode: bytes, count: int) -> bytes:
    """Return what names the noise field of one frame under a policy.

    Args:
        policy: ``"frame"``, ``"fixed"``, ``"episode"`` or ``"fresh"``.
        frame: digest of the frame's content, used by ``"frame"``.
        episode: key drawn at the episode's reset, used by ``"episode"``.
        count: number of frames of the episode seen before this one, used by ``"fresh"`` with the
            episode.

    Raises:
        ValueError: an unknown policy.

    Example:
        >>> noise_key("fixed", frame=b"a", episode=b"", count=0)
        b'fixed'
    """
    if policy == "frame":
        return b"frame" + frame
    if policy == "fixed":
        return b"fixed"
    if policy == "episode":
        return b"episode" + episode
    if policy == "fresh":
        return b"fresh" + episode + count.to_bytes(8, "little")
    raise ValueError(f"unknown noise policy {policy!r}; choose frame, fixed, episode or fresh")


def draw_noise(seed: int, keys: Sequence[bytes], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Draw one standard normal field per key, float32 [len(keys), *shape].

    The field of a key depends on (seed, key, shape) alone: not on its neighbours in the batch.

    Example:
        >>> draw_noise(0, [b"a", b"b"], (4, 2, 2)).shape
        (2, 4, 2, 2)
    """
    size = int(np.prod(shape))
    fields = np.empty((len(keys), size), np.float32)
    for field, key in zip(fields, keys, strict=True):  # one by one: cached
        field[:] = _normals(seed, key, (size + 1) // 2)[:size]
    return fields.reshape(len(keys), *shape)


def _normals(seed: int, key: bytes, pairs: int) -> NDArray[np.float32]:
    """Twice as many normals as there are pairs, float32 [2 * pairs]."""
    digest = hashlib.blake2b(key, digest_size=16, key=seed.to_bytes(8, "little")).digest()
    philox = np.random.Philox(key=np.frombuffer(digest, "<u8"))
    bits = philox.random_raw(pairs).view(np.uint32).reshape(2, pairs)
    # 24 bits fill a float32's mantissa; the half step keeps the logarithm finite.
    uniform = ((bits >> 8).astype(np.float32) + np.float32(0.5)) * _INV_2_24
    radius = np.sqrt(-2 * np.log(uniform[0]))
    angle = _TWO_PI * uniform[1]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
