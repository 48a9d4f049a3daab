"""Turn image files, folders of images and videos into stem frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from stemob_wrappers.extras import needs

with needs("cli"):
    from rich.console import Console
    from rich.progress import Progress

from stemob_wrappers.config import StemConfig
from stemob_wrappers.pictures import IMAGE_SUFFIXES, Image, grid, read_image, write_image
from stemob_wrappers.stem.pipeline import StemPipeline
from stemob_wrappers.videos import VIDEO_SUFFIXES, read_video, video_properties, write_video

GRID_STEPS = (0, 5, 10, 15, 25)
BATCH = 16


def invert_files(
    source: Path, target: Path, config: StemConfig, *, grid: bool = False, overwrite: bool = False
) -> None:
    """Write the stem frames of an image, of every image in a folder, or of a video.

    Args:
        source: image file, folder of image files, or video file.
        target: file for an image or a video, folder for a folder.
        grid: write the frame at several levels side by side in place of the one of ``config``;
            images only.
        overwrite: replace files that are there.

    Raises:
        FileExistsError: a file is there, and is not to be replaced; nothing was written then.
        FileNotFoundError: there is no such source.
        ValueError: nothing in it is an image or a video, or the target is the source.

    Example:
        >>> write_image(Path("a.png"), np.zeros((84, 84, 3), np.uint8))
        >>> invert_files(Path("a.png"), Path("b.png"), StemConfig())
        >>> Path("b.png").exists()
        True
    """
    if not source.exists():
        raise FileNotFoundError(f"no file or folder at {source}")
    is_video = source.suffix.lower() in VIDEO_SUFFIXES
    if grid and is_video:
        raise ValueError("a grid of levels is drawn of images, not of a video")
    if is_video:
        _invert_video(source, target, StemPipeline(config, cache=False), overwrite)
        return
    pairs = _image_pairs(source, target)
    for image_path, stem_path in pairs:
        _refuse_same(image_path, stem_path)
        _refuse_present(stem_path, overwrite)
    pipelines = [
        StemPipeline(config.replace(inversion_steps=n), cache=False)
        for n in (_grid_steps(config) if grid else (config.inversion_steps,))
    ]
    with Progress(console=Console(stderr=True)) as progress:
        for image_path, stem_path in progress.track(pairs, description="inverting"):
            image = read_image(image_path)
            stems = [pipeline(image[None])[0] for pipeline in pipelines]
            write_image(stem_path, _level_sheet(image, stems, pipelines) if grid else stems[0])


def _image_pairs(source: Path, target: Path) -> list[tuple[Path, Path]]:
    if source.is_file():
        if target.is_dir() or not target.suffix:
            target = target / source.name
        return [(source, target)]
    images = sorted(p for p in source.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise ValueError(f"{source} holds no image ({', '.join(IMAGE_SUFFIXES)})")
    return [(path, target / path.name) for path in images]


def _refuse_same(source: Path, target: Path) -> None:
    if source.resolve() == target.resolve():
        raise ValueError(f"{target} is the source itself and would be lost; write somewhere else")


def _refuse_present(target: Path, overwrite: bool) -> None:
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} is there already; write somewhere else, or --overwrite")


def _grid_steps(config: StemConfig) -> list[int]:
    return [n for n in GRID_STEPS if n <= config.num_steps]


def _level_sheet(image: Image, stems: list[Image], pipelines: list[StemPipeline]) -> Image:
    labels = [f"{p.config.inversion_steps} steps, ab {p.inverter.alpha_bar:.2f}" for p in pipelines]
    return grid([[image, *stems]], (), ["raw", *labels], cell=max(168, image.shape[1]))


def _invert_video(source: Path, target: Path, pipeline: StemPipeline, overwrite: bool) -> None:
    if target.is_dir() or not target.suffix:
        target = target / source.name
    _refuse_same(source, target)
    _refuse_present(target, overwrite)
    properties = video_properties(source)
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("inverting", total=properties.frames or None)

        def stems() -> Iterator[Image]:
            for batch in _batches(read_video(source)):
                yield from pipeline(np.stack(batch))
                progress.advance(task, len(batch))

        write_video(target, stems(), properties.fps)


def _batches(frames: Iterable[Image]) -> Iterator[list[Image]]:
    frames = iter(frames)
    while batch := list(islice(frames, BATCH)):
        yield batch
