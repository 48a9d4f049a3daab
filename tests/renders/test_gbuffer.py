"""G-buffers against what MuJoCo itself renders, and against rays and formulas."""

# pyright: reportAttributeAccessIssue=false
# (MuJoCo ships no complete type stubs.)

from __future__ import annotations

import matt_scene
import mujoco
import numpy as np
import pytest

from stemob_wrappers.renders.gbuffer import NOWHERE, Buffers, world_points

TOWARDS = np.array([[0.3, -0.4, 0.8], [-0.6, 0.2, 0.7], [0.0, 0.5, 0.9]])
TOWARDS /= np.linalg.norm(TOWARDS, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def buffers() -> Buffers:
    return matt_scene.render_buffers(TOWARDS)


@pytest.fixture(scope="module")
def scene() -> tuple[mujoco.MjModel, mujoco.MjData]:
    model, data, renderer = matt_scene.open_scene()
    renderer.close()
    return model, data


def points(buffers: Buffers) -> np.ndarray:
    depth = buffers["depth"].astype(np.float32)
    return world_points(depth, buffers["position"], buffers["rotation"], float(buffers["fovy"]))


def test_ids_and_depth_are_those_of_mujocos_renderer(buffers: Buffers) -> None:
    model, data, ours = matt_scene.open_scene()
    ours.close()
    with mujoco.Renderer(model, matt_scene.SIZE, matt_scene.SIZE) as renderer:
        renderer.enable_segmentation_rendering()
        renderer.update_scene(data, "front")
        found = renderer.render()
        geoms = found[..., 1] == int(mujoco.mjtObj.mjOBJ_GEOM)
        np.testing.assert_array_equal(buffers["ids"], np.where(geoms, found[..., 0], NOWHERE))
        renderer.disable_segmentation_rendering()
        renderer.enable_depth_rendering()
        renderer.update_scene(data, "front")
        near = buffers["ids"] != NOWHERE
        np.testing.assert_allclose(buffers["depth"][near], renderer.render()[near], rtol=2e-3)


def test_points_lie_on_their_geoms(
    buffers: Buffers, scene: tuple[mujoco.MjModel, mujoco.MjData]
) -> None:
    model, data = scene
    ball = buffers["ids"] == model.geom("ball").id
    distance = np.linalg.norm(points(buffers)[ball] - data.geom("ball").xpos, axis=1)
    np.testing.assert_allclose(distance, 0.07, atol=2e-3)


def test_normals_are_those_of_the_shapes(
    buffers: Buffers, scene: tuple[mujoco.MjModel, mujoco.MjData]
) -> None:
    model, data = scene
    normals = buffers["normals"] / 127.0
    floor = normals[buffers["ids"] == model.geom("floor").id]
    np.testing.assert_allclose(floor, np.tile([0, 0, 1], (len(floor), 1)), atol=0.02)
    ball = buffers["ids"] == model.geom("ball").id
    outward = points(buffers)[ball] - data.geom("ball").xpos
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    assert np.quantile((outward * normals[ball]).sum(1), 0.05) > 0.97


def test_what_a_ray_to_the_light_hits_lies_in_shadow(
    buffers: Buffers, scene: tuple[mujoco.MjModel, mujoco.MjData]
) -> None:
    model, data = scene
    where, hit = points(buffers), np.zeros(1, np.int32)
    top = (buffers["ids"] == model.geom("table").id) & (buffers["normals"][..., 2] > 120)
    for light, towards in enumerate(TOWARDS):
        lit, free = [], []
        for row, column in np.argwhere(top)[::7]:
            start = where[row, column].astype(np.float64)
            start[2] += 4e-3  # above the table itself
            free.append(mujoco.mj_ray(model, data, start, towards, None, 1, -1, hit) < 0)
            lit.append(buffers["lit"][row, column, light] / 255)
        expected = np.array(free) * max(towards[2], 0)
        assert 0.02 < 1 - np.mean(free) < 0.5  # some shadow, not all
        assert np.mean(np.abs(expected - lit) < 0.05) > 0.93  # its blurred edge apart


def test_places_on_a_surface_are_as_far_apart_as_in_the_world(
    buffers: Buffers, scene: tuple[mujoco.MjModel, mujoco.MjData]
) -> None:
    model, _ = scene
    top = (buffers["ids"] == model.geom("table").id) & (buffers["normals"][..., 2] > 120)
    uv, where = buffers["uv"][top].astype(np.float64), points(buffers)[top]
    between = np.linalg.norm(uv[1:] - uv[:-1], axis=1) * 0.8  # m: the table's length
    np.testing.assert_allclose(between, np.linalg.norm(np.diff(where, axis=0), axis=1), atol=2e-3)


def test_colours_are_the_mean_albedo_of_what_is_seen(
    buffers: Buffers, scene: tuple[mujoco.MjModel, mujoco.MjData]
) -> None:
    model, _ = scene
    box = buffers["colours"][model.geom("box").id] / 255
    np.testing.assert_allclose(box, [0.8, 0.1, 0.1], atol=0.01)
    floor = buffers["albedo"][buffers["ids"] == model.geom("floor").id].mean(0)
    np.testing.assert_allclose(buffers["colours"][model.geom("floor").id], floor, atol=1)


def test_the_model_comes_back_bit_for_bit() -> None:
    model, data, renderer = matt_scene.open_scene()
    before = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    after = before.copy()
    mujoco.mj_saveModel(model, None, before)
    lights = data.light_xpos.copy()
    renderer.buffers(data, "front", TOWARDS, shadows=True)
    renderer.close()
    mujoco.mj_saveModel(model, None, after)
    np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(lights, data.light_xpos)
