"""Looks of rendered views without a renderer: painted and lit anew (deferred shading).

A look is drawn in two parts, which pure functions apply: `Paint` for the surfaces, `Lights` for the
room. What a canonical decoder is to make of every look are the *targets*. Only ``train`` textures
enter.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from stemob_wrappers.extras import needs

with needs("train"):
    import cv2

from stemob_wrappers.renders.views import ROLES
from stemob_wrappers.scene.textures import draw_colour, draw_texture
from stemob_wrappers.training.view_crops import SKY, Crops

TEXTURES = 700
TEXEL = 64  # side of a texture in pixels
FINE_REPEATS = 3.0  # textures that repeat more often are taken from a coarser copy

# How often a surface's look is drawn anew, and how often that is by a texture, by one colour, by a
# tint over its own albedo.
CHANGES = {
    "floor": (0.8, (0.7, 0.25, 0.05)),
    "wall": (0.8, (0.6, 0.35, 0.05)),
    "table": (0.85, (0.75, 0.2, 0.05)),
    "object": (0.45, (0.3, 0.4, 0.3)),
    "robot": (0.35, (0.3, 0.4, 0.3)),
}
UNPAINTED = 0.12  # share of views whose surfaces all stay
UNLIT = 0.06  # share of views that keep their nominal light, too
EXPOSED = 0.7  # share of views that are exposed to a mean brightness in this range
BRIGHTNESS = (0.1, 1.0)

SUN = (0.35, -0.25, 0.9)
SKY_GREY = 0.6
BACKGROUND_GREY = 0.6
ROBOT_GREYS = (0.05, 0.45)  # of its black parts and of its white ones
ROLE_GREYS = {"floor": 0.45, "wall": 0.6, "table": 0.85, "robot": 0.35}


class Paint(NamedTuple):
    """How the geoms of N views are painted; albedo = own * albedo + colour + share * texture.

    Attributes:
        own, share: float [N, G], from 0 to 1.
        colour: float [N, G, 3].
        texture: int64 [N, G], place in the bank.
        turn: float [N, G, 2, 2] and shift: float [N, G, 2]: places on a surface to repeats.
        gloss: float [N, G], strength of specular highlights.
    """

    own: torch.Tensor
    share: torch.Tensor
    colour: torch.Tensor
    texture: torch.Tensor
    turn: torch.Tensor
    shift: torch.Tensor
    gloss: torch.Tensor


class Lights(NamedTuple):
    """The light in N views; all colours are linear factors of the albedo.

    Attributes:
        ambient, headlight: float [N, 3]; the latter shines from the camera, in parallel.
        shadowed: float [N, 3, 3], colours of the three lights that were rendered with shadows.
        directions: float [N, K, 3], unit vectors towards lights without shadows.
        colours: float [N, K, 3], of those.
        shininess: float [N], exponent of their specular highlights.
    """

    ambient: torch.Tensor
    headlight: torch.Tensor
    shadowed: torch.Tensor
    directions: torch.Tensor
    colours: torch.Tensor
    shininess: torch.Tensor


class TextureBank:
    """Textures of the ``train`` split, each in a fine and in a coarse copy.

    Args:
        count: how many.
        seed: of the draws.
    """

    def __init__(self, count: int = TEXTURES, seed: int = 0) -> None:
        fine = torch.from_numpy(_draw_textures(count, seed)).float() / 255
        blocks = F.avg_pool2d(fine.permute(0, 3, 1, 2), 4)
        coarse = F.interpolate(blocks, TEXEL).permute(0, 2, 3, 1)
        self.count = count
        self.means = fine.mean((1, 2)).repeat(2, 1)
        self._texels = torch.cat([fine, coarse]).reshape(-1, 3).contiguous()

    def at(self, texture: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Colours [..., 3] of textures [...] at places [..., 2], counted in repeats."""
        texels = (places - places.floor()) * TEXEL - 0.5
        low = texels.floor()
        across, down = (texels - low).split(1, dim=-1)
        x, y = low.long().unbind(-1)
        left, top = x % TEXEL, y % TEXEL
        right, bottom = (x + 1) % TEXEL, (y + 1) % TEXEL
        start = texture * TEXEL**2
        above, below = (
            torch.lerp(
                self._texels[start + row * TEXEL + left],
                self._texels[start + row * TEXEL + right],
                across,
            )
            for row in (top, bottom)
        )
        return torch.lerp(above, below, down)


