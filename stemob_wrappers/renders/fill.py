"""Render what a folder lacks of the planned scenes, in parallel; an interrupted run goes on."""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from rich.progress import track

from stemob_wrappers.renders.files import (
    Plan,
    default_scenes_dir,
    is_done,
    scene_path,
    write_scene,
)
from stemob_wrappers.renders.plans import EnvPlan, plan_scenes, plan_task_scenes
from stemob_wrappers.scene.gl import ensure_gl
from stemob_wrappers.splits import Split
from stemob_wrappers.work import _end_with_parent


def render_scenes(
    out: str | Path,
    *,
    num_scenes: int,
    seed: int = 0,
    workers: int = 1,
    size: int = 128,
    states: int = 24,
    appearances: int = 6,
    sources: Mapping[str, float] | None = None,
    holdout: bool = False,
) -> list[Path]:
    """Render scenes into a folder, one safetensors file each.

    Files that are there and whole are kept, so that an interrupted run goes on where it stopped.
    The bytes do not depend on the number of workers.

    Args:
        out: folder of the files, made if missing.
        num_scenes: how many scenes.
        seed: base seed of all draws.
        workers: processes that render.
        size: side of the square frames in pixels.
        states: layouts a scene.
        appearances: looks a scene; the first is the nominal one.
        sources: how often each source is drawn: names of `TRAIN_TASKS` to weights.
        holdout: render validation scenes that share no task, texture or seed with training.

    Returns:
        the paths in order of their index.

    Raises:
        ValueError: a setting is out of range, or the folder holds scenes of other settings.

    Example:
        >>> render_scenes("scenes", num_scenes=2, workers=2)  # doctest: +SKIP
        [PosixPath('scenes/scene-00000.safetensors'), PosixPath('scenes/scene-00001.safetensors')]
    """
    plans = plan_scenes(
        num_scenes,
        seed=seed,
        size=size,
        states=states,
        appearances=appearances,
        sources=sources,
        holdout=holdout,
    )
    return render_plans(plans, Path(out), workers)


def render_plans(plans: Sequence[Plan], folder: Path, workers: int) -> list[Path]:
    """Render what a folder lacks of the planned scenes, each into a file of its own.

    Raises:
        ValueError: the folder holds scenes of other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [plan for plan in plans if not is_done(plan, folder)]
    if missing:
        ensure_gl()
        # A render context does not survive a fork, hence fresh processes.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            min(workers, len(missing)), mp_context=context, initializer=_end_with_parent
        ) as pool:
            futures = [pool.submit(write_scene, plan, folder) for plan in missing]
            try:
                for future in track(as_completed(futures), "Scenes", total=len(futures)):
                    future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return [scene_path(plan, folder) for plan in plans]


def main(arguments: list[str] | None = None) -> None:
    """The command line: ``python -m stemob_wrappers.renders.fill``."""
    parser = argparse.ArgumentParser(description="Render frames for training a backbone.")
    parser.add_argument("--out", type=Path, default=default_scenes_dir())
    parser.add_argument("--num-scenes", type=int, default=220)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--states", type=int, default=24)
    parser.add_argument("--appearances", type=int, default=6)
    parser.add_argument("--holdout", action="store_true", help="validation scenes instead")
    options = vars(parser.parse_args(arguments))
    paths = render_scenes(options.pop("out"), **options)
    print(f"{len(paths)} scenes in {paths[0].parent}")


def render_task_scenes(
    out: Path, *, num_scenes: int = 48, seed: int = 0, workers: int = 1, size: int = 128
) -> list[Path]:
    """Render known tasks under train looks; scenes that are there and whole are kept.

    Args:
        out: folder of the files, made if missing.
        num_scenes: how many scenes, of 144 frames each.
        seed: base seed of all draws.
        workers: processes that render.
        size: side of the square frames in pixels.

    Raises:
        ValueError: the folder holds scenes of other settings.

    Example:
        >>> render_task_scenes(Path("scenes/tasks"), num_scenes=2) # doctest: +SKIP
    """
    return render_plans(plan_task_scenes(num_scenes, seed=seed, size=size), out, workers)


def render_env_scenes(
    env_id: str,
    out: Path,
    *,
    num_scenes: int,
    cameras: Sequence[str] = (),
    seed: int = 0,
    workers: int = 1,
    size: int = 128,
    states: int = 24,
    appearances: int = 6,
    split: Split = "train",
) -> list[Path]:
    """Render scenes of an env into a folder; those that are there and whole are kept.

    Args:
        env_id: a Gymnasium id with a MuJoCo model beneath.
        out: folder of the files, made if missing.
        num_scenes: how many scenes; every severity of change gets its share.
        cameras: to look through, taken in turn; none for the env's own.
        seed: base seed of all draws.
        workers: processes that render.
        size: side of the square frames in pixels.
        states: layouts a scene.
        appearances: looks a scene; the first is the env's own.
        split: of textures, colours and seeds.

    Raises:
        ValueError: the env has no MuJoCo model, or the folder holds scenes of other settings.

    Example:
        >>> render_env_scenes("HalfCheetah-v5", Path("scenes"), num_scenes=2) # doctest: +SKIP
    """
    looked_through = list(cameras) or [None]
    plans = [
        EnvPlan(
            env_id,
            looked_through[index % len(looked_through)],
            seed,
            index,
            split,
            size,
            states,
            appearances,
        )
        for index in range(num_scenes)
    ]
    return render_plans(plans, out, workers)


if __name__ == "__main__":
    main()
