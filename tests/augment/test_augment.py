import colorsys
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from stemob_wrappers.augment import (
    AUGMENTATIONS,
    NAMES,
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    augment,
    colour_jitter,
    gamma,
    mixup,
    patch_brightness,
    random_conv,
    random_overlay,
    random_shadow,
    random_shift,
    srm,
)
from stemob_wrappers.augment import literature as module
from stemob_wrappers.scene.textures import SPLITS, draw_texture

each = pytest.mark.parametrize("name", AUGMENTATIONS)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def some_images(count=6, height=20, width=28, seed=3):
    """Smooth pictures with black, white and grey in them."""
    rough = torch.rand(count, 3, 5, 7, generator=generator(seed))
    smooth = F.interpolate(rough, (height, width), mode="bilinear").contiguous()
    smooth[0, :, :4], smooth[0, :, 4:8], smooth[0, :, 8:12] = 0, 1, 0.5
    return smooth


# --- what holds for all --------------------------------------------------------------------------


@each
@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 99),
    count=st.integers(1, 5),
    height=st.integers(8, 21),
    width=st.integers(8, 21),
)
def test_shape_type_and_range_are_kept(name, seed, count, height, width):
    images = some_images(count, max(height, 12), max(width, 12), seed)
    before = images.clone()
    changed = AUGMENTATIONS[name](images, generator(seed))
    assert changed.shape == images.shape
    assert changed.dtype == images.dtype
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert torch.equal(images, before)


@each
def test_the_generator_alone_decides(name):
    images = some_images(16)
    first, again, other = (AUGMENTATIONS[name](images, generator(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    AUGMENTATIONS[name](images, generator(1))
    assert torch.equal(torch.get_rng_state(), state)


@each
@pytest.mark.parametrize("kept", [0, 3])
def test_an_image_is_changed_whatever_its_neighbours_are(name, kept):
    images = some_images(6)
    others = some_images(6, seed=8)
    others[kept] = images[kept]
    alone, among = (AUGMENTATIONS[name](batch, generator(5))[kept] for batch in (images, others))
    torch.testing.assert_close(alone, among)


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS if name != "random_conv"])
def test_equal_images_get_draws_of_their_own(name):
    images = some_images(1, seed=4).expand(32, -1, -1, -1)
    changed = AUGMENTATIONS[name](images, generator())
    assert len({image.numpy().tobytes() for image in changed}) > 8


@pytest.mark.parametrize(
    ("function", "strength"),
    [
        (random_overlay, {"alpha": 0.0}),
        (random_overlay, {"probability": 0.0}),
        (srm, {"probability": 0.0}),
        (random_conv, {"probability": 0.0}),
        (random_shift, {"pad": 0}),
        (colour_jitter, {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0}),
        (gamma, {"strength": 1.0}),
        (random_shadow, {"opacity": (0.0, 0.0)}),
        (patch_brightness, {"factor": (1.0, 1.0)}),
    ],
)
def test_no_strength_changes_nothing(function, strength):
    images = some_images()
    torch.testing.assert_close(function(images, generator(), **strength), images)


@pytest.mark.parametrize(
    ("function", "share"), [(random_overlay, 0.5), (srm, 0.5), (random_conv, 0.5)]
)
def test_the_papers_share_of_images_is_changed(function, share):
    images = some_images(400)
    changed = (function(images, generator()) != images).flatten(1).any(1)
    assert changed.float().mean() == pytest.approx(share, abs=0.08)


@each
@pytest.mark.parametrize(
    ("images", "error", "said"),
    [
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), TypeError, "received torch.uint8; divide"),
        (torch.zeros(3, 8, 8), ValueError, r"\[N, 3, H, W\], received \(3, 8, 8\)"),
        (torch.zeros(2, 8, 8, 3), ValueError, r"received \(2, 8, 8, 3\)"),
        (torch.zeros(0, 3, 8, 8), ValueError, r"received \(0, 3, 8, 8\)"),
        (torch.full((2, 3, 8, 8), -1.0), ValueError, "received values from -1 to -1"),
        (torch.full((2, 3, 8, 8), torch.nan), ValueError, "received values from nan"),
    ],
)
def test_images_of_another_kind_are_refused(name, images, error, said):
    with pytest.raises(error, match=said):
        AUGMENTATIONS[name](images, generator())


# --- each against its formula --------------------------------------------------------------------


