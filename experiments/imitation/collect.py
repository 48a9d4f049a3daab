"""Collect demonstrations of a scripted expert as a robomimic file.

python -m experiments.imitation.collect --task Lift --episodes 150 --out lift.hdf5
python -m experiments.imitation.collect --task Lift --episodes 150 --out lift-random.hdf5 \
    --appearance train
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

import stemob_wrappers  # noqa: F401 (registers stemob/…)
from experiments.imitation.demo_file import (
    Demo,
    as_settings,
    env_args,
    merge,
    open_parts,
    read_settings,
    write_part,
)
from experiments.imitation.experts import EXPERTS
from stemob_wrappers.perturb import ScenePerturbation
from stemob_wrappers.splits import DEMONSTRATION_SEEDS
from stemob_wrappers.work import spawn_pool

CAMERAS = ("agentview", "robot0_eye_in_hand")
HORIZONS = {"Lift": 120, "Stack": 200, "PickPlaceCan": 300, "Door": 200}
FACTORS = ["lighting", "texture", "colour", "background"]
SEVERITIES = (1, 2, 3, 4, 5)
AFTER_SUCCESS = 5  # steps recorded; success comes so soon that letting go would be a single one

MAX_ATTEMPTS = 25
MAX_SEED = DEMONSTRATION_SEEDS.stop // MAX_ATTEMPTS  # of a first attempt

_NOISE_STREAM, _APPEARANCE_STREAM = 0xD1CE, 0x10035  # keep the draws apart that share a seed


@dataclass(frozen=True)
class Settings:
    """What decides the bytes of an episode; see `collect`."""

    task: str
    seed: int = 0
    appearance: str | None = None
    size: int = 84
    action_noise: float = 0.3

    def __post_init__(self) -> None:
        if self.task not in EXPERTS:
            raise ValueError(f"task must be one of {', '.join(EXPERTS)}; got {self.task!r}.")
        if not 0 <= self.seed < MAX_SEED:
            raise ValueError(f"seed must be from 0 to {MAX_SEED - 1}, got {self.seed}.")
        if self.appearance not in (None, "train"):
            raise ValueError(f"appearance must be None or 'train', got {self.appearance!r}.")
        if self.action_noise < 0:
            raise ValueError(f"action_noise must be 0 or more, got {self.action_noise}.")


def collect(
    task: str,
    out: str | Path,
    *,
    episodes: int = 150,
    seed: int = 0,
    workers: int = 1,
    appearance: str | None = None,
    size: int = 84,
    action_noise: float = 0.3,
) -> Path:
    """Write successful episodes of a task's expert to a robomimic file; return its path.

    The expert is disturbed: what is executed is its action plus noise, what is recorded under
    ``actions`` is the action it wanted. So the file shows how to come back from where a policy's
    own errors lead, as in DART (Laskey et al., 2017, Section 4; `ActionNoise` is not fitted to a
    policy, though). ``executed_actions`` are those that lead from each of the ``states`` to the
    next. A few steps after success are recorded as well; ``dones`` are 1 from it on.

    Episode i is tried with the reset seeds ``seed + i``, ``seed + i + 20,000``, … until it
    succeeds, and everything in it is drawn from that seed: the file's bytes depend neither on the
    number of workers nor on interruptions. A run that was cut short goes on with the episodes in
    ``<out>.parts``; one that was finished is left alone. With another appearance the episodes have
    the same states and actions.

    Args:
        task: one of `experts.EXPERTS`.
        out: the file to write, ``*.hdf5``.
        episodes: how many to write; a tenth of them is ``mask/valid``, one if there are fewer than
            ten, the rest ``mask/train``.
        seed: of the first episode, below 20,000 together with the number of episodes, so that
            reset seeds stay within `splits.DEMONSTRATION_SEEDS`.
        workers: processes to render in.
        appearance: None for the nominal scene; "train" for another light, other textures, colours
            and background in each episode, of a severity from 1 to 5, from the training split.
        size: height and width of the images, in pixels.
        action_noise: see `ActionNoise`; 0 for none.

    Raises:
        FileExistsError: `out` or its parts were made with other settings.
        ValueError: an argument out of range.
        RuntimeError: an episode failed at every attempt.

    Example:
        >>> collect("Lift", "lift.hdf5", episodes=1)
        PosixPath('lift.hdf5')
    """
    settings = Settings(task, seed, appearance, size, action_noise)
    if episodes < 1 or seed + episodes > MAX_SEED:
        raise ValueError(
            f"episodes must be at least 1 and seed + episodes at most {MAX_SEED}, "
            f"got {episodes} episodes from seed {seed}."
        )
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}.")
    out = Path(out)
    wanted = as_settings(settings)
    if out.exists():
        if read_settings(out) == {**wanted, "episodes": episodes}:
            return out
        raise FileExistsError(f"{out} exists, made with other settings: move it or name another.")
    folder = open_parts(out, wanted)
    parts = [folder / f"demo_{index}.hdf5" for index in range(episodes)]
    missing = [index for index, part in enumerate(parts) if not part.exists()]
    written = _write_parts(settings, missing, parts, workers)
    for _ in track(written, task, total=len(missing), console=Console(stderr=True)):
        pass
    merge(parts, out, wanted)
    return out


def _write_parts(
    settings: Settings, missing: list[int], parts: list[Path], workers: int
) -> Iterator[int]:
    """Write the part of each missing episode; yield its index then."""
    if workers == 1 or len(missing) < 2:
        recorder = Recorder(settings) if missing else None
        for index in missing:
            assert recorder is not None
            write_part(parts[index], recorder.record(index))
            yield index
        if recorder is not None:
            recorder.close()
        return
    with spawn_pool(min(workers, len(missing)), _start_worker, (settings,)) as pool:
        running = {pool.submit(_write_in_worker, index, parts[index]): index for index in missing}
        for done in as_completed(running):
            done.result()
            yield running[done]


_recorder: Recorder | None = None  # of a worker process, which makes its env only once


def _start_worker(settings: Settings) -> None:
    global _recorder
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    _recorder = Recorder(settings)


def _write_in_worker(index: int, part: Path) -> None:
    assert _recorder is not None
    write_part(part, _recorder.record(index))


class Recorder:
    """Records episodes of one task in an env of its own.

    Args:
        settings: what is recorded.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._env = gym.make(
            f"stemob/{settings.task}-v0",
            cameras=CAMERAS,
            size=settings.size,
            horizon=HORIZONS[settings.task],
            terminate_on_success=False,
            disable_env_checker=True,
        )
        self._env_args = env_args(self._env, CAMERAS, settings.size)

    def record(self, index: int) -> Demo:
        """The episode with this index, from the first of its reset seeds that succeeds.

        Raises:
            RuntimeError: none does.
        """
        first = self._settings.seed + index
        for reset_seed in range(first, first + MAX_ATTEMPTS * MAX_SEED, MAX_SEED):
            demo = self._attempt(reset_seed)
            if demo is not None:
                return demo
        raise RuntimeError(
            f"episode {index} of {self._settings.task} failed at {MAX_ATTEMPTS} attempts: "
            f"lower action_noise, which is {self._settings.action_noise}."
        )

    def close(self) -> None:
        """Free the env."""
        self._env.close()

    def _attempt(self, reset_seed: int) -> Demo | None:
        """One episode; None where it did not succeed."""
        env = self._dress(reset_seed)
        expert = EXPERTS[self._settings.task]()
        noise = ActionNoise(self._settings.action_noise, reset_seed)
        simulator: Any = env.unwrapped.simulator  # pyright: ignore[reportAttributeAccessIssue]
        observation, info = env.reset(seed=reset_seed)
        expert.reset()
        demo = Demo(reset_seed, simulator.sim.model.get_xml(), self._env_args)
        succeeded = 0
        while succeeded <= AFTER_SUCCESS:
            action = expert.act(env)
            executed = noise.disturb(action)
            state = simulator.sim.get_state().flatten()
            following, reward, _, truncated, info = env.step(executed)
            succeeded += bool(info["success"])
            demo.add(observation, state, action, executed, float(reward), bool(info["success"]))
            observation = following
            if truncated:
                break
        return demo if info["success"] else None

    def _dress(self, reset_seed: int) -> gym.Env[Any, Any]:
        """The env in the appearance that this reset seed has."""
        if self._settings.appearance is None:
            return self._env
        rng = np.random.default_rng([_APPEARANCE_STREAM, reset_seed])
        severity = int(rng.choice(SEVERITIES))
        return ScenePerturbation(
            self._env, factors=FACTORS, severity=severity, seed=self._settings.seed, split="train"
        )


