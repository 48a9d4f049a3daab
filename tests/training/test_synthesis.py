"""Deferred shading against MuJoCo's own renders, and what the targets keep of a look."""

from __future__ import annotations

import matt_scene
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stemob_wrappers.renders.gbuffer import NOWHERE, Buffers
from stemob_wrappers.renders.views import ROLES
from stemob_wrappers.training.synthesis import (
    TARGETS,
    Lights,
    TextureBank,
    draw_looks,
    draw_paint,
    mean_albedo,
    nominal_paint,
    painted,
    shade,
)
from stemob_wrappers.training.view_crops import SKY, Crops

GEOM_ROLES = ("floor", "table", "object", "object", "robot")


def crops_of(buffers: Buffers) -> Crops:
    """One view as crops: all of it."""
    tensors = {name: torch.from_numpy(np.array(value))[None] for name, value in buffers.items()}
    geoms = len(GEOM_ROLES) + 1
    ids = tensors["ids"].long()
    grey = torch.full((1, 1, 3), 0.5)
    return Crops(
        nominal=tensors["nominal"] / 255,
        albedo=tensors["albedo"] / 255,
        lit=tensors["lit"] / 255,
        normals=tensors["normals"] / 127,
        uv=tensors["uv"].float(),
        geoms=torch.where(ids == NOWHERE, geoms - 1, ids),
        colours=torch.cat([tensors["colours"] / 255, grey], 1),
        roles=torch.tensor([[*(ROLES.index(role) for role in GEOM_ROLES), SKY]]),
        surfaces=torch.tensor([[0, 1, 2, 3, 4, -1]]),
        backward=tensors["rotation"][..., 2],
        rendered=tensors["nominal"] / 255,
        rendered_colours=torch.cat([tensors["colours"] / 255, grey], 1),
    )


def nominal_lights() -> Lights:
    return Lights(
        ambient=torch.full((1, 3), 0.2),
        headlight=torch.full((1, 3), 0.3),
        shadowed=torch.zeros(1, 3, 3),
        directions=torch.from_numpy(matt_scene.LIGHT).float().view(1, 1, 3),
        colours=torch.tensor([[[0.5, 0.4, 0.3]]]),
        shininess=torch.tensor([10.0]),
    )


@pytest.fixture(scope="module")
def crops() -> Crops:
    return crops_of(matt_scene.render_buffers())


@pytest.fixture(scope="module")
def bank() -> TextureBank:
    return TextureBank(20)


def test_nominal_albedo_and_lights_give_the_rendered_frame_back(
    crops: Crops, bank: TextureBank
) -> None:
    albedo = painted(crops, nominal_paint(crops), bank)
    ours = shade(crops, albedo, torch.zeros(crops.geoms.shape), nominal_lights()).clamp(0, 1)
    surfaces = crops.of_pixels(crops.roles) != SKY
    levels = 255 * (ours - crops.nominal).abs().amax(-1)[surfaces]
    assert levels.quantile(0.99) <= 3
    assert levels.mean() < 1


def test_lights_with_shadows_are_as_mujoco_casts_them(bank: TextureBank) -> None:
    model, data, renderer = matt_scene.open_scene()
    buffers = renderer.buffers(data, "front", matt_scene.LIGHT[None].repeat(3, 0), shadows=True)
    crops = crops_of(buffers)
    rendered = renderer._draw(data, "front", shadows=True)[0] / 255.0
    renderer.close()
    lights = nominal_lights()
    lights = lights._replace(
        shadowed=torch.tensor([[[0.5, 0.4, 0.3], [0, 0, 0], [0, 0, 0]]]),
        colours=torch.zeros(1, 1, 3),
    )
    ours = shade(crops, crops.albedo, torch.zeros(crops.geoms.shape), lights).clamp(0, 1)
    table = crops.geoms[0] == model.geom("table").id
    levels = 255 * (ours[0] - torch.from_numpy(rendered)).abs().amax(-1)[table]
    assert levels.quantile(0.9) <= 3  # shadows' edges are blurred another way at another distance


