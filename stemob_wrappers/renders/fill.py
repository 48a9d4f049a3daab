"""Render what a folder lacks of the planned scenes, in parallel; an interrupted run goes on."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import as_completed
from pathlib import Path

from stemob_wrappers.extras import needs

with needs("mujoco"):
    from rich.console import Console
    from rich.progress import track

from stemob_wrappers.renders.files import is_done, scene_path, write_scene
from stemob_wrappers.renders.plans import ScenePlan
from stemob_wrappers.scene.gl import ensure_gl
from stemob_wrappers.work import spawn_pool


def fill(plans: Sequence[ScenePlan], folder: Path, workers: int = 1) -> list[Path]:
    """Render what a folder lacks of the planned scenes, each into a safetensors file of its own.

    Files that are there and whole are kept. The bytes do not depend on the number of workers.

    Args:
        plans: of ``plan_scenes``, ``plan_task_scenes`` or ``plan_env_scenes``.
        folder: of the files, made if missing.
        workers: processes that render.

    Returns:
        the paths in order of the plans.

    Raises:
        ValueError: the folder holds scenes of other plans or of an older format, or an env has no
            MuJoCo model.
        ImportError: the package that a source needs is not installed.
        GLError: no OpenGL backend renders here.

    Example:
        >>> from stemob_wrappers.renders.plans import plan_env_scenes
        >>> plans = plan_env_scenes("InvertedPendulum-v5", 1, size=16, states=4, appearances=2)
        >>> [path.name for path in fill(plans, Path("scenes"))]
        ['scene-00000.safetensors']
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [plan for plan in plans if not is_done(plan, folder)]
    if missing:
        ensure_gl()
        with spawn_pool(min(workers, len(missing))) as pool:
            futures = [pool.submit(_render, plan, folder) for plan in missing]
            try:
                done = track(
                    as_completed(futures),
                    "Scenes",
                    total=len(futures),
                    console=Console(stderr=True),
                )
                for future in done:
                    future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return [scene_path(plan, folder) for plan in plans]


def _render(plan: ScenePlan, folder: Path) -> None:
    from stemob_wrappers.renders.draw import render_scene

    write_scene(render_scene(plan), scene_path(plan, folder))