class ActionNoise:
    """Disturbs an arm's actions: a slight tremor, and now and then a push for some steps.

    Pushes lead well off the way; between them the precise parts of a task can succeed. The gripper
    is left alone, and rotations get a third.

    Args:
        scale: standard deviation of a push, in units of the action. The tremor has a fifth.
        seed: of the draws.

    Example:
        >>> ActionNoise(0.0, seed=0).disturb(np.zeros(7, np.float32))
        array([0., 0., 0., 0., 0., 0., 0.], dtype=float32)
    """

    RATE = 0.05  # pushes a step
    STEPS = (3, 6)  # they last
    WEIGHTS = np.array([1.0, 1.0, 1.0, 1 / 3, 1 / 3, 1 / 3, 0.0])

    def __init__(self, scale: float, seed: int) -> None:
        self._scale = scale
        self._rng = np.random.default_rng([_NOISE_STREAM, seed])
        self._push = np.zeros(7)
        self._left = 0

    def disturb(self, action: NDArray[np.float32]) -> NDArray[np.float32]:
        """What is executed instead of an action, float32 [7], each in [-1, 1]."""
        if self._left == 0 and self._rng.random() < self.RATE:
            self._left = int(self._rng.integers(*self.STEPS, endpoint=True))
            self._push = self._rng.normal(size=7)
        tremor = 0.2 * self._rng.normal(size=7)
        noise = tremor if self._left == 0 else self._push
        self._left = max(0, self._left - 1)
        disturbed = action + self._scale * self.WEIGHTS * noise
        return np.clip(disturbed, -1.0, 1.0).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", choices=EXPERTS, default="Lift")
    parser.add_argument("--out", type=Path, required=True, help="the file to write, *.hdf5")
    parser.add_argument("--episodes", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0, help="of the first episode, below 20,000")
    parser.add_argument("--workers", type=int, default=1, help="processes to render in")
    parser.add_argument(
        "--appearance", choices=["train"], help="another appearance in each episode"
    )
    parser.add_argument("--size", type=int, default=84, help="of the images, in pixels")
    parser.add_argument("--action-noise", type=float, default=0.3, help="scale of the disturbances")
    arguments = vars(parser.parse_args())
    print(collect(**arguments))


if __name__ == "__main__":
    main()