def test_overlays_are_half_image_and_half_texture_of_the_train_split(monkeypatch):
    drawn = []

    def draw(split, rng, size):
        family, seed, pixels = draw_texture(split, rng, size)
        drawn.append(family)
        return family, seed, pixels

    monkeypatch.setattr(module, "draw_texture", draw)
    monkeypatch.setattr(module, "OVERLAYS", 40)
    module._overlays.cache_clear()
    images = some_images(30, 16, 16)
    changed = random_overlay(images, generator(), probability=1.0)
    module._overlays.cache_clear()
    assert len(drawn) == 40
    assert set(drawn) <= set(SPLITS["train"])
    rng = np.random.default_rng(0)
    bank = np.stack([draw_texture("train", rng, 16)[2] for _ in range(40)]).transpose(0, 3, 1, 2)
    both = torch.from_numpy(np.concatenate([bank, bank[..., ::-1]])) / 255
    pictures = 2 * changed - images
    distances = (pictures[:, None] - both[None]).abs().amax(dim=(2, 3, 4))
    nearest, which = distances.min(dim=1)
    assert nearest.max() < 1e-5
    assert len(set(which.tolist())) > 15
    assert (which >= 40).any()
    assert (which < 40).any()


def test_srm_takes_out_one_ring_and_nothing_else():
    # Faint noise about grey: nothing is clipped, and no frequency is empty to begin with.
    images = 0.5 + 0.02 * torch.randn(40, 3, 24, 24, generator=generator(1), dtype=torch.float64)
    changed = srm(images, generator(2), probability=1.0)
    before, after = np.fft.fft2(images.numpy()), np.fft.fft2(changed.numpy())
    frequency = np.fft.fftfreq(24)
    radius = np.hypot(frequency[:, None], frequency[None, :])
    widths = []
    for spectrum, masked in zip(before, after, strict=True):
        gone = np.abs(masked) < 1e-9
        np.testing.assert_allclose(masked[~gone], spectrum[~gone], atol=1e-9)
        assert (gone == gone[0]).all(), "all colours lose the same ring"
        if gone.any():
            inner, outer = radius[gone[0]].min(), radius[gone[0]].max()
            np.testing.assert_array_equal(gone[0], (radius >= inner) & (radius <= outer))
            widths.append(outer - inner)
            assert 0 < inner <= outer <= 0.5
    assert len(widths) > 20
    assert max(widths) <= 0.035


def test_random_conv_is_a_glorot_normal_filter_of_the_batch():
    images = some_images(40)
    changed = random_conv(images, generator(7), probability=1.0)
    weight = torch.randn(3, 3, 3, 3, generator=generator(7)) / 27**0.5
    centred = F.pad(2 * images - 1, (1, 1, 1, 1), mode="replicate")
    for channel, (row, column) in itertools.product(range(3), [(5, 9), (0, 0), (19, 27)]):
        patch = centred[11, :, row : row + 3, column : column + 3]
        expected = (np.tanh(float((weight[channel] * patch).sum())) + 1) / 2
        assert float(changed[11, channel, row, column]) == pytest.approx(expected, abs=1e-6)
    gain = torch.nn.init.xavier_normal_(torch.empty(900, 900, 3, 3)).std() * (9 * 1800 / 2) ** 0.5
    assert float(gain) * (2 / (27 + 27)) ** 0.5 == pytest.approx(27**-0.5, rel=1e-2)


def test_shifts_are_crops_of_the_padded_image():
    images = some_images(60)
    changed = random_shift(images, generator())
    padded = F.pad(images, (4, 4, 4, 4), mode="replicate")
    found = set()
    for image, result in zip(padded, changed, strict=True):
        matches = [
            (top, left)
            for top, left in itertools.product(range(9), repeat=2)
            if torch.equal(image[:, top : top + 20, left : left + 28], result)
        ]
        assert matches
        found.update(matches)
    assert {top for top, _ in found} == {left for _, left in found} == set(range(9))


def to_pil(image):
    return Image.fromarray((image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))


def from_pil(picture):
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1) / 255


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.7])
@pytest.mark.parametrize(
    ("adjust", "enhancer"),
    [
        (adjust_brightness, ImageEnhance.Brightness),
        (adjust_contrast, ImageEnhance.Contrast),
        (adjust_saturation, ImageEnhance.Color),
    ],
)
def test_factors_mean_what_they_mean_in_pillow(adjust, enhancer, factor):
    images = (some_images() * 255).round() / 255
    changed = adjust(images, torch.full((len(images), 1, 1, 1), factor))
    for image, result in zip(images, changed, strict=True):
        expected = from_pil(enhancer(to_pil(image)).enhance(factor))
        torch.testing.assert_close(result, expected, atol=2.5 / 255, rtol=0)


@settings(max_examples=60, deadline=None)
@given(
    colour=st.tuples(*[st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0]) | st.floats(0, 1)] * 3),
    turns=st.floats(-0.5, 0.5),
)
def test_hues_turn_as_in_colorsys(colour, turns):
    image = torch.tensor(colour, dtype=torch.float64)[None, :, None, None]
    changed = adjust_hue(image, torch.tensor(turns, dtype=torch.float64).reshape(1, 1, 1, 1))
    hue, saturation, value = colorsys.rgb_to_hsv(*colour)
    expected = colorsys.hsv_to_rgb((hue + turns) % 1.0, saturation, value)
    np.testing.assert_allclose(changed.flatten().numpy(), expected, atol=1e-6)


