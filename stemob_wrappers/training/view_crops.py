"""Random crops of rendered views, streamed from disk: two views of a scene at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from stemob_wrappers.renders.views import PATTERN, ROLES

SIZES = (64, 72, 80, 88, 96)  # of the frames that crops are of, multiples of 8
CROP = 88  # most are whole: a corner of a frame does not tell a table from a floor
SEEN_OBJECT = 0.6  # share of the crops that are drawn around an object
SOURCE_WEIGHTS = {"robosuite": 0.6, "metaworld": 0.15, "procedural": 0.2, "gymnasium": 0.05}
SKY = len(ROLES)


class Crops(NamedTuple):
    """Crops of N views; 2 i and 2 i + 1 are of one scene.

    They have G geoms at most, of which the last is the sky, and h x w pixels.

    Attributes:
        nominal, albedo: float [N, h, w, 3] in [0, 1].
        lit: float [N, h, w, 3] in [0, 1], white surfaces under three shadowed lights.
        normals: float [N, h, w, 3], unit vectors; 0 in the sky.
        uv: float [N, h, w, 2], places on the surface.
        geoms: int64 [N, h, w], from 0 to G - 1.
        colours: float [N, G, 3] in [0, 1], mean albedo.
        roles: int64 [N, G], places in ``ROLES``, or ``SKY``.
        surfaces: int64 [N, G], geoms that share one look; -1 for the sky and what is never drawn.
        rendered: float [N, h, w, 3] in [0, 1], the views as a renderer shows them painted and lit
            anew, and rendered_colours: float [N, G, 3], their mean albedo then; zeros where a file
            has none.
        backward: float [N, 3], the direction from what is seen to the camera: MuJoCo's headlight
            and its highlights know no other.
    """

    nominal: torch.Tensor
    albedo: torch.Tensor
    lit: torch.Tensor
    normals: torch.Tensor
    uv: torch.Tensor
    geoms: torch.Tensor
    colours: torch.Tensor
    roles: torch.Tensor
    surfaces: torch.Tensor
    backward: torch.Tensor
    rendered: torch.Tensor
    rendered_colours: torch.Tensor

    def of_pixels(self, values: torch.Tensor) -> torch.Tensor:
        """What a table of geoms [N, G, ...] has for each pixel, [N, h, w, ...]."""
        views = torch.arange(len(values)).view(-1, 1, 1)
        return values[views, self.geoms]


class ViewSource:
    """The views of folders. Files are mapped, not read: memory stays flat whatever their number.

    Args:
        folders: that `renders.views` filled.

    Raises:
        ValueError: a folder holds no file of views.
    """

    def __init__(self, *folders: Path) -> None:
        self.files: list[Any] = []
        sources = []
        for folder in folders:
            paths = sorted(folder.glob(PATTERN))
            if not paths:
                raise ValueError(
                    f"{folder} holds no {PATTERN}; render some first with "
                    f"`python -m stemob_wrappers.renders.views --out {folder}`"
                )
            for path in paths:
                file: Any = safe_open(path, "pt").__enter__()  # stays open
                self.files.append(file)
                sources.append(json.loads(file.metadata()["plan"])["source"])
        self.counts = [file.get_slice("ids").get_shape()[0] for file in self.files]
        counts = np.array(self.counts, np.float64)
        totals = {s: counts[[s == t for t in sources]].sum() for s in set(sources)}
        weights = [
            n / totals[s] * SOURCE_WEIGHTS.get(s, 1) for n, s in zip(counts, sources, strict=True)
        ]
        self.weights = np.array(weights) / sum(weights)

    def draw(self, rng: np.random.Generator, count: int) -> Crops:
        """Draw crops of ``count`` views, an even number, all of one size."""
        size = int(rng.choice(SIZES))
        phase = rng.random()
        rows = []
        for file in rng.choice(len(self.files), count // 2, p=self.weights):
            pair = rng.choice(self.counts[file], 2, replace=self.counts[file] < 2)
            rows += [_crop(self.files[file], int(view), size, phase, rng) for view in pair]
        geoms = 1 + max(len(row["roles"]) for row in rows)
        stacked = {
            name: torch.stack([row[name] for row in rows])
            for name in ("nominal", "albedo", "lit", "normals", "uv", "rendered")
        }
        ids = torch.stack([row["geoms"] for row in rows])
        crops = Crops(
            **stacked,
            geoms=torch.where(ids < 0, geoms - 1, ids),
            colours=torch.stack([_padded(row["colours"], geoms, 0.5) for row in rows]),
            rendered_colours=torch.stack(
                [_padded(row["rendered_colours"], geoms, 0.5) for row in rows]
            ),
            roles=torch.stack([_padded(row["roles"], geoms, SKY) for row in rows]),
            surfaces=torch.stack([_padded(row["surfaces"], geoms, -1) for row in rows]),
            backward=torch.stack([row["backward"] for row in rows]),
        )
        return mirrored(crops) if rng.random() < 0.5 else crops


def mirrored(crops: Crops) -> Crops:
    """The crops seen in a mirror: each pixel keeps its surface and its light."""
    pixels = ("nominal", "albedo", "lit", "normals", "uv", "geoms", "rendered")
    return crops._replace(**{name: getattr(crops, name).flip(2) for name in pixels})


def _crop(
    file: Any, view: int, size: int, phase: float, rng: np.random.Generator
) -> dict[str, torch.Tensor]:
    """A window of one view as a frame of ``size`` pixels shows it, one sample a pixel."""

    def read(name: str) -> torch.Tensor:
        return file.get_slice(name)[view]

    roles = file.get_tensor("role").long()
    roles[roles < 0] = ROLES.index("table")
    ids = read("ids").long()
    full = ids.shape[0]
    crop = min(CROP, size)
    corner = _corner((ids >= 0) & (roles[ids] == ROLES.index("object")), size, crop, rng)
    steps = (np.arange(crop) + (phase if size < full else 0.5)) * full / size
    rows, columns = (
        torch.from_numpy(np.minimum(start * full / size + steps, full - 1).astype(np.int64))
        for start in corner
    )

    def window(values: torch.Tensor) -> torch.Tensor:
        return values[rows[:, None], columns]

    nominal, colours = read("nominal"), read("colours")
    painted = "rendered" in file.keys()  # noqa: SIM118
    return {
        "rendered": window(read("rendered") if painted else torch.zeros_like(nominal)) / 255,
        "rendered_colours": (read("rendered_colours") if painted else colours) / 255,
        "nominal": window(nominal) / 255,
        "albedo": window(read("albedo")) / 255,
        "lit": window(read("lit")) / 255,
        "normals": window(read("normals")) / 127,
        "uv": window(read("uv")).float(),
        "geoms": window(ids),
        "colours": colours / 255,
        "roles": roles,
        "surfaces": file.get_tensor("surface").long(),
        "backward": read("rotation")[:, 2],
    }


def _corner(
    objects: torch.Tensor, size: int, crop: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Where in a frame of ``size`` pixels the window begins: row and column."""
    corner = rng.integers(0, size - crop + 1, 2).astype(np.float64)
    coarse = objects[::4, ::4]
    if rng.random() < SEEN_OBJECT and coarse.any():
        places = coarse.nonzero().numpy()
        place = places[rng.integers(len(places))] * 4 * size / len(objects)
        corner = np.clip(np.floor(place - rng.uniform(0.1, 0.9, 2) * crop), 0, size - crop)
    return corner


def _padded(values: torch.Tensor, length: int, value: float) -> torch.Tensor:
    padding = values.new_full((length - len(values), *values.shape[1:]), value)
    return torch.cat([values, padding])