@cache
def _draw_textures(count: int, seed: int) -> NDArray[np.uint8]:
    """Train textures, uint8 [count, TEXEL, TEXEL, 3]."""
    rng = np.random.default_rng(seed)
    drawn = [draw_texture("train", rng, 2 * TEXEL)[2] for _ in range(count)]
    size = (TEXEL, TEXEL)
    resized = [cv2.resize(texture, size, interpolation=cv2.INTER_AREA) for texture in drawn]
    return np.stack(resized).astype(np.uint8)


def nominal_paint(crops: Crops) -> Paint:
    """The paint that leaves every surface as it is."""
    views, geoms = crops.roles.shape
    one, none = torch.ones(views, geoms), torch.zeros(views, geoms)
    return Paint(
        own=one,
        share=none,
        colour=torch.zeros(views, geoms, 3),
        texture=torch.zeros(views, geoms, dtype=torch.int64),
        turn=torch.eye(2).repeat(views, geoms, 1, 1),
        shift=torch.zeros(views, geoms, 2),
        gloss=none.clone(),
    )


def draw_paint(rng: np.random.Generator, crops: Crops, textures: int) -> Paint:
    """Draw the looks of all surfaces.

    Args:
        textures: how many there are in the bank, not counting their coarse copies.
    """
    paint = nominal_paint(crops)
    for view, (roles, surfaces) in enumerate(zip(crops.roles, crops.surfaces, strict=True)):
        if rng.random() < UNPAINTED:
            continue
        for surface in range(int(surfaces.max()) + 1):
            geoms = (surfaces == surface).nonzero()[:, 0]
            change, kinds = CHANGES[ROLES[int(roles[geoms[0]])]]
            if rng.random() >= change:
                continue
            kind = int(rng.choice(3, p=kinds))
            if kind == 0:
                repeats, angle = log_uniform(rng, 0.5, 6.0), rng.uniform(0, 2 * np.pi)
                share = 1.0 if rng.random() < 0.75 else rng.uniform(0.3, 0.9)
                coarse = textures * int(repeats > FINE_REPEATS)
                sin, cos = repeats * np.sin(angle), repeats * np.cos(angle)
                paint.own[view, geoms] = 1 - share
                paint.share[view, geoms] = share
                paint.texture[view, geoms] = int(rng.integers(textures)) + coarse
                paint.turn[view, geoms] = torch.tensor([[cos, -sin], [sin, cos]]).float()
                paint.shift[view, geoms] = torch.from_numpy(rng.random(2)).float()
            else:
                amount = 1.0 if kind == 1 else rng.uniform(0.3, 1.0)
                parts = [geoms] if rng.random() < 0.8 else geoms.view(-1, 1)
                paint.own[view, geoms] = 1 - amount
                for part in parts:
                    colour = torch.from_numpy(amount * draw_colour(rng)).float()
                    paint.colour[view, part] = colour
            if rng.random() < 0.4:
                paint.gloss[view, geoms] = rng.uniform(0, 0.8)
    return paint


def painted(crops: Crops, paint: Paint, bank: TextureBank) -> torch.Tensor:
    """The albedo of every pixel, float [N, h, w, 3]."""
    turn, shift = crops.of_pixels(paint.turn), crops.of_pixels(paint.shift)
    places = (turn * crops.uv[..., None, :]).sum(-1) + shift
    texture = bank.at(crops.of_pixels(paint.texture), places)
    own, share = (crops.of_pixels(x)[..., None] for x in (paint.own, paint.share))
    return own * crops.albedo + crops.of_pixels(paint.colour) + share * texture


def mean_albedo(crops: Crops, paint: Paint, bank: TextureBank) -> torch.Tensor:
    """The albedo of every geom under its paint, float [N, G, 3]."""
    textures = bank.means[paint.texture]
    return paint.own[..., None] * crops.colours + paint.colour + paint.share[..., None] * textures