def test_a_painted_colour_is_what_mujoco_renders_in_it(bank: TextureBank) -> None:
    model, data, renderer = matt_scene.open_scene()
    crops = crops_of(renderer.buffers(data, "front", np.eye(3), shadows=False))
    table = model.geom("table").id
    model.geom_rgba[table, :3] = [0.1, 0.5, 0.3]
    rendered = torch.from_numpy(renderer.nominal(data, "front") / 255.0)
    renderer.close()
    paint = nominal_paint(crops)
    paint.own[0, table], paint.colour[0, table] = 0.0, torch.tensor([0.1, 0.5, 0.3])
    albedo = painted(crops, paint, bank)
    ours = shade(crops, albedo, torch.zeros(crops.geoms.shape), nominal_lights())
    levels = 255 * (ours[0] - rendered).abs().amax(-1)[crops.geoms[0] == table]
    assert levels.quantile(0.99) <= 3
    assert torch.allclose(mean_albedo(crops, paint, bank)[0, table], paint.colour[0, table])


def test_a_texture_lies_still_on_its_surface(crops: Crops, bank: TextureBank) -> None:
    paint = nominal_paint(crops)
    table = 1
    paint.own[0, table], paint.share[0, table], paint.texture[0, table] = 0, 1, 3
    albedo = painted(crops, paint, bank)[0][crops.geoms[0] == table]
    wanted = bank.at(torch.tensor(3), crops.uv[0][crops.geoms[0] == table])
    torch.testing.assert_close(albedo, wanted)
    unpainted = painted(crops, paint, bank)[0][crops.geoms[0] != table]
    torch.testing.assert_close(unpainted, crops.albedo[0][crops.geoms[0] != table])


def test_a_texture_in_the_bank_repeats(bank: TextureBank) -> None:
    places = torch.rand(50, 2)
    texture = torch.arange(50) % 20
    torch.testing.assert_close(
        bank.at(texture, places), bank.at(texture, places + 3), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("name", ["nominal", "flat"])
def test_targets_of_a_scene_know_nothing_of_its_looks(
    crops: Crops, bank: TextureBank, name: str
) -> None:
    seen = [
        mean_albedo(crops, draw_paint(np.random.default_rng(seed), crops, 20), bank)
        for seed in (0, 1)
    ]
    assert not torch.equal(*seen)
    assert torch.equal(TARGETS[name](crops, seen[0]), TARGETS[name](crops, seen[1]))


def test_the_roles_target_keeps_the_hue_of_objects_alone(crops: Crops) -> None:
    blue = torch.tensor([0.1, 0.2, 0.6])
    seen = crops.colours.clone()
    was = TARGETS["roles"](crops, seen)[0]
    seen[0, :4] = blue  # floor, table, box, ball
    picture = TARGETS["roles"](crops, seen)[0]
    geoms = crops.geoms[0]
    for geom, role in enumerate(GEOM_ROLES):
        pixels = picture[geoms == geom]
        if role == "object":
            assert torch.allclose(F.normalize(pixels, dim=-1), F.normalize(blue, dim=0), atol=1e-3)
        else:
            assert torch.equal(pixels, was[geoms == geom])


def test_looks_differ_and_follow_from_the_generator(crops: Crops, bank: TextureBank) -> None:
    first, again, other = (
        draw_looks(np.random.default_rng(seed), crops, bank)[0] for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert (first - other).abs().mean() > 0.02
    assert first.min() >= -1
    assert first.max() <= 1


def test_dark_and_bright_rooms_are_both_drawn(crops: Crops, bank: TextureBank) -> None:
    means = [
        float(draw_looks(np.random.default_rng(seed), crops, bank)[0].mean()) for seed in range(40)
    ]
    assert min(means) < -0.7
    assert max(means) > 0.2
