"""Demonstrations with noise in some of their actions, to try a repair or a policy on.

python -m experiments.imitation.pollute_demos --demos lift.hdf5 --out lift-polluted.hdf5
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from experiments.imitation.demo_file import copy_with_actions, files_parser


def pollute_demos(
    demos: str | Path,
    out: str | Path,
    *,
    share: float = 0.2,
    deviations: float = 1.0,
    seed: int = 0,
) -> Path:
    """Copy a robomimic file with noise in the actions of some steps; return ``out``.

    Each step is chosen by itself, and all numbers of its action get Gaussian noise. Everything else
    is as it was: frames and states are those that the actions without noise led to.

    Args:
        demos: the file; its actions are float [T, A] in [-1, 1].
        out: the file to write.
        share: of the steps, in [0, 1].
        deviations: the noise's standard deviation, in standard deviations that each number of the
            actions has over the file; what leaves [-1, 1] is clipped.
        seed: of choice and noise.

    Raises:
        ValueError: an argument out of range.
        FileNotFoundError: no file ``demos``.
        FileExistsError: ``out`` is there.
    """
    demos, out = Path(demos), Path(out)
    if not 0 <= share <= 1 or deviations < 0:
        raise ValueError(
            f"share must be from 0 to 1 and deviations 0 or more, got {share} and {deviations}."
        )
    recorded = read_actions(demos)
    scale = deviations * np.concatenate(list(recorded.values())).std(0)
    rng = np.random.default_rng(seed)
    polluted = {}
    for name, actions in recorded.items():
        chosen = rng.random((len(actions), 1)) < share
        noise = scale * rng.normal(size=actions.shape)
        polluted[name] = np.clip(actions + chosen * noise, -1, 1).astype(np.float32)
        polluted[name][~chosen[:, 0]] = actions[~chosen[:, 0]]
    note = {"share": share, "deviations": deviations, "seed": seed}
    return copy_with_actions(demos, out, polluted, {"polluted_with": note})


def read_actions(demos: Path) -> dict[str, NDArray[np.float32]]:
    """The actions of every demonstration, float32 [T, A] by name.

    Raises:
        FileNotFoundError: no file there.
    """
    if not demos.is_file():
        raise FileNotFoundError(f"no demonstrations at {demos}: collect.py writes some.")
    with h5py.File(demos, "r") as file:
        data: Any = file["data"]
        return {name: np.asarray(data[name]["actions"], np.float32) for name in data}


def main() -> None:
    parser = files_parser(__doc__)
    parser.add_argument("--share", type=float, default=0.2, help="of the steps")
    parser.add_argument("--deviations", type=float, default=1.0, help="of the noise")
    parser.add_argument("--seed", type=int, default=0)
    print(pollute_demos(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
