"""What names a frame, and what names the way it is transformed: digests, identity, fingerprint."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.config import StemConfig

# Raised when the same config, weights and noise come to give other bytes than before.
ARITHMETIC = 1


def frame_digest(frame: NDArray[np.uint8]) -> bytes:
    """Hash a frame's shape and content, 16 bytes (blake2b).

    Example:
        >>> len(frame_digest(np.zeros((84, 84, 3), np.uint8)))
        16
    """
    digest = hashlib.blake2b(repr((frame.shape, frame.dtype.str)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(frame).data)
    return digest.digest()


def identity(config: StemConfig, weights: str) -> dict[str, Any]:
    """Return what decides the bytes, as JSON.

    The config, with the digest of the weights in place of the names they were found under.

    Example:
        >>> identity(StemConfig(), "ab12")["weights"]
        'ab12'
    """
    fields = config.to_dict()
    del fields["backbone"], fields["codec"]
    return {**fields, "weights": weights, "arithmetic": ARITHMETIC}


def fingerprint(identity: dict[str, Any]) -> str:
    """Hash an identity to 32 hexadecimal digits.

    Example:
        >>> len(fingerprint({"seed": 0}))
        32
    """
    text = json.dumps(identity, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


PACKAGES = ("stemob_wrappers", "torch", "diffusers", "numpy", "gymnasium", "mujoco", "robosuite")


def installed_versions() -> dict[str, str]:
    """Versions of this package and of those that its results depend on, by name.

    Example:
        >>> "torch" in installed_versions()
        True
    """
    found: dict[str, str] = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue  # an extra that is not installed took no part
    return found
