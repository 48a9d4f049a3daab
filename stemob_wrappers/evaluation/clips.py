"""A video of one episode that one policy fails and another does not, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from stemob_wrappers.evaluation.cells import short_name
from stemob_wrappers.evaluation.learned import keys_for
from stemob_wrappers.evaluation.policies import Condition
from stemob_wrappers.evaluation.results import Record, file_name
from stemob_wrappers.evaluation.rollouts import open_vector_env, play
from stemob_wrappers.generic import AnyVectorWrapper
from stemob_wrappers.perturb.suites import Cell
from stemob_wrappers.report.pairing import CLEAN
from stemob_wrappers.splits import Split
from stemob_wrappers.videos import write_video
from stemob_wrappers.wrappers.spaces import find_images, get

FPS = 5.0  # a policy may run several actions a step
GAP = 4  # white pixels between the two
TRIES = 5  # episodes, as a policy that draws may do otherwise the next time


def record_clip(
    records: Sequence[Record],
    left: Condition,
    right: Condition,
    *,
    cells: Mapping[str, Cell | None],
    env_kwargs: Mapping[str, Any],
    split: Split,
    folder: Path,
    chunk: int = 1,
    success_return: float | None = None,
    device: str | None = None,
) -> dict[str, Any] | None:
    """Play an episode again in which one condition failed and another succeeded, and film both.

    The picture is the scene's, of the first camera, on both sides: not the stem frames.

    Args:
        records: of the evaluation, from which the episode is chosen.
        left, right: conditions of one training seed: that which failed, and that which succeeded.
        cells: of the evaluation.
        env_kwargs: arguments of the env, by env id.
        split, chunk, success_return, device: as for `evaluate`.
        folder: of the evaluation; the video is ``clips/….webm`` in it.

    Returns:
        what a page needs: ``{"task", "cell", "seed", "size", "path", "left", "right"}``; None where
        no such episode is among the records, or none that ends the same way when played again.
    """
    for task, cell, seed in _candidates(records, left, right)[:TRIES]:
        with open_vector_env(task, dict(env_kwargs[task]), cells[cell], split, 1, chunk) as venv:
            films, outcomes = [], []
            for condition in (left, right):
                filmed = Filmed(venv)
                policy = condition.load()
                played = play(
                    filmed,
                    policy,
                    [seed],
                    stem=condition.stem,
                    keys=keys_for(policy, venv.single_observation_space),
                    device=device,
                    success_return=success_return,
                )
                films.append(filmed.frames)
                outcomes.append(played.successes[0])
        if outcomes != [False, True]:
            continue
        name = f"{file_name(short_name(task))}-{cell}-{seed}.webm"
        write_video(folder / "clips" / name, side_by_side(*films), FPS)
        sides = {"left": left, "right": right}
        return {
            "task": task,
            "cell": cell,
            "seed": seed,
            "size": films[0][0].shape[1],
            "path": f"clips/{name}",
            **{
                side: {"condition": condition.name, "success": success}
                for (side, condition), success in zip(sides.items(), outcomes, strict=True)
            },
        }
    return None


class Filmed(AnyVectorWrapper):
    """Keep what the first camera of the first env sees, in ``frames``, uint8 [H, W, 3] each.

    Args:
        env: a vector env that observes an image.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env)
        self.frames: list[NDArray[np.uint8]] = []
        self._path, self._layout = next(iter(find_images(env.single_observation_space).items()))

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(**kwargs)
        if not self.frames:  # a later reset is a rest after the only episode
            self._keep(observation)
        return observation, info

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        step = self.env.step(actions)
        self._keep(step[0])
        return step

    def _keep(self, observation: Any) -> None:
        image = np.asarray(get(observation, self._path))[:1]
        self.frames.append(np.array(self._layout.to_frames(image)[-1]))


def side_by_side(
    left: Sequence[NDArray[np.uint8]], right: Sequence[NDArray[np.uint8]]
) -> list[NDArray[np.uint8]]:
    """Frames of two films beside each other; the shorter one rests on its last frame.

    Sides are made even, as encoders need them: a last row or column is repeated.

    Example:
        >>> black = np.zeros((9, 8, 3), np.uint8)
        >>> [frame.shape for frame in side_by_side([black], [black, black])]
        [(10, 20, 3), (10, 20, 3)]
    """
    gap = np.full((left[0].shape[0], GAP, 3), 255, np.uint8)
    frames = []
    for index in range(max(len(left), len(right))):
        pair = [film[min(index, len(film) - 1)] for film in (left, right)]
        frame = np.concatenate([pair[0], gap, pair[1]], axis=1)
        odd = [(0, size % 2) for size in frame.shape[:2]]
        frames.append(np.pad(frame, [*odd, (0, 0)], mode="edge"))
    return frames


def _candidates(
    records: Sequence[Record], left: Condition, right: Condition
) -> list[tuple[str, str, int]]:
    """Task, cell and reset seed of episodes that left failed and right did not; perturbed ones."""

    def of(condition: Condition) -> dict[tuple[str, str], Record]:
        key = (condition.name, condition.training_seed)
        chosen = [r for r in records if (r.condition, r.training_seed) == key]
        return {(r.task, r.cell): r for r in chosen if condition.task in (None, r.task)}

    failed, succeeded = of(left), of(right)
    return [
        (task, cell, seed)
        for (task, cell) in failed
        if cell != CLEAN and (task, cell) in succeeded
        for seed, lost, won in zip(
            failed[task, cell].seeds,
            failed[task, cell].successes,
            succeeded[task, cell].successes,
            strict=True,
        )
        if won and not lost
    ]


def pairs_to_film(conditions: Sequence[Condition]) -> list[tuple[Condition, Condition]]:
    """A condition without a stem and one with, of the same training seed and task.

    Example:
        >>> from stemob_wrappers.config import StemConfig
        >>> pair = [Condition("raw", "a:b"), Condition("stem", "a:b", StemConfig())]
        >>> [(left.name, right.name) for left, right in pairs_to_film(pair)]
        [('raw', 'stem')]
    """
    plain = [condition for condition in conditions if condition.stem is None]
    stems = [condition for condition in conditions if condition.stem is not None]
    return [
        (left, right)
        for left, right in product(plain, stems)
        if (left.training_seed, left.task) == (right.training_seed, right.task)
    ]
