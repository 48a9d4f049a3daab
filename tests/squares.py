"""Demonstrations of a toy task: the action points at a bright square in the first image."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

SIZE = 48
CAMERAS = ("agentview_image", "robot0_eye_in_hand_image")


def squares(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [count, SIZE, SIZE, 3] and where their squares are, in [-1, 1]: [count, 2]."""
    images = rng.integers(0, 60, (count, SIZE, SIZE, 3), dtype=np.uint8)
    corners = rng.integers(0, SIZE - 10, (count, 2))
    for image, (row, column) in zip(images, corners, strict=True):
        image[row : row + 10, column : column + 10] = 230
    return images, (2 * corners / (SIZE - 10) - 1).astype(np.float32)


def proprio(rng: np.random.Generator, count: int) -> np.ndarray:
    """Random states of a Panda, with quaternions of unit length: float32 [count, 50]."""
    states = rng.normal(size=(count, 50)).astype(np.float32)
    states[:, 38:42] /= np.linalg.norm(states[:, 38:42], axis=1, keepdims=True)
    return states


def make_demos(path: Path, *, demos: int = 5, length: int = 40, seed: int = 0) -> Path:
    """A robomimic file of the toy task."""
    rng = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        for index in range(demos):
            images, places = squares(rng, length)
            demo = file.create_group(f"data/demo_{index}")
            actions = np.zeros((length, 7), np.float32)
            actions[:, :2] = places
            demo["actions"] = actions
            demo[f"obs/{CAMERAS[0]}"] = images
            demo[f"obs/{CAMERAS[1]}"] = rng.integers(0, 256, images.shape, dtype=np.uint8)
            demo["obs/proprio"] = proprio(rng, length)
        names = np.array([f"demo_{index}" for index in range(demos)], dtype="S")
        file["mask/train"], file["mask/valid"] = names[:-1], names[-1:]
    return path


def observation(seed: int, count: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What a vector env of the toy task gives, and where the squares are: [count, 2]."""
    rng = np.random.default_rng(seed)
    images, places = squares(rng, count)
    other = rng.integers(0, 256, images.shape, dtype=np.uint8)
    return {CAMERAS[0]: images, CAMERAS[1]: other, "proprio": proprio(rng, count)}, places
