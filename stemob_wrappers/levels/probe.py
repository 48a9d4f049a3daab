"""A small probe that reads positions from frames: what of the layout is still there to be read?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from stemob_wrappers.augment import Augmentation

TEST_SHARE = 0.2


def probe_errors(
    train: NDArray[np.uint8],
    points: NDArray[np.float32],
    tests: list[NDArray[np.uint8]],
    test_points: NDArray[np.float32],
    *,
    seed: int,
    steps: int = 300,
    augment: Augmentation | None = None,
) -> NDArray[np.float64]:
    """Train one probe and return its mean error on each set of test frames and each point.

    Args:
        train: uint8 [S, H, W, 3], frames to train on.
        points: float32 [S, P, 3], where things are in them, in m.
        tests: sets of frames of the same T states.
        test_points: float32 [T, P, 3].
        seed: of weights, batches and augmentation.
        steps: optimiser steps of 32 frames.
        augment: changes each batch, images in [0, 1], or None.

    Returns:
        float64 [len(tests), P], mean distance in cm.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    targets = torch.from_numpy(points).flatten(1)
    centre, spread = targets.mean(0), targets.std(0).clamp_min(1e-4)
    model = _probe(targets.shape[1])
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    model.train()
    for _ in range(steps):
        chosen = torch.randint(len(train), (32,), generator=generator)
        images = _to_images(train[chosen.numpy()])
        if augment is not None:
            images = 2 * augment((images + 1) / 2, generator) - 1
        loss = F.smooth_l1_loss(model(images), (targets[chosen] - centre) / spread)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
    model.eval()
    errors = []
    with torch.inference_mode():
        for frames in tests:
            read = torch.cat([model(_to_images(part)) for part in np.array_split(frames, 8)])
            found = (read * spread + centre).reshape(test_points.shape).numpy()
            errors.append(np.linalg.norm(found - test_points, axis=2).mean(0) * 100)
    return np.array(errors, np.float64)


def reading_errors(
    frames: NDArray[np.uint8],
    points: NDArray[np.float32],
    names: Sequence[str],
    *,
    seeds: int,
    steps: int,
    augment: Augmentation | None = None,
) -> dict[str, float]:
    """Train probes on clean frames and return their errors on held-out states, as fields of a row.

    Args:
        frames: uint8 [A, S, H, W, 3]; appearance 0 is the unchanged one.
        points: float32 [S, P, 3], where things are, in m.
        names: what the P points are.
        seeds: how many probes; the errors are medians over them.
        steps, augment: of each.

    Returns:
        errors in cm: ``clean_cm``, ``perturbed_cm`` with the lowest and the highest of the seeds,
        and of the perturbed error that of the end effector and of the objects, NaN without any.
    """
    held_out = max(2, round(TEST_SHARE * frames.shape[1]))
    train, tests = frames[0, :-held_out], [look[-held_out:] for look in frames]
    known, asked = points[:-held_out], points[-held_out:]
    errors = np.array(
        [
            probe_errors(train, known, tests, asked, seed=seed, steps=steps, augment=augment)
            for seed in range(seeds)
        ]
    )  # [seeds, looks, points]
    perturbed = errors[:, 1:].mean(axis=1)
    effector = np.array([name == "end effector" for name in names])
    overall = perturbed.mean(axis=1)
    return {
        "clean_cm": float(np.median(errors[:, 0].mean(axis=1))),
        "perturbed_cm": float(np.median(overall)),
        "perturbed_low_cm": float(overall.min()),
        "perturbed_high_cm": float(overall.max()),
        "effector_cm": _median_of(perturbed, effector),
        "objects_cm": _median_of(perturbed, ~effector),
    }


def _median_of(errors: NDArray[np.float64], points: NDArray[np.bool_]) -> float:
    return float(np.median(errors[:, points].mean(axis=1))) if points.any() else np.nan


def _probe(outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 8, stride=4),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(10),
        nn.Flatten(),
        nn.Linear(64 * 100, 128),
        nn.ReLU(),
        nn.Linear(128, outputs),
    )


def _to_images(frames: NDArray[np.uint8]) -> torch.Tensor:
    images = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
    return images.contiguous(memory_format=torch.channels_last)
