"""Demonstrations of a robomimic file as arrays, and the batches that policies are trained on."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

IMAGE_SUFFIX = "_image"

# robosuite's proprio of the Panda arm: where the pose of its hand and its fingers stand.
PROPRIO_SIZE = 50
HAND_POSITION = slice(35, 38)  # metres
HAND_QUATERNION = slice(38, 42)  # x, y, z, w
FINGERS = slice(46, 48)  # metres
HAND_SIZE = 11


@dataclass(frozen=True)
class Demos:
    """The steps of all demonstrations, one after another.

    images: camera key -> uint8 [T, H, W, 3].
    hand: float32 [T, 11], see `hand_state`.
    actions: float32 [T, A].
    last: int64 [T], the index of the last step of the demonstration that a step belongs to.
    """

    images: dict[str, Tensor]
    hand: Tensor
    actions: Tensor
    last: Tensor

    def __len__(self) -> int:
        return len(self.actions)

    def shapes(self) -> dict[str, Any]:
        """What a network must know of them: ``cameras``, ``size`` (H, W) and ``num_actions``."""
        height, width = next(iter(self.images.values())).shape[1:3]
        return {
            "cameras": list(self.images),
            "size": (height, width),
            "num_actions": self.actions.shape[1],
        }

    def to(self, device: torch.device) -> Demos:
        images = {key: value.to(device) for key, value in self.images.items()}
        return Demos(images, self.hand.to(device), self.actions.to(device), self.last.to(device))


@dataclass(frozen=True)
class Batch:
    """What a network learns from.

    images: camera key -> float32 [N, 3, H, W] in [0, 1].
    hand: float32 [N, 11].
    actions: float32 [N, L, A], the actions of a step and of the L - 1 steps after it.
    """

    images: dict[str, Tensor]
    hand: Tensor
    actions: Tensor


def load_demos(path: str | Path, split: str) -> Demos:
    """Read the demonstrations that ``mask/<split>`` names, with all their cameras, into memory.

    Args:
        path: a robomimic file with ``actions``, ``obs/<camera>_image`` and ``obs/proprio``.
        split: "train" or "valid".

    Raises:
        ValueError: the file has no such mask, no images, or no proprio of the expected width.
    """
    with h5py.File(path, "r") as file:
        names = _names(file, split)
        groups: list[Any] = [file[f"data/{name}"] for name in names]
        cameras = sorted(key for key in groups[0]["obs"] if key.endswith(IMAGE_SUFFIX))
        if not cameras or "proprio" not in groups[0]["obs"]:
            raise ValueError(
                f"{path} needs obs/<camera>{IMAGE_SUFFIX} and obs/proprio in every demonstration; "
                f"{names[0]} has {sorted(groups[0]['obs'])}."
            )
        images = {key: _joined(groups, f"obs/{key}", np.uint8) for key in cameras}
        proprio = _joined(groups, "obs/proprio", np.float32)
        actions = _joined(groups, "actions", np.float32)
        lengths = [len(group["actions"]) for group in groups]
    last = np.repeat(np.cumsum(lengths) - 1, lengths)
    return Demos(images, hand_state(proprio), actions, torch.from_numpy(last))


def hand_state(proprio: Tensor) -> Tensor:
    """Pose of the hand and its fingers: [N, 50] -> [N, 11] (position, rotation, fingers).

    Joint angles and velocities are left out on purpose: a policy that is given them learns to
    tell the time of the demonstration from them and looks at its images less. Two columns of the
    rotation matrix stand for the quaternion, whose sign jumps.

    Raises:
        ValueError: another width.
    """
    if proprio.shape[-1] != PROPRIO_SIZE:
        raise ValueError(
            f"proprio must have the {PROPRIO_SIZE} numbers of robosuite's Panda, got "
            f"{proprio.shape[-1]}: name the places of another robot's hand in data.py."
        )
    x, y, z, w = proprio[..., HAND_QUATERNION].unbind(-1)
    first = (1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w))
    second = (2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w))
    rotation = torch.stack(first + second, dim=-1)
    return torch.cat([proprio[..., HAND_POSITION], rotation, proprio[..., FINGERS]], dim=-1)


def float_images(images: Tensor) -> Tensor:
    """uint8 [N, H, W, 3] -> float32 [N, 3, H, W] in [0, 1], channels last in memory."""
    return images.permute(0, 3, 1, 2).float().div_(255)


def take_batch(demos: Demos, index: Tensor, length: int) -> Batch:
    """The steps ``index`` (int64 [N]) with ``length`` actions each; a last action is repeated."""
    ahead = index[:, None] + torch.arange(length, device=index.device)
    ahead = torch.minimum(ahead, demos.last[index][:, None])
    images = {key: float_images(frames[index]) for key, frames in demos.images.items()}
    return Batch(images, demos.hand[index], demos.actions[ahead])


def shuffled_index(size: int, batch_size: int, step: int, seed: int) -> Tensor:
    """Which samples training step ``step`` sees: int64 [batch_size].

    Every epoch is a new permutation; a rest smaller than a batch is left out. Depends on the
    arguments alone, so a resumed training goes on as if it had never stopped.
    """
    epoch, place = divmod(step, max(1, size // batch_size))
    order = _permutation(size, seed, epoch)
    return torch.from_numpy(order[place * batch_size : (place + 1) * batch_size])


@functools.lru_cache(maxsize=1)  # a large file's takes as long as a training step on a GPU
def _permutation(size: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(size)


def _names(file: h5py.File, split: str) -> list[str]:
    mask = file.get(f"mask/{split}")
    if not isinstance(mask, h5py.Dataset) or len(mask) == 0:
        raise ValueError(
            f"{file.filename} needs the names of demonstrations in mask/{split}, which is missing "
            "or empty: write them as collect.py and robomimic's split_train_val.py do."
        )
    return [name.decode() for name in mask[()]]


def _joined(groups: list[Any], key: str, dtype: type) -> Tensor:
    return torch.from_numpy(np.concatenate([np.asarray(group[key], dtype) for group in groups]))
