"""Augmented demonstrations: changed frames for a stem to go over before a policy learns.

A policy then learns from what the stem makes of other appearances, its mistakes included, instead
of from the nominal one alone. Nothing is rendered.

python -m experiments.imitation.augment_demos --demos lift.hdf5 --out lift-augmented.hdf5
python -m experiments.imitation.augment_demos --demos lift.hdf5 --out lift-six.hdf5 --copies 6
stemob invert-dataset lift-augmented.hdf5 lift-augmented-stem.hdf5
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from experiments.imitation.data import IMAGE_SUFFIX, float_images
from experiments.imitation.demo_file import file_beside, files_parser
from experiments.imitation.loop import pick_device
from stemob_wrappers.augment import AUGMENTATIONS

DEFAULT = ("none", "colour_jitter", "random_conv")


def augment_demos(
    demos: str | Path,
    out: str | Path,
    augmentations: Sequence[str] = DEFAULT,
    copies: int | None = None,
) -> Path:
    """Write every demonstration of a robomimic file several times, augmented; return ``out``.

    Args:
        demos: the file; its frames are ``obs/<camera>_image``, uint8 [T, H, W, 3].
        out: the file to write. It has all that ``demos`` has of a demonstration, frames changed,
            and every demonstration stays in the mask that it is in there.
        augmentations: of `stemob_wrappers.augment.AUGMENTATIONS`, or "none". Each frame draws its
            own; the draws follow from the number of the demonstration, so the file's frames are
            the same each time on the same kind of device.
        copies: of each demonstration; None is one for each augmentation. `augmentation_of` says
            what each of more or fewer gets.

    Raises:
        ValueError: an unknown augmentation, none, or no copy.
        FileNotFoundError: no file ``demos``.
        FileExistsError: ``out`` is there.
    """
    demos, out = Path(demos), Path(out)
    unknown = set(augmentations) - {"none", *AUGMENTATIONS}
    if unknown or not augmentations:
        raise ValueError(
            f"augmentations must be none or of {', '.join(AUGMENTATIONS)}; received "
            f"{sorted(unknown)}."
        )
    copies = len(augmentations) if copies is None else copies
    if copies < 1:
        raise ValueError(f"copies must be 1 or more, received {copies}.")
    with file_beside(demos, out) as (source, file, check):
        _write(source, file, augmentations, copies, check)
    return out


def augmentation_of(augmentations: Sequence[str], copies: int, copy: int, place: int) -> str:
    """The augmentation of one copy of the demonstration in one place.

    Copies beyond one for each augmentation get those again that change frames. Where there are
    fewer copies than augmentations, the demonstrations take these in turn.

    Example:
        >>> [augmentation_of(DEFAULT, 6, copy, place=0) for copy in range(6)]
        ['none', 'colour_jitter', 'random_conv', 'colour_jitter', 'random_conv', 'colour_jitter']
        >>> [augmentation_of(DEFAULT, 1, 0, place) for place in range(3)]
        ['none', 'colour_jitter', 'random_conv']
    """
    count = len(augmentations)
    if copies < count:
        return augmentations[(place + copy) % count]
    if copy < count:
        return augmentations[copy]
    changing = [name for name in augmentations if name != "none"] or list(augmentations)
    return changing[(copy - count) % len(changing)]


def _write(
    source: Any,
    file: h5py.File,
    augmentations: Sequence[str],
    copies: int,
    check: Callable[[], None],
) -> None:
    data: Any = file.create_group("data")
    data.attrs.update(source["data"].attrs)
    masks: dict[str, list[str]] = {split: [] for split in source["mask"]}
    number = total = 0
    for copy in range(copies):
        for split, members in masks.items():
            for place, name in enumerate(source[f"mask/{split}"][()]):
                augmentation = augmentation_of(augmentations, copies, copy, place)
                new = f"demo_{number}"
                source.copy(f"data/{name.decode()}", data, new)
                if augmentation != "none":
                    _augment(data[new]["obs"], augmentation, number)
                members.append(new)
                number += 1
                total += len(data[new]["actions"])
                check()
    data.attrs["total"] = total
    for split, members in masks.items():
        file[f"mask/{split}"] = np.array(members, dtype="S16")


def _augment(observations: Any, augmentation: str, number: int) -> None:
    """Change a demonstration's frames in place."""
    device = pick_device()
    cameras = sorted(key for key in observations if key.endswith(IMAGE_SUFFIX))
    for place, camera in enumerate(cameras):
        frames = observations[camera]
        generator = torch.Generator(device).manual_seed(1_000 * number + place)
        images = float_images(torch.from_numpy(frames[()]).to(device))
        frames[...] = _uint8(AUGMENTATIONS[augmentation](images, generator))


def _uint8(images: torch.Tensor) -> NDArray[np.uint8]:
    """float [N, 3, H, W] in [0, 1] -> uint8 [N, H, W, 3]."""
    return (images * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def main() -> None:
    parser = files_parser(__doc__)
    parser.add_argument("--augmentations", default=",".join(DEFAULT), help="by commas")
    parser.add_argument("--copies", type=int, help="of each; one for each augmentation if left out")
    settings = parser.parse_args()
    augmentations = settings.augmentations.split(",")
    print(augment_demos(settings.demos, settings.out, augmentations, settings.copies))


if __name__ == "__main__":
    main()