def test_jitter_draws_each_factor_from_its_range():
    images = torch.full((2000, 3, 2, 2), 0.4)
    off = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0}
    factors = colour_jitter(images, generator(), **{**off, "brightness": 0.5})[:, 0, 0, 0] / 0.4
    assert factors.min() == pytest.approx(0.5, abs=0.01)
    assert factors.max() == pytest.approx(1.5, abs=0.01)
    assert factors.mean() == pytest.approx(1.0, abs=0.03)
    dark = colour_jitter(images, generator(), **{**off, "brightness": 1.4})
    assert (dark == 0).flatten(1).all(1).float().mean() == pytest.approx(0.4 / 2.8, abs=0.03)
    red = torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1).expand(2000, -1, -1, -1)
    turned = colour_jitter(red, generator(), **{**off, "hue": 0.1})[:, :, 0, 0]
    hues = np.array([colorsys.rgb_to_hsv(*colour)[0] for colour in turned.tolist()])
    hues = (hues + 0.5) % 1 - 0.5
    assert hues.min() == pytest.approx(-0.1, abs=0.005)
    assert hues.max() == pytest.approx(0.1, abs=0.005)


def test_jitter_changes_in_every_order():
    """Contrast after brightness and before it differ by where the clipping falls."""
    image = some_images(1, seed=6)
    strengths = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.9, "hue": 0.0}
    alone = colour_jitter(image, generator(), **strengths)
    seen = set()
    for seed in range(40):
        order = torch.randperm(4, generator=generator(seed)).tolist()
        changed = colour_jitter(image, generator(seed))
        seen.add(tuple(order))
        sides = torch.rand(4, 1, generator=_after_randperm(seed)) * 2 - 1
        expected = image
        for index in order:
            side = sides[index].reshape(1, 1, 1, 1)
            adjust = (adjust_brightness, adjust_contrast, adjust_saturation)[index % 3]
            expected = (
                adjust_hue(expected, 0.2 * side) if index == 3 else adjust(expected, 1 + 0.8 * side)
            )
        torch.testing.assert_close(changed, expected)
    assert len(seen) > 12
    assert not torch.equal(alone, image)


def _after_randperm(seed):
    drawn = generator(seed)
    torch.randperm(4, generator=drawn)
    return drawn


# --- mixup and training batches ------------------------------------------------------------------


def test_mixup_mixes_all_of_a_sample_alike():
    count = 50
    names = torch.eye(count, dtype=torch.float64)
    images = torch.rand(count, 3, 4, 4, generator=generator(1), dtype=torch.float64)
    actions = torch.rand(count, 7, generator=generator(2), dtype=torch.float64)
    mixed, mixed_images, mixed_actions = mixup(generator(), names, images, actions, alpha=1.0)
    # A row of `mixed` names who took part, by what weight.
    torch.testing.assert_close(mixed.sum(1), torch.ones(count, dtype=torch.float64))
    assert mixed.count_nonzero(1).max() <= 2
    assert mixed.count_nonzero() > 1.8 * count
    torch.testing.assert_close(mixed_images, torch.einsum("ij,jchw->ichw", mixed, images))
    torch.testing.assert_close(mixed_actions, mixed @ actions)
    assert (mixed.sum(0) > 0).all()


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixup_draws_its_weights_from_a_beta_distribution(alpha):
    count = 4000
    (mixed,) = mixup(generator(), torch.eye(count), alpha=alpha)
    weights = mixed.diagonal()
    assert weights.mean() == pytest.approx(0.5, abs=0.03)
    assert weights.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.08)
    near_nothing = mixup(generator(), torch.eye(50), alpha=1e-4)[0]
    assert ((near_nothing < 1e-6) | (near_nothing > 1 - 1e-6)).all()


@pytest.mark.parametrize("tensors", [[], [torch.zeros(2, 3), torch.zeros(3, 3)]])
def test_mixup_needs_tensors_of_as_many_samples(tensors):
    with pytest.raises(ValueError, match="all of as many samples; received shapes"):
        mixup(generator(), *tensors)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_two_cameras_is_augmented_by_name(name):
    images = {"agentview": some_images(16), "hand": some_images(16, 24, 24, seed=5)}
    others = {"proprio": torch.rand(16, 9), "actions": torch.rand(16, 7)}
    changed, rest = augment(name, images, others, generator(4))
    assert list(changed) == list(images)
    assert list(rest) == list(others)
    for key, image in images.items():
        assert changed[key].shape == image.shape
        assert not torch.equal(changed[key], image)
    for key, other in others.items():
        assert torch.equal(rest[key], other) == (name != "mixup")
    if name == "mixup":
        expected = mixup(generator(4), *images.values(), *others.values())
        for tensor, mixed in zip(expected, [*changed.values(), *rest.values()], strict=True):
            assert torch.equal(tensor, mixed)


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="unknown augmentation 'cutout'; choose from random_ov"):
        augment("cutout", {}, {}, generator())
