"""Procedural textures drawn from a seed; `stemob_wrappers.splits` says which are for what.

Every family is a function of a random generator and a size. A texture is named by
``(family, seed, size)`` and comes out the same, byte for byte, each time. Patterns tile seamlessly
wherever their construction allows it.

Example:
    >>> from stemob_wrappers.scene.textures import make_texture
    >>> make_texture("checker", seed=3, size=64).shape
    (64, 64, 3)
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.extras import needs

with needs("images"):
    import cv2

from stemob_wrappers.splits import SPLITS, Split, draw_seed

Pixels = NDArray[np.uint8]
Field = NDArray[np.float64]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


# --- building blocks ---------------------------------------------------------------------------


def draw_colour(rng: np.random.Generator) -> Field:
    """One RGB colour in [0, 1], from greys to saturated hues, from dark to bright."""
    hue = rng.uniform(0.0, 6.0)
    saturation = rng.beta(1.2, 1.2) if rng.random() < 0.75 else rng.uniform(0.0, 0.12)
    value = rng.uniform(0.15, 1.0)
    # The textbook HSV wheel: each channel is a clipped triangle wave, a third of a turn apart.
    wheel = np.abs((hue + np.array([0.0, 4.0, 2.0])) % 6.0 - 3.0) - 1.0
    return value * (1.0 - saturation * (1.0 - np.clip(wheel, 0.0, 1.0)))


def draw_palette(rng: np.random.Generator, count: int) -> Field:
    """``count`` RGB colours in [0, 1], ``[count, 3]``, neighbours easy to tell apart."""
    colours = [draw_colour(rng)]
    while len(colours) < count:
        candidates = [draw_colour(rng) for _ in range(4)]
        colours.append(max(candidates, key=lambda c: float(np.abs(c - colours[-1]).sum())))
    return np.array(colours)


def grid(size: int) -> tuple[Field, Field]:
    """Rows and columns of the unit square, ``[size, 1]`` and ``[1, size]``, in [0, 1)."""
    axis = np.arange(size) / size
    return axis[:, None], axis[None, :]


def value_noise(rng: np.random.Generator, size: int, cells: int, cells_x: int = 0) -> Field:
    """Smooth, seamless noise in [0, 1]: random values on a torus of cells, interpolated."""
    knots = rng.random((cells, cells_x or cells))

    def weights(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Field]:
        position = np.arange(size) * (count / size)
        low = position.astype(np.intp) % count
        t = position % 1.0
        return low, (low + 1) % count, t * t * (3.0 - 2.0 * t)

    top, bottom, ty = weights(knots.shape[0])
    left, right, tx = weights(knots.shape[1])
    rows = knots[top] * (1.0 - ty[:, None]) + knots[bottom] * ty[:, None]
    return rows[:, left] * (1.0 - tx) + rows[:, right] * tx


def octaves(rng: np.random.Generator, size: int, cells: int, count: int = 4) -> Field:
    """Value noise summed over ``count`` octaves and stretched to [0, 1]."""
    total = np.zeros((size, size))
    for octave in range(count):
        total += value_noise(rng, size, min(cells * 2**octave, size)) / 2**octave
    return stretch(total)


def stretch(field: Field) -> Field:
    """The field moved and scaled to fill [0, 1]."""
    low, high = field.min(), field.max()
    return (field - low) / max(high - low, 1e-9)


def blend(first: Field, second: Field, amount: NDArray[Any]) -> Field:
    """From the first colour to the second as ``amount`` ``[H, W]`` goes from 0 to 1."""
    return first + amount[..., None] * (second - first)


def shade(colours: Field, amount: Field) -> Field:
    """Colours made darker or lighter by a factor ``[H, W]``."""
    return colours * amount[..., None]


def period(rng: np.random.Generator, low: int, high: int) -> int:
    """A whole number of repeats over the texture, so that it tiles."""
    return int(rng.integers(low, high + 1))


def nearest_seeds(rng: np.random.Generator, size: int, side: int) -> tuple[NDArray[np.intp], Field]:
    """Jittered cells on a torus: index of the nearest centre, and distance to the border.

    One centre lies in each of ``side * side`` squares, so only nine are candidates for a pixel.
    """
    jitter = rng.random((side, side, 2), dtype=np.float32)
    axis = np.arange(size, dtype=np.float32) * np.float32(side / size)
    square = axis.astype(np.intp)
    best = np.full((size, size), np.inf, dtype=np.float32)
    second = best.copy()
    index = np.zeros((size, size), dtype=np.intp)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            row, column = (square + dy) % side, (square + dx) % side
            centre = jitter[row].take(column, axis=1)
            distance = np.square(centre[..., 0] + (square + dy - axis)[:, None].astype(np.float32))
            distance += np.square(centre[..., 1] + (square + dx - axis)[None].astype(np.float32))
            cell = row[:, None] * side + column[None]
            np.copyto(index, cell, where=distance < best)
            np.minimum(second, np.maximum(best, distance), out=second)
            np.minimum(best, distance, out=best)
    return index, np.sqrt(second).astype(np.float64) - np.sqrt(best)


# --- families: train -----------------------------------------------------------------------------


def plain(rng: np.random.Generator, size: int) -> Field:
    """One colour."""
    return np.broadcast_to(draw_colour(rng), (size, size, 3))


def gradient(rng: np.random.Generator, size: int) -> Field:
    """A smooth ramp between two colours, straight or round."""
    first, second = draw_palette(rng, 2)
    y, x = grid(size)
    if rng.random() < 0.5:
        angle = rng.uniform(0.0, 2.0 * np.pi)
        ramp = np.cos(angle) * x + np.sin(angle) * y
    else:
        ramp = np.hypot(x - rng.uniform(0.2, 0.8), y - rng.uniform(0.2, 0.8))
    return blend(first, second, stretch(ramp))


def checker(rng: np.random.Generator, size: int) -> Field:
    """Squares of two colours."""
    first, second = draw_palette(rng, 2)
    count = 2 * period(rng, 1, 8)
    y, x = grid(size)
    odd = (np.floor(y * count) + np.floor(x * count)) % 2
    return blend(first, second, odd)


def stripes(rng: np.random.Generator, size: int) -> Field:
    """Parallel bands of two colours, hard or soft, at a slope that tiles."""
    first, second = draw_palette(rng, 2)
    across, down = period(rng, 0, 10), period(rng, 0, 10)
    y, x = grid(size)
    wave = 0.5 + 0.5 * np.sin(2.0 * np.pi * (max(across, 1 - down) * x + down * y))
    if rng.random() < 0.6:
        wave = (wave > rng.uniform(0.3, 0.7)).astype(float)
    return blend(first, second, wave)


def clouds(rng: np.random.Generator, size: int) -> Field:
    """Value noise with large features."""
    first, second = draw_palette(rng, 2)
    return blend(first, second, octaves(rng, size, period(rng, 2, 5)))


def grain(rng: np.random.Generator, size: int) -> Field:
    """Value noise with small features, as on plaster or sandpaper."""
    base = draw_colour(rng)
    rough = octaves(rng, size, period(rng, 16, 48), count=2)
    return shade(
        np.broadcast_to(base, (size, size, 3)), 1.0 + rng.uniform(0.2, 0.7) * (rough - 0.5)
    )


def wood(rng: np.random.Generator, size: int) -> Field:
    """Long fibres along one direction, bent by slow noise."""
    light = draw_colour(rng)
    if rng.random() < 0.6:
        light = np.array([0.75, 0.5, 0.3]) * rng.uniform(0.6, 1.3) * rng.uniform(0.85, 1.15, 3)
    dark = light * rng.uniform(0.35, 0.75)
    x = grid(size)[1]
    bend = value_noise(rng, size, 2, 4)
    rings = 0.5 + 0.5 * np.sin(2.0 * np.pi * (period(rng, 3, 9) * x + rng.uniform(0.5, 2.5) * bend))
    fibres = value_noise(rng, size, 4, min(size // 2, 96))
    pattern = blend(light, dark, 0.65 * rings**2 + 0.35 * fibres)
    return pattern if rng.random() < 0.5 else pattern.transpose(1, 0, 2)


def fabric(rng: np.random.Generator, size: int) -> Field:
    """Threads that cross over and under each other."""
    warp, weft = draw_palette(rng, 2)
    count = period(rng, 8, 24)
    y, x = (axis * count for axis in grid(size))
    over = (np.floor(y) + np.floor(x)) % 2
    round_x, round_y = np.sin(np.pi * (x % 1.0)), np.sin(np.pi * (y % 1.0))
    thread = 0.45 + 0.55 * np.where(over > 0, round_x, round_y)
    return shade(blend(warp, weft, over), thread)


def dots(rng: np.random.Generator, size: int) -> Field:
    """Round spots on a ground, in rows or staggered."""
    ground, spot = draw_palette(rng, 2)
    count = 2 * period(rng, 1, 6)
    y, x = (axis * count for axis in grid(size))
    shift = 0.5 * (np.floor(y) % 2) if rng.random() < 0.5 else 0.0
    distance = np.hypot((x + shift) % 1.0 - 0.5, y % 1.0 - 0.5)
    return blend(ground, spot, (distance < rng.uniform(0.2, 0.45)).astype(float))


def bricks(rng: np.random.Generator, size: int) -> Field:
    """Courses of bricks, each of its own brightness, with mortar between them."""
    brick, mortar = draw_palette(rng, 2)
    rows = 2 * period(rng, 2, 7)
    columns = max(rows // 2, 1)
    y, x = grid(size)
    row = np.floor(y * rows).astype(np.intp)
    along = x * columns + 0.5 * (row % 2)
    tone = rng.uniform(0.7, 1.15, (rows, columns))[row, np.floor(along).astype(np.intp) % columns]
    joint = rng.uniform(0.06, 0.14)
    gap = ((y * rows) % 1.0 < 2.0 * joint) | (along % 1.0 < joint)
    return blend(shade(np.broadcast_to(brick, (size, size, 3)), tone), mortar, gap.astype(float))


def blotches(rng: np.random.Generator, size: int) -> Field:
    """Irregular patches of three flat colours."""
    palette = draw_palette(rng, 3)
    noise = octaves(rng, size, period(rng, 2, 6), count=3)
    cuts = np.quantile(noise, sorted(rng.uniform(0.2, 0.8, 2)))
    return palette[np.digitize(noise, cuts)]


def plaid(rng: np.random.Generator, size: int) -> Field:
    """Bands of colour in both directions that mix where they cross."""
    palette = draw_palette(rng, 3)
    count = period(rng, 2, 5)
    bands = rng.integers(0, 3, 8)
    axis = np.floor(np.arange(size) / size * count * 8).astype(np.intp) % 8
    return 0.5 * (palette[bands[axis]][:, None] + palette[bands[axis]][None, :])


# --- families: dev -------------------------------------------------------------------------------


def marble(rng: np.random.Generator, size: int) -> Field:
    """Sharp veins along the ridges of warped noise."""
    stone, vein = draw_palette(rng, 2)
    y, x = grid(size)
    phase = period(rng, 1, 3) * x + period(rng, 0, 2) * y
    warp = octaves(rng, size, period(rng, 2, 4), count=5)
    ridge = 1.0 - np.abs(np.sin(2.0 * np.pi * (phase + rng.uniform(1.0, 2.0) * warp)))
    return blend(stone, vein, ridge ** rng.uniform(2.0, 6.0))


def cells(rng: np.random.Generator, size: int) -> Field:
    """Voronoi cells, each in one of five colours, with borders."""
    palette = draw_palette(rng, 5)
    side = period(rng, 3, 9)
    index, border = nearest_seeds(rng, size, side)
    colours = palette[rng.integers(0, 4, side * side)[index]]
    return blend(colours, palette[4], (border < rng.uniform(0.0, 0.12)).astype(float))


def zigzag(rng: np.random.Generator, size: int) -> Field:
    """Chevrons of three colours."""
    palette = draw_palette(rng, 3)
    y, x = grid(size)
    teeth, rows = period(rng, 2, 6), period(rng, 1, 4)
    height = rng.uniform(0.15, 0.5)
    saw = np.abs((x * teeth) % 1.0 - 0.5) * 2.0 * height
    return palette[np.floor((y * rows + saw) * 3.0).astype(np.intp) % 3]


# --- families: test ------------------------------------------------------------------------------


def mosaic(rng: np.random.Generator, size: int) -> Field:
    """Squares cut into triangles, each triangle in a colour of its own."""
    palette = draw_palette(rng, 6)
    count = period(rng, 3, 9)
    y, x = (axis * count for axis in grid(size))
    row, column = y.astype(np.intp), x.astype(np.intp)
    u, v = x % 1.0, y % 1.0
    corner = 2 * (u > v).astype(np.intp) + (u + v > 1.0)
    return palette[rng.integers(0, 6, (count, count, 4))[row, column, corner]]


def ripples(rng: np.random.Generator, size: int) -> Field:
    """Rings that spread from several centres and cross each other."""
    first, second = draw_palette(rng, 2)
    y, x = grid(size)
    total = np.zeros((size, size))
    for _ in range(period(rng, 2, 3)):
        distance = np.hypot(x - rng.uniform(), y - rng.uniform())
        total += np.sin(2.0 * np.pi * rng.uniform(5.0, 12.0) * distance)
    return blend(first, second, stretch(np.tanh(2.0 * total)))


def arcs(rng: np.random.Generator, size: int) -> Field:
    """Truchet tiles: quarter circles that join into winding paths."""
    ground, path = draw_palette(rng, 2)
    count = period(rng, 3, 9)
    y, x = (axis * count for axis in grid(size))
    flipped = rng.random((count, count))[y.astype(np.intp), x.astype(np.intp)] < 0.5
    u, v = np.where(flipped, 1.0 - x % 1.0, x % 1.0), y % 1.0
    width = rng.uniform(0.08, 0.22)
    near = np.abs(np.hypot(u, v) - 0.5) < width
    far = np.abs(np.hypot(1.0 - u, 1.0 - v) - 0.5) < width
    return blend(ground, path, (near | far).astype(float))


# --- registry and split --------------------------------------------------------------------------

FAMILIES: dict[str, Callable[[np.random.Generator, int], Field]] = {
    family.__name__: family
    for family in (
        *(plain, gradient, checker, stripes, clouds, grain),
        *(wood, fabric, dots, bricks, blotches, plaid),
        *(marble, cells, zigzag),
        *(mosaic, ripples, arcs),
    )
}
"""Every family by name, in a fixed order; the last third is never trained on, see `SPLITS`."""


def make_texture(family: str, seed: int, size: int = 256) -> Pixels:
    """Draw one texture.

    Args:
        family: a name in `FAMILIES`.
        seed: any non-negative integer.
        size: side in pixels, at least 2.

    Returns:
        uint8 ``[size, size, 3]``, RGB; the same bytes for the same arguments.

    Raises:
        ValueError: the family is unknown, or the seed or size is out of range.

    Example:
        >>> make_texture("wood", seed=0, size=32).dtype
        dtype('uint8')
    """
    if family not in FAMILIES:
        raise ValueError(f"Unknown texture family {family!r}; choose one of {', '.join(FAMILIES)}.")
    if seed < 0 or size < 2:
        raise ValueError(f"Need seed >= 0 and size >= 2, got seed={seed}, size={size}.")
    # The family takes part in the seed, so that equal seeds do not give equal colours everywhere.
    rng = np.random.default_rng([zlib.crc32(family.encode()), seed])
    field = np.clip(FAMILIES[family](rng, size), 0.0, 1.0)
    return np.ascontiguousarray(np.rint(field * 255.0).astype(np.uint8))


def draw_texture(
    split: Split, rng: np.random.Generator, size: int = 256
) -> tuple[str, int, Pixels]:
    """Draw a texture of a split.

    Returns:
        ``(family, seed, pixels)``, pixels as `make_texture` gives them.

    Example:
        >>> from stemob_wrappers.splits import SEEDS
        >>> family, seed, pixels = draw_texture("dev", np.random.default_rng(0), size=16)
        >>> family in SPLITS["dev"], seed in SEEDS["dev"], pixels.shape
        (True, True, (16, 16, 3))
    """
    family = SPLITS[split][int(rng.integers(len(SPLITS[split])))]
    seed = draw_seed(split, rng)
    return family, seed, make_texture(family, seed, size)


# --- images as textures --------------------------------------------------------------------------


def image_textures(folder: str | Path) -> list[Path]:
    """The image files of a folder, sorted by name.

    Raises:
        ValueError: the folder does not exist, cannot be read, or holds no image.
    """
    folder = Path(folder)
    try:
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    except OSError as error:
        raise ValueError(f"Need a readable folder of images, got {folder}: {error}.") from error
    if not files:
        raise ValueError(
            f"Need a folder with images ({', '.join(IMAGE_SUFFIXES)}), got {folder} without any."
        )
    return files


def load_texture(path: str | Path, size: int = 256) -> Pixels:
    """Read an image as a texture: uint8 ``[size, size, 3]``, RGB, stretched to a square.

    Raises:
        ValueError: the file does not exist or is no image.
    """
    try:
        encoded = np.frombuffer(Path(path).read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise ValueError(f"Need a readable image file, got {path}: {error}.") from error
    image = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    if image is None:
        raise ValueError(f"Need an image file, got {path}, which cv2 cannot decode.")
    resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(cv2.cvtColor(resized, cv2.COLOR_BGR2RGB).astype(np.uint8))
