"""Film one perturbed episode as two policies see it: raw frames beside stem frames.

python -m experiments.robustness.clip --raw RAW.safetensors --stem STEM.safetensors \
    --task Lift --cell lighting --out clip.gif

Left is what the first policy sees, right what the second one does, in the same episode of the same
changed scene. The episode is the first of the split that the first policy fails and the second does
not; --seed shows the one with that reset seed, however it ends.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
from gymnasium.vector import VectorEnv

from experiments.imitation.acting import kind_of, read_policy
from experiments.robustness.train import SCRIPTS, env_kwargs
from stemob_wrappers import StemPipeline
from stemob_wrappers.evaluation import Condition
from stemob_wrappers.evaluation.cells import choose_cells, episode_seeds
from stemob_wrappers.evaluation.clips import Filmed
from stemob_wrappers.evaluation.learned import as_tested, keys_for, stem_of
from stemob_wrappers.evaluation.policies import UNTOLD
from stemob_wrappers.evaluation.rollouts import open_vector_env, play
from stemob_wrappers.perturb.suites import Cell
from stemob_wrappers.pictures import Image, write_gif
from stemob_wrappers.scene.gl import ensure_gl
from stemob_wrappers.vector import StemObservation
from stemob_wrappers.videos import write_video

PANEL = 240  # pixels, about: frames are enlarged a whole number of times
GAP, LINE, FONT = 8, 22, 16
INK, FAILED, SUCCEEDED = (40, 40, 40), (176, 32, 32), (24, 120, 56)
CONTROL_HZ = 20.0
AT_THE_END = 2.0  # seconds that the last frame stays


@dataclass(frozen=True)
class Film:
    """An episode as a policy saw it.

    Attributes:
        title: what the policy sees, in words.
        frames: uint8 [H, W, 3], one for each time it looks, and the last.
        steps: actions between two of them.
        success: how it ended.
    """

    title: str
    frames: list[Image]
    steps: int
    success: bool


@dataclass(frozen=True)
class Player:
    """A trained policy, by what its file says.

    Attributes:
        path: the file.
        condition: the policy and the stem that it learned from.
        size: height and width of its frames.
        execute: actions that it runs before it looks again.
    """

    path: Path
    condition: Condition
    size: tuple[int, int]
    execute: int

    @classmethod
    def read(cls, path: Path) -> Player:
        """The policy in a file, with the stem of the frames that it learned from.

        Raises:
            FileNotFoundError: no policy there.
            ValueError: an unknown kind, or it learned from frames that no backbone here makes.
        """
        kind = kind_of(path)
        if kind not in SCRIPTS:
            raise ValueError(f"{path} is of kind {kind!r}; known are {', '.join(SCRIPTS)}")
        about, _ = read_policy(path, kind)
        learned = about["learned_from"]
        stem = None if learned == UNTOLD else stem_of(learned)
        condition = Condition(path.stem, f"{SCRIPTS[kind].__name__}:load:{path}", stem)
        fingerprint = None if stem is None else StemPipeline(stem, cache=False).fingerprint
        as_tested(condition, condition.load(), fingerprint)
        height, width = about["network"]["size"]
        return cls(path, condition, (height, width), about["config"]["execute"])

    @property
    def title(self) -> str:
        """What it sees, in words."""
        stem = self.condition.stem
        return "Raw frames" if stem is None else f"Stem: {Path(stem.backbone).name}"

    def film(self, venv: VectorEnv[Any, Any, Any], seed: int) -> Film:
        """Play the episode with a reset seed."""
        policy, stem = self.condition.load(), self.condition.stem
        seen = Filmed(
            venv
            if stem is None
            else StemObservation(
                venv, stem, keys=keys_for(policy, venv.single_observation_space), cache=False
            )
        )
        played = play(seen, policy, [seed])
        return Film(self.title, seen.frames, self.execute, played.successes[0])


def main(arguments: Sequence[str] | None = None) -> Path:
    settings = parse(arguments)
    ensure_gl()
    left, right = Player.read(settings.raw), Player.read(settings.stem)
    if (left.size, left.execute) != (right.size, right.execute):
        raise ValueError(
            "both policies must see frames of one size and look as often, received "
            f"{left.size} and {right.size} pixels, {left.execute} and {right.execute} actions"
        )
    name, cell = chosen_cell(settings.cell, settings.severity)
    if settings.seed is None:
        seeds = episode_seeds(0, settings.split, settings.episodes)
    else:
        seeds = [settings.seed]
    with open_vector_env(
        f"stemob/{settings.task}-v0",
        env_kwargs(settings.task, left.size[0]),
        cell,
        settings.split,
        num_envs=1,
        chunk=left.execute,
    ) as venv:
        seed, films = first_shown(venv, left, right, seeds, always=settings.seed is not None)
    caption = f"{settings.task}, {name}, episode {seed}: what each policy sees"
    write(settings.out, compose(*films, caption), left.execute / CONTROL_HZ)
    for film in films:
        print(f"{film.title}: {outcome(film)}")
    return settings.out


def first_shown(
    venv: VectorEnv[Any, Any, Any],
    left: Player,
    right: Player,
    seeds: Sequence[int],
    *,
    always: bool,
) -> tuple[int, tuple[Film, Film]]:
    """The first episode that left fails and right does not, or simply the first one.

    Raises:
        LookupError: there is none.
    """
    for seed in seeds:
        first = left.film(venv, seed)
        if first.success and not always:
            continue
        second = right.film(venv, seed)
        if second.success or always:
            return seed, (first, second)
    raise LookupError(
        f"in none of {len(seeds)} episodes does {left.path} fail where {right.path} succeeds: "
        "take more --episodes, another --cell or --severity, or show one with --seed"
    )


def chosen_cell(name: str, severity: int) -> tuple[str, Cell]:
    """The one cell of a name, and what it is called.

    Raises:
        ValueError: an unknown name, or one of several cells.

    Example:
        >>> chosen_cell("lighting", 4)[0]
        'lighting-4'
    """
    cells = {key: cell for key, cell in choose_cells([name], [severity]).items() if cell}
    if len(cells) != 1:
        raise ValueError(f"--cell must name one cell, received {name}: {', '.join(cells)}")
    return next(iter(cells.items()))


def compose(left: Film, right: Film, caption: str) -> list[Image]:
    """Frames of both films side by side with captions; the shorter one rests on its last frame.

    Args:
        left, right: of frames of one size.
        caption: below both.

    Returns:
        uint8 [H, W, 3], each side even.
    """
    count = max(len(left.frames), len(right.frames))
    return [_frame((left, right), index, caption) for index in range(count)]


def outcome(film: Film) -> str:
    """How an episode ended, in words.

    Example:
        >>> outcome(Film("Raw frames", [np.zeros((8, 8, 3), np.uint8)] * 6, 4, False))
        'failed (20 steps)'
    """
    steps = film.steps * (len(film.frames) - 1)
    return f"succeeded after {steps} steps" if film.success else f"failed ({steps} steps)"


def write(path: Path, frames: Sequence[Image], seconds: float) -> None:
    """Write a GIF or, by its suffix, a video; the last frame stays for a while."""
    if path.suffix.lower() == ".gif":
        write_gif(path, frames, seconds, last=AT_THE_END)
    else:
        write_video(path, [*frames, *[frames[-1]] * round(AT_THE_END / seconds)], 1 / seconds)


def _frame(films: tuple[Film, Film], index: int, caption: str) -> Image:
    height, width = films[0].frames[0].shape[:2]
    times = max(1, round(PANEL / width))
    right = times * width + GAP
    top = 2 * LINE + GAP
    size = (right + times * width, top + times * height + LINE + GAP)
    sheet = PIL.Image.new("RGB", (size[0] + size[0] % 2, size[1] + size[1] % 2), "white")
    draw, font = PIL.ImageDraw.Draw(sheet), PIL.ImageFont.load_default(FONT)
    for x, film in zip((0, right), films, strict=True):
        last = len(film.frames) - 1
        frame = film.frames[min(index, last)]
        sheet.paste(PIL.Image.fromarray(frame.repeat(times, 0).repeat(times, 1)), (x, top))
        draw.text((x + 2, 2), film.title, INK, font)
        if index < last:
            state, colour = f"step {index * film.steps}", INK
        else:
            state, colour = outcome(film), SUCCEEDED if film.success else FAILED
        draw.text((x + 2, 2 + LINE), state, colour, font)
    draw.text((2, size[1] - LINE), caption, INK, font)
    return np.asarray(sheet)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--raw", type=Path, required=True, help="policy on the left")
    parser.add_argument("--stem", type=Path, required=True, help="policy on the right")
    parser.add_argument("--task", default="Lift")
    parser.add_argument("--cell", default="lighting", help="group of factors that changes")
    parser.add_argument("--severity", type=int, default=4, help="1 to 5")
    parser.add_argument("--split", choices=("dev", "test"), default="test")
    parser.add_argument("--episodes", type=int, default=20, help="to look through, at most")
    parser.add_argument("--seed", type=int, help="reset seed of the episode to show")
    parser.add_argument("--out", type=Path, required=True, help="clip.gif, .webm, .mp4, …")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    print(main())