def draw_lights(rng: np.random.Generator, count: int) -> Lights:
    """Light of any colour from dark to over-exposed, with two lights without shadows."""
    coloured = rng.random(count) < 0.6
    overall = tints(rng, np.where(coloured, rng.uniform(0.05, 0.6, count), 0.02))
    overall *= np.where(rng.random(count) < 0.3, 1.0, log_uniform(rng, 0.25, 1.6, count))[:, None]

    def lamps(number: int, on: float) -> NDArray[np.float64]:
        strengths = rng.uniform(0.1, 0.8, (count, number)) * (rng.random((count, number)) < on)
        colours = tints(rng, np.repeat(0.3 * coloured, number)).reshape(count, number, 3)
        return strengths[..., None] * colours * overall[:, None]

    azimuth, height = rng.uniform(-np.pi, np.pi, (count, 2)), rng.uniform(0.2, 1.5, (count, 2))
    level = np.cos(height)
    directions = [np.cos(azimuth) * level, np.sin(azimuth) * level, np.sin(height)]
    headlight = rng.uniform(0, 0.5, (count, 1)) * (rng.random((count, 1)) < 0.7)
    ambient = rng.uniform(0.03, 0.5, (count, 1)) * tints(rng, np.full(count, 0.1))
    drawn = (
        ambient * overall,
        headlight * overall,
        lamps(3, 0.6),
        np.stack(directions, axis=2),
        lamps(2, 0.6),
        log_uniform(rng, 8.0, 80.0, count),
    )
    return Lights(*(torch.from_numpy(np.asarray(x)).float() for x in drawn))


def shade(crops: Crops, albedo: torch.Tensor, gloss: torch.Tensor, lights: Lights) -> torch.Tensor:
    """Light surfaces as MuJoCo does: the frame, float [N, h, w, 3], not clipped.

    Args:
        albedo: float [N, h, w, 3].
        gloss: float [N, h, w].
    """

    def wide(colours: torch.Tensor) -> torch.Tensor:
        return colours[:, None, None]

    facing = (crops.normals * wide(crops.backward)).sum(-1, keepdim=True).clamp_min(0)
    light = wide(lights.ambient) + wide(lights.headlight) * facing
    for lamp in range(3):
        light = light + wide(lights.shadowed[:, lamp]) * crops.lit[..., lamp : lamp + 1]
    shine = torch.zeros_like(light)
    for lamp in range(lights.directions.shape[1]):
        direction, colour = wide(lights.directions[:, lamp]), wide(lights.colours[:, lamp])
        light = light + colour * (crops.normals * direction).sum(-1, keepdim=True).clamp_min(0)
        halfway = F.normalize(wide(crops.backward) + direction, dim=-1)
        mirrored = (crops.normals * halfway).sum(-1).clamp_min(0)
        mirrored = mirrored ** lights.shininess.view(-1, 1, 1)
        shine = shine + colour * (gloss * mirrored)[..., None]
    return albedo * light + shine


def draw_looks(
    rng: np.random.Generator, crops: Crops, bank: TextureBank
) -> tuple[torch.Tensor, Paint]:
    """New looks of the views: images, float [N, 3, h, w] in [-1, 1], and how they were painted."""
    count = len(crops.nominal)
    paint, lights = draw_paint(rng, crops, bank.count), draw_lights(rng, count)
    lit = shade(crops, painted(crops, paint, bank), crops.of_pixels(paint.gloss), lights)
    brightness = (lights.ambient + lights.headlight).mean(-1).view(-1, 1, 1, 1).clamp(max=1)
    colours = torch.from_numpy(np.stack([draw_colour(rng) for _ in range(count)])).float()
    skies = torch.where(_some(rng, count, 0.3), crops.nominal, colours.view(-1, 1, 1, 3))
    image = torch.where(_sky(crops), skies * brightness, lit)
    means = rng.uniform(*BRIGHTNESS, count)
    image = torch.where(_some(rng, count, EXPOSED), exposed(image, torch.from_numpy(means)), image)
    image = torch.where(_some(rng, count, UNLIT), crops.nominal, image)
    return to_images(camera_noise(rng, image.clamp(0, 1))), paint


