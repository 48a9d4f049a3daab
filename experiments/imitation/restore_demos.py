"""Demonstrations whose noisy actions are found and restored, before a policy learns from them.

python -m experiments.imitation.restore_demos --demos noisy.hdf5 --out restored.hdf5
python -m experiments.imitation.restore_demos --demos noisy.hdf5 --out r.hdf5 --truth clean.hdf5

After DMDR (Chen, Yong and Sun, "Restoring Noisy Demonstration for Imitation Learning with Diffusion
Models", arXiv 2510.14467): neither clean labels nor the env are needed. An autoencoder and the
Local Outlier Factor keep the less odd half of the actions. On these, a diffusion model learns the
action that goes with a state, and a predictor how noisy an action is. Every other action is left as
it is if the predictor finds little noise, and is denoised from the level that it finds otherwise.

The paper filters and restores states as well. Here they stay: frames belong to them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments.imitation.demo_file import copy_with_actions, files_parser
from experiments.imitation.pollute_demos import read_actions
from experiments.imitation.restoration import LEVELS, Report, deviation, restore


def restore_demos(
    demos: str | Path,
    out: str | Path,
    *,
    threshold: float = 30.0,
    train_steps: int = 1500,
    seed: int = 0,
) -> Report:
    """Copy a robomimic file with its noisy actions restored.

    The report is kept in the copy, as the attribute ``restored_with`` of ``data``.

    Args:
        demos: the file; its state is the low-dimensional part of ``obs`` and ``states``, without
            the time that these begin with.
        out: the file to write.
        threshold: level of noise, of 100, below which an action is left as it is.
        train_steps: of each of the three networks.
        seed: of weights, batches and noise.

    Raises:
        ValueError: an argument out of range, or a file without any state.
        FileNotFoundError: no file ``demos``.
        FileExistsError: ``out`` is there.
    """
    demos, out = Path(demos), Path(out)
    if not 0 <= threshold <= LEVELS or train_steps < 1:
        raise ValueError(
            f"threshold must be from 0 to {LEVELS} and train_steps at least 1, got {threshold} and "
            f"{train_steps}."
        )
    if out.exists():
        raise FileExistsError(f"{out} exists: move it or name another.")
    recorded = read_actions(demos)
    raw = torch.from_numpy(np.concatenate(list(recorded.values())))
    mean, scale = raw.mean(0), deviation(raw)
    actions, states = (raw - mean) / scale, read_states(demos, list(recorded))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        restored, report = restore(actions, states, threshold, train_steps)
    changed = (restored != actions).any(1)
    bounded = (restored * scale + mean).clamp(raw.amin(0), raw.amax(0))
    repaired = torch.where(changed[:, None], bounded, raw).numpy()
    ends = np.cumsum([len(part) for part in recorded.values()])[:-1]
    parts = dict(zip(recorded, np.split(repaired, ends), strict=True))
    settings = {"threshold": threshold, "train_steps": train_steps, "seed": seed}
    copy_with_actions(demos, out, parts, {"restored_with": {**settings, **vars(report)}})
    return report


def read_states(demos: Path, names: list[str]) -> Tensor:
    """The states of demonstrations, one after another, float32 [T, S], each of deviation 1.

    Raises:
        ValueError: there are none.
    """
    with h5py.File(demos, "r") as file:
        data: Any = file["data"]
        states = torch.from_numpy(np.concatenate([_state(data[name], demos) for name in names]))
    return ((states - states.mean(0)) / deviation(states)).clamp(-10, 10)


def _state(group: Any, demos: Path) -> NDArray[np.float32]:
    observed: Any = group.get("obs", {})
    parts = [np.asarray(observed[key]) for key in sorted(observed)]
    parts = [part for part in parts if part.dtype.kind == "f" and part.ndim == 2]
    if "states" in group:
        parts.append(np.asarray(group["states"])[:, 1:])  # the time comes first
    if not parts:
        raise ValueError(
            f"{demos} needs floats [T, S] in obs, or states, which say where things were; "
            f"{group.name} has {sorted(group)} and in obs {sorted(observed)}."
        )
    return np.concatenate(parts, axis=1).astype(np.float32)


def mean_error(demos: Path, truth: Path) -> float:
    """Mean absolute difference between the actions of two files."""
    ours, theirs = read_actions(demos), read_actions(truth)
    return float(np.abs(np.concatenate([ours[name] - theirs[name] for name in theirs])).mean())


def main() -> None:
    parser = files_parser(__doc__)
    parser.add_argument("--threshold", type=float, default=30.0, help="noise that is left, of 100")
    parser.add_argument("--train-steps", type=int, default=1500, help="of each network")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--truth", type=Path, help="the file without noise, to compare with")
    settings = vars(parser.parse_args())
    truth = settings.pop("truth")
    report = vars(restore_demos(**settings))
    if truth is not None:
        report["error_before"] = mean_error(settings["demos"], truth)
        report["error_after"] = mean_error(settings["out"], truth)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
