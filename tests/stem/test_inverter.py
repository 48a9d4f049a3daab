from typing import Any

import numpy as np
import pytest
import tiny_models
import torch

from stemob_wrappers.backbones.load import load_backbone
from stemob_wrappers.config import StemConfig
from stemob_wrappers.stem.inverter import FrameInverter


def random_frames(count, height=20, width=28, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (count, height, width, 3), np.uint8))


def noise_for(inverter, frames, seed=1):
    shape = (len(frames), *inverter.latent_shape(*frames.shape[1:3]))
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def pixel_inverter(inversion_steps=0, stride=1, **config):
    backbone = tiny_models.pixel_backbone(stride)
    return FrameInverter(backbone, StemConfig(inversion_steps=inversion_steps, **config))


@pytest.mark.parametrize("size", [(20, 28), (17, 9), (8, 8)])
@pytest.mark.parametrize("stride", [1, 8])
def test_pixels_without_noise_come_back_as_they_were(size, stride):
    inverter = pixel_inverter(stride=stride)
    frames = random_frames(3, *size)
    frames[0] = (
        torch.arange(256, dtype=torch.uint8).repeat(8)[: frames[0].numel()].reshape(frames[0].shape)
    )
    assert torch.equal(inverter(frames, noise_for(inverter, frames)), frames)


def test_noised_pixels_are_the_closed_form():
    inverter = pixel_inverter(inversion_steps=15)
    frames = random_frames(3)
    noise = noise_for(inverter, frames)
    schedule: Any = tiny_models.pixel_backbone().schedule
    alpha_bar = schedule.alpha_bars[281]
    images = frames.numpy() / 127.5 - 1
    noised = alpha_bar**0.5 * images + (1 - alpha_bar) ** 0.5 * noise.permute(0, 2, 3, 1).numpy()
    expected = np.clip(np.rint((noised + 1) * 127.5), 0, 255)
    stems = inverter(frames, noise).numpy()
    assert np.abs(stems - expected).max() <= 1  # float32 and float64 round apart at a half
    assert (stems == expected).mean() > 0.999


def test_without_noise_the_result_is_the_codec_alone():
    backbone = load_backbone("embedded")
    inverter = FrameInverter(backbone, StemConfig(inversion_steps=0))
    frames = random_frames(4, 32, 40)
    images = frames.permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        decoded = backbone.codec.decode(backbone.codec.encode(images)).permute(0, 2, 3, 1)
    expected = ((decoded + 1) * 127.5).clamp(0, 255).round()
    difference = (inverter(frames, noise_for(inverter, frames)).float() - expected).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() < 0.001


def test_a_frame_does_not_depend_on_its_batch():
    inverter = FrameInverter(load_backbone("embedded"), StemConfig(), max_batch=4)
    frames = random_frames(9)
    noise = noise_for(inverter, frames)
    whole = inverter(frames, noise)
    assert torch.equal(inverter(frames.flip(0), noise.flip(0)).flip(0), whole)
    for count in range(2, 10):
        assert torch.equal(inverter(frames[-count:], noise[-count:]), whole[-count:])
    alone = inverter(frames[:1], noise[:1])
    assert (alone.int() - whole[:1].int()).abs().max() <= 1


@pytest.mark.parametrize(
    ("frames", "max_batch", "expected"),
    [(1, 64, [2]), (2, 64, [2]), (3, 64, [4]), (9, 64, [16]), (9, 4, [4, 4, 2]), (8, 4, [4, 4])],
)
def test_batches_are_cut_and_padded_to_powers_of_two(tmp_path, frames, max_batch, expected):
    backbone = load_backbone(tiny_models.save_stem_backbone(tmp_path / "model"))
    inverter = FrameInverter(backbone, StemConfig(), max_batch=max_batch)
    encoded, decoded = [], []
    backbone.codec.module.encoder.register_forward_hook(
        lambda module, inputs, output: encoded.append(len(output))
    )
    backbone.codec.module.decoder.register_forward_hook(
        lambda module, inputs, output: decoded.append(len(output))
    )
    batch = random_frames(frames)
    assert len(inverter(batch, noise_for(inverter, batch))) == frames
    assert encoded == decoded == expected


def test_the_network_sees_channels_last_images_padded_to_its_stride(tmp_path):
    backbone = load_backbone(tiny_models.save_stem_backbone(tmp_path / "model"))
    inverter = FrameInverter(backbone, StemConfig())
    seen = []
    backbone.codec.module.encoder.register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0])
    )
    frames = random_frames(2, 20, 28)
    inverter(frames, noise_for(inverter, frames))
    (images,) = seen
    assert tuple(images.shape) == (2, 3, 24, 32)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert images.min() >= -1
    assert images.max() <= 1
    assert torch.equal(images[:, :, 20], images[:, :, 19])  # the border is repeated
    assert inverter.latent_shape(20, 28) == (4, 6, 8)


def test_resolution_resizes_by_nearest_neighbour_both_ways_and_truncates():
    frames = random_frames(2, 8, 8)
    for resolution in (8, 16, 32):
        inverter = pixel_inverter(resolution=resolution)
        assert inverter.latent_shape(8, 8) == (3, resolution, resolution)
        lost = frames.int() - inverter(frames, noise_for(inverter, frames)).int()
        assert set(lost.unique().tolist()) <= {0, 1}  # a whole level may lie just below itself
    smaller = pixel_inverter(resolution=8)
    frames = random_frames(1, 24, 24)
    stems = smaller(frames, noise_for(smaller, frames))
    corners = frames[:, ::3, ::3].repeat_interleave(3, 1).repeat_interleave(3, 2)
    assert (corners.int() - stems.int()).abs().max() <= 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_within_a_few_levels(dtype):
    inverter = pixel_inverter(inversion_steps=5)
    frames = random_frames(2)
    noise = noise_for(inverter, frames)
    difference = inverter(frames, noise).int() - inverter(frames, noise.to(dtype)).int()
    assert difference.abs().max() <= 3


def test_the_frames_are_not_written_to():
    inverter = pixel_inverter(inversion_steps=10)
    frames = random_frames(2)
    noise = noise_for(inverter, frames)
    before = frames.clone(), noise.clone()
    with torch.inference_mode():
        inverter(frames, noise).zero_()
    assert torch.equal(frames, before[0])
    assert torch.equal(noise, before[1])


def test_no_gradient_is_recorded():
    inverter = FrameInverter(load_backbone("embedded"), StemConfig())
    frames = random_frames(2)
    assert not inverter(frames, noise_for(inverter, frames)).requires_grad
    assert not any(p.requires_grad for p in inverter.backbone.codec.module.parameters())


@pytest.mark.parametrize("max_batch", [0, 1, 3, 6])
def test_a_batch_that_is_no_power_of_two_is_refused(max_batch):
    with pytest.raises(ValueError, match=f"power of two from 2, received {max_batch}"):
        FrameInverter(tiny_models.pixel_backbone(), StemConfig(), max_batch=max_batch)


def test_a_method_that_needs_a_denoiser_is_refused_without_one():
    with pytest.raises(ValueError, match=r"'ddim'.*denoiser.*'pixels'"):
        FrameInverter(tiny_models.pixel_backbone(), StemConfig(method="ddim"))
