"""The changes of light that LeRobot trains with, each against its definition there."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage

from stemob_wrappers.augment import (
    gamma,
    light,
    patch_brightness,
    planckian_jitter,
    random_shadow,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def grey(count, height=84, width=84, value=0.3):
    return torch.full((count, 3, height, width), value, dtype=torch.float64)


def test_gamma_is_one_power_an_image_as_often_below_as_above_one():
    images = 0.05 + 0.9 * torch.rand(600, 3, 4, 4, generator=generator(1), dtype=torch.float64)
    exponents = gamma(images, generator()).log() / images.log()
    assert exponents.flatten(1).std(dim=1).max() < 1e-9
    logs = exponents[:, 0, 0, 0].log2()
    assert logs.min() == pytest.approx(-1, abs=0.02)
    assert logs.max() == pytest.approx(1, abs=0.02)
    assert logs.mean() == pytest.approx(0, abs=0.06)
    assert logs.abs().mean() == pytest.approx(0.5, abs=0.03)  # even in the logarithm


def test_a_shadow_is_one_smoothed_band():
    masks = random_shadow(grey(5, 16, 84), generator()) / 0.3
    assert (masks == masks[:, :1, :1]).all()
    bands = [(start, start + band) for band in range(28, 57) for start in range(84 - band + 1)]
    first, end = torch.tensor(bands).T[:, :, None, None, None]
    columns = torch.arange(84).expand(1, 16, 84)
    inside = ((columns >= first) & (columns < end)).double()  # from a third to two thirds
    for mask in masks[:, 0, 0]:
        deep = mask[(mask - 1).abs().argmax()] - 1
        assert 0.3 <= deep.abs() <= 0.6
        # The source averages over squares and interpolates.
        smooth = F.interpolate(F.avg_pool2d(1 + deep * inside, 8), (16, 84), mode="bilinear")
        assert (smooth[:, 0, 7] - mask).abs().amax(dim=1).min() < 1e-6


def test_shadows_fall_everywhere_and_lighten_as_often():
    masks = random_shadow(grey(500, 8, 500), generator())[:, 0, 0] / 0.3 - 1
    deepest = masks.gather(1, masks.abs().argmax(dim=1, keepdim=True))[:, 0]
    assert (deepest > 0).double().mean() == pytest.approx(0.5, abs=0.06)
    assert deepest.abs().min() == pytest.approx(0.3, abs=0.01)
    assert deepest.abs().max() == pytest.approx(0.6, abs=0.01)
    within = masks.abs() > deepest.abs()[:, None] / 2
    shares = within.double().mean(dim=1)
    assert shares.min() == pytest.approx(1 / 3, abs=0.02)
    assert shares.max() == pytest.approx(2 / 3, abs=0.02)
    starts = within.double().argmax(dim=1) / (500 * (1 - shares))
    assert starts.min() < 0.02
    assert starts.mean() == pytest.approx(0.5, abs=0.06)
    assert starts.max() > 0.98


def test_a_patch_is_a_gaussian_about_its_centre(monkeypatch):
    monkeypatch.setattr(light, "PATCHES", 1)
    masks = patch_brightness(grey(40, 30, 50), generator()).numpy() / 0.3
    assert (masks == masks[:, :1]).all()
    y, x = (axis.ravel() for axis in np.mgrid[0 : 1 : 30 * 1j, 0 : 1 : 50 * 1j])
    terms = np.stack([np.ones_like(y), y, x, y**2, x**2], axis=1)
    found = []
    for mask in masks[:, 0]:
        change = mask.ravel() - 1
        sign = np.sign(change[np.abs(change).argmax()])
        near = sign * change > 1e-6
        weights, residual, *_ = np.linalg.lstsq(
            terms[near], np.log(sign * change[near]), rcond=None
        )
        assert residual.sum() < 1e-9, "the logarithm of a Gaussian is a paraboloid"
        assert weights[3] == pytest.approx(weights[4], rel=1e-5)
        sigma = (-1 / (2 * weights[4])) ** 0.5
        cy, cx = weights[1] * sigma**2, weights[2] * sigma**2
        strength = np.exp(weights[0] + (cy**2 + cx**2) / (2 * sigma**2))
        found.append((sigma, cy, cx, 1 + sign * strength))
    sigmas, tops, lefts, factors = np.array(found).T
    for values, low, high in (
        (sigmas, 0.05, 0.25),
        (tops, 0, 1),
        (lefts, 0, 1),
        (factors, 0.4, 1.6),
    ):
        assert low - 1e-6 <= values.min() < low + 0.15 * (high - low)
        assert high - 0.15 * (high - low) < values.max() <= high + 1e-6


def test_one_to_four_patches_multiply():
    narrow = {"sigma": (0.008, 0.008), "factor": (2.0, 2.0)}
    masks = patch_brightness(grey(300, 80, 80, 0.1), generator(), **narrow)[:, 0] / 0.1
    label: Any = ndimage.label
    counts = [label(mask.numpy() > 1.2)[1] for mask in masks]
    shares = np.bincount(counts, minlength=5)[1:] / 300
    assert shares.sum() > 0.98  # some overlap, some lie between the pixels
    np.testing.assert_allclose(shares, 0.25, atol=0.08)
    together = patch_brightness(
        grey(200, 20, 20, 0.01), generator(), sigma=(9.0, 9.0), factor=(2, 2)
    )
    levels = (together[:, 0, 0, 0] / 0.01).log2().round()
    assert set(levels.tolist()) == {1, 2, 3, 4}


@pytest.mark.parametrize(
    ("kelvin", "red", "blue"),
    [
        (3_000, 0.6743 / 0.4029, 0.0013 / 0.4029),
        (3_250, (0.6743 + 0.6281) / (0.4029 + 0.4241), (0.0013 + 0.1665) / (0.4029 + 0.4241)),
        (6_500, 0.4816 / 0.4604, 0.4782 / 0.4604),
        (15_000, 0.3503 / 0.4653, 0.6933 / 0.4653),
    ],
)
def test_temperatures_scale_red_and_blue_as_the_table_says(kelvin, red, blue):
    changed = planckian_jitter(grey(2, 3, 3), generator(), temperature=(kelvin, kelvin)) / 0.3
    expected = torch.tensor([red, 1.0, blue], dtype=torch.float64)
    torch.testing.assert_close(changed, expected[None, :, None, None].expand(2, 3, 3, 3))


def test_temperatures_are_drawn_evenly_from_the_whole_range():
    changed = planckian_jitter(grey(2000, 1, 1), generator())[:, :, 0, 0] / 0.3
    ends = [
        planckian_jitter(grey(1, 1, 1), generator(), temperature=(kelvin, kelvin))[0, :, 0, 0] / 0.3
        for kelvin in (3_000, 9_000, 15_000)
    ]
    assert (changed[:, 1] == 1).all()
    order = changed[:, 2].argsort()  # hotter is bluer, and never redder
    assert (changed[order, 0].diff() <= 1e-9).all()
    assert changed[:, 2].min() == pytest.approx(float(ends[0][2]), abs=0.01)
    assert changed[:, 2].max() == pytest.approx(float(ends[2][2]), abs=0.01)
    assert (changed[:, 2] < ends[1][2]).double().mean() == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("temperature", [(2_000, 6_000), (6_000, 16_000), (9_000, 4_000)])
def test_temperatures_beyond_the_table_are_refused(temperature):
    with pytest.raises(ValueError, match=r"within \(3000, 15000\).*received"):
        planckian_jitter(grey(1), generator(), temperature=temperature)
