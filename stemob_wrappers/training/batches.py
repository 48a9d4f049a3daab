"""Random crops of rendered frames: two states of a scene at a time, each under two appearances."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open

SIZES = (64, 72, 84, 96, 112, 128)
CROP = 80
ALL_RANDOM = "procedural"  # rooms painted at random, of which no appearance is the nominal one


class Crops(NamedTuple):
    """Crops of N states; states 2 i and 2 i + 1 are of one scene.

    Attributes:
        images: float [2, N, 3, H, W] in [-1, 1], the states under two appearances.
        nominal: float [N, 3, H, W], the same in the scene's nominal appearance, as it was rendered.
        known: float [N], 1 where the scene has a nominal appearance, else 0.
    """

    images: torch.Tensor
    nominal: torch.Tensor
    known: torch.Tensor


class FrameSource:
    """The frames of folders of scenes, in memory.

    Args:
        folders: of scenes; each is drawn from equally often.

    Raises:
        ValueError: a folder holds no scene.
    """

    def __init__(self, *folders: Path) -> None:
        self.folders = [_read_frames(folder) for folder in folders]

    def batch(self, rng: np.random.Generator, batch_size: int) -> torch.Tensor:
        """Draw crops, float [batch_size, 3, CROP or less, same] in [-1, 1]."""
        return self.draw(rng, 2 * -(-batch_size // 4)).images.flatten(0, 1)[:batch_size]

    def draw(self, rng: np.random.Generator, count: int) -> Crops:
        """Draw the crops of ``count`` states, an even number."""
        chosen, known = [], []
        for _ in range(count // 2):
            scenes = self.folders[rng.integers(len(self.folders))]
            frames, has_nominal = scenes[rng.integers(len(scenes))]
            appearances = [*rng.choice(frames.shape[1], 2, replace=False), 0]
            states = rng.choice(len(frames), 2, replace=False)
            chosen += [frames[state][appearances] for state in states]
            known += [float(has_nominal)] * 2
        images = torch.stack(chosen, 1).flatten(0, 1).permute(0, 3, 1, 2).float() / 127.5 - 1
        size = int(rng.choice(SIZES))
        # Renderers alias and users resize: the codec has to know both.
        images = F.interpolate(images, size, mode=str(rng.choice(["area", "nearest"])))
        crop = min(CROP, size // 8 * 8)
        top, left = rng.integers(0, size - crop + 1, 2)
        images = images[:, :, top : top + crop, left : left + crop]
        if rng.random() < 0.5:
            images = images.flip(-1)
        seen, nominal = images.split([2 * count, count])
        seen = _shift_colours(seen, rng).contiguous(memory_format=torch.channels_last)
        return Crops(seen.unflatten(0, (2, count)), nominal, torch.tensor(known))


def _read_frames(folder: Path) -> list[tuple[torch.Tensor, bool]]:
    """The frames of each scene, uint8 [S, A, H, W, 3], and whether it has a nominal appearance."""
    paths = sorted(folder.glob("scene-*.safetensors"))
    if not paths:
        raise ValueError(
            f"{folder} holds no scene-*.safetensors; render some first: "
            f"`stemob train-backbone --scenes {folder} --out DIR` does"
        )
    found = []
    for path in paths:
        with safe_open(path, "pt") as file:
            scene = json.loads((file.metadata() or {}).get("scene", "{}"))
            found.append((file.get_tensor("frames"), scene.get("source") != ALL_RANDOM))
    return found


def _shift_colours(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Scale and shift the channels of half of the images, so that no colour is strange."""
    n = len(images)
    on = rng.random((n, 1, 1, 1)) < 0.5
    gain = np.where(on, rng.uniform(0.5, 1.3, (n, 3, 1, 1)), 1.0)
    bias = np.where(on, rng.uniform(-0.3, 0.3, (n, 3, 1, 1)), 0.0)
    return (images * torch.from_numpy(gain).float() + torch.from_numpy(bias).float()).clamp(-1, 1)