def exposed(images: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
    """Images [N, h, w, 3] scaled to these mean brightnesses [N], as far as they are not clipped.

    A camera does so, too; light that is drawn without it leaves many views too dark to see.
    """
    gain = means.float() / images.mean((1, 2, 3)).clamp_min(1e-3)
    return images * gain.view(-1, 1, 1, 1)


def camera_noise(rng: np.random.Generator, images: torch.Tensor) -> torch.Tensor:
    """Gamma, white balance and noise of some cameras; float [N, h, w, 3] in [0, 1]."""
    count = len(images)
    gamma = np.where(rng.random(count) < 0.3, np.exp(rng.normal(0, 0.35, count)), 1.0)
    balanced = rng.random((count, 1)) < 0.4
    gain = np.where(balanced, rng.uniform(0.6, 1.25, (count, 3)), 1.0)
    bias = np.where(balanced, rng.uniform(-0.12, 0.12, (count, 3)), 0.0)
    noise = np.where(rng.random(count) < 0.2, rng.uniform(0, 0.05, count), 0.0)
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    gamma, gain, bias, noise = (
        torch.from_numpy(x).float().view(count, 1, 1, -1) for x in (gamma, gain, bias, noise)
    )
    images = images.clamp_min(1e-4) ** gamma * gain + bias
    return (images + noise * torch.randn(images.shape, generator=generator)).clamp(0, 1)


# --- targets -------------------------------------------------------------------------------------


def nominal_target(crops: Crops, seen: torch.Tensor) -> torch.Tensor:
    """The look that the scene came with."""
    return crops.nominal


def flat_target(crops: Crops, seen: torch.Tensor) -> torch.Tensor:
    """Every geom in its nominal mean colour, without texture, under one light."""
    return under_one_light(crops, crops.colours)


def roles_target(crops: Crops, seen: torch.Tensor) -> torch.Tensor:
    """Objects in the colour they are seen in, the robot in its own, every other role in a grey."""
    colours = evenly_bright(seen)
    for role, grey in ROLE_GREYS.items():
        of_role = (crops.roles == ROLES.index(role))[..., None]
        own = crops.colours if role == "robot" else grey
        colours = torch.where(of_role, own, colours)
    return under_one_light(crops, colours)


def evenly_bright(colours: torch.Tensor) -> torch.Tensor:
    """Colours [..., 3] neither very dark nor very bright, of the hue they have."""
    brightest = colours.amax(-1, keepdim=True).clamp_min(1e-3)
    return colours / brightest * brightest.clamp(0.25, 0.9)


def foreground_target(crops: Crops, seen: torch.Tensor) -> torch.Tensor:
    """Objects in the colour they are seen in, the robot in greys, all else one even grey.

    What else there is (table, floor, walls, sky) cannot always be told apart in one frame, and
    what cannot be known comes out as a blur (after ACO-MoE, arXiv 2604.24661).
    """
    lightness = crops.colours.mean(-1, keepdim=True).expand_as(seen)
    robot = ROBOT_GREYS[0] + (ROBOT_GREYS[1] - ROBOT_GREYS[0]) * lightness
    is_robot, is_object = (
        (crops.roles == ROLES.index(role))[..., None] for role in ("robot", "object")
    )
    lit = under_one_light(crops, torch.where(is_robot, robot, evenly_bright(seen)))
    in_front = crops.of_pixels((is_robot | is_object).float())
    return torch.where(in_front > 0, lit, torch.tensor(BACKGROUND_GREY))


TARGETS: dict[str, Callable[[Crops, torch.Tensor], torch.Tensor]] = {
    "nominal": nominal_target,
    "flat": flat_target,
    "roles": roles_target,
    "foreground": foreground_target,
}
"""From crops and the albedo that their geoms are seen in [N, G, 3] to pictures [N, h, w, 3]."""


def under_one_light(crops: Crops, colours: torch.Tensor) -> torch.Tensor:
    """Geoms in plain colours, float [N, G, 3], under one fixed light; the sky is grey."""
    sun = F.normalize(torch.tensor(SUN), dim=0)
    light = 0.5 + 0.5 * (crops.normals @ sun).clamp_min(0)
    picture = crops.of_pixels(colours) * light[..., None]
    return torch.where(_sky(crops), torch.tensor(SKY_GREY), picture).clamp(0, 1)


# --- parts ---------------------------------------------------------------------------------------


def to_images(pictures: torch.Tensor) -> torch.Tensor:
    """[N, h, w, 3] in [0, 1] to [N, 3, h, w] in [-1, 1]."""
    return (2 * pictures - 1).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def log_uniform(
    rng: np.random.Generator, low: float, high: float, count: int | None = None
) -> NDArray[np.float64]:
    """Draws whose logarithm is uniform."""
    return np.asarray(np.exp(rng.uniform(np.log(low), np.log(high), count)))


def tints(rng: np.random.Generator, amounts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Colours of mean 1, [N, 3], farther from white the larger their amount [N]."""
    factors = np.exp(rng.normal(0, 1, (len(amounts), 3)) * amounts[:, None])
    return factors / factors.mean(axis=1, keepdims=True)


def _some(rng: np.random.Generator, count: int, share: float) -> torch.Tensor:
    return torch.from_numpy(rng.random(count) < share).view(-1, 1, 1, 1)


def _sky(crops: Crops) -> torch.Tensor:
    return (crops.of_pixels(crops.roles) == SKY)[..., None]
