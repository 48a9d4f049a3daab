"""Batches of recorded frames, of which nothing else is known: a real robot's.

Without ids and shadows there is nothing to light anew. The frames are painted over (`repaint`), and
the decoder gives them back as they were recorded: `RelitConfig(targets=("nominal",), roles=0)`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from stemob_wrappers.extras import needs

with needs("train"):
    import cv2

from stemob_wrappers.pictures import IMAGE_SUFFIXES, read_image
from stemob_wrappers.training.relit import Batch, RelitConfig, filter_some
from stemob_wrappers.training.repaint import Repainter
from stemob_wrappers.training.view_crops import CROP, SIZES

REPAINTED = 0.6  # share of the frames that are painted over, and of those that are lit anew


class RecordedFrames(Dataset[Batch]):
    """The batch of every step, each drawn from its own seed.

    Args:
        folder: of images, in any of its folders, two at least.

    Raises:
        ValueError: it holds fewer images.
    """

    def __init__(self, folder: Path, config: RelitConfig) -> None:
        self.config = config
        paths = (p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        self.paths = sorted(paths)
        if len(self.paths) < 2:
            raise ValueError(
                f"{folder} holds {len(self.paths)} images; training needs 2 at least "
                f"({', '.join(sorted(IMAGE_SUFFIXES))})"
            )
        self.repainter = Repainter(REPAINTED)

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng([self.config.seed, step])
        count = self.config.batch_size // 4 * 2
        size = int(rng.choice(SIZES))
        chosen = rng.choice(len(self.paths), count, replace=count > len(self.paths))
        frames = np.stack([_square(read_image(self.paths[i]), size, rng) for i in chosen])
        recorded = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
        if rng.random() < 0.5:
            recorded = recorded.flip(3)
        images = self.repainter(recorded.repeat(2, 1, 1, 1), recorded, rng)
        filter_some(images, self.config.filtered, rng)
        wanted = recorded.repeat(2, 1, 1, 1).unflatten(0, (2, -1))
        roles = torch.zeros(count, *recorded.shape[2:], dtype=torch.int64)
        return Batch(
            images.unflatten(0, (2, -1)), dict.fromkeys(self.config.targets, wanted), roles
        )


def _square(frame: NDArray[np.uint8], size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A square window of a frame, as high or wide as it, at ``size`` pixels or what fits."""
    side = min(frame.shape[:2])
    top, left = (int(rng.integers(extent - side + 1)) for extent in frame.shape[:2])
    window = frame[top : top + side, left : left + side]
    pixels = min(size, CROP)
    return cv2.resize(window, (pixels, pixels), interpolation=cv2.INTER_AREA).astype(np.uint8)
