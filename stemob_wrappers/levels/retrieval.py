"""Does a frame under another look find the clean frame of its own state, among those of all states?

What a policy of nearest neighbours asks of its frames (VINN, arXiv 2112.01511): nothing is trained.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

CELLS = 12  # side of the map that frames are averaged to: 7 pixels of a frame of 84


def own_state_share(frames: NDArray[np.uint8]) -> float:
    """Share of the perturbed frames whose nearest clean frame shows the same state.

    By chance it is 1 / S. Frames are compared by the Euclidean distance of their averages over
    12 x 12 cells.

    Args:
        frames: uint8 [A, S, H, W, 3]; appearance 0 is the unchanged one.

    Example:
        >>> states = np.arange(0, 100, 10, dtype=np.uint8).reshape(1, 10, 1, 1, 1)
        >>> frames = np.broadcast_to(states, (1, 10, 12, 12, 3))
        >>> own_state_share(np.concatenate([frames, frames + 4]))
        1.0
        >>> own_state_share(np.concatenate([frames, frames + 6]))
        0.1
    """
    looks, states = frames.shape[:2]
    clean = _pooled(frames[0])
    found = 0
    for look in frames[1:]:
        nearest = torch.cdist(_pooled(look), clean).argmin(1)
        found += int((nearest == torch.arange(states)).sum())
    return found / ((looks - 1) * states)


def _pooled(frames: NDArray[np.uint8]) -> torch.Tensor:
    images = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()
    return F.adaptive_avg_pool2d(images, CELLS).flatten(1)
