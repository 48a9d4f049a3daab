"""Each family does what diffusers' own scheduler, autoencoder and pipeline do on its latents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_families
import torch
from tiny_families import diffusers

from stemob_wrappers import StemConfig, StemPipeline
from stemob_wrappers.backbones.families import flux
from stemob_wrappers.backbones.load import load_backbone
from stemob_wrappers.diffusion.inversion import ddim, ddim_sample
from stemob_wrappers.diffusion.schedule import Level, level_table
from stemob_wrappers.levels import at_level, read_schedule

Saved = Callable[[str], tuple[str, Any]]
FRAMES = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
SIDE = 32


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Folder and pipeline of a family, saved at first use."""
    root, made = tmp_path_factory.mktemp("families"), {}

    def get(name: str) -> tuple[str, Any]:
        if name not in made:
            made[name] = tiny_families.save(root, name)
        return made[name]

    return get


def their_latents(vae: Any, images: torch.Tensor) -> torch.Tensor:
    """Latents as diffusers' image-to-image pipelines make them."""
    config = vae.config
    if "latents_mean" in config and config.latents_mean is not None:
        mean, std = (torch.tensor(config[f"latents_{k}"]) for k in ("mean", "std"))
        if isinstance(vae, diffusers.AutoencoderKLQwenImage):
            found = vae.encode(images[:, :, None]).latent_dist.mode()[:, :, 0]
            return (found - mean.view(1, -1, 1, 1)) * (1.0 / std).view(1, -1, 1, 1)
        found = vae.encode(images).latent_dist.mode() - mean.view(1, -1, 1, 1)
        return found * config.scaling_factor / std.view(1, -1, 1, 1)
    found = vae.encode(images)
    if isinstance(vae, diffusers.AutoencoderKL):
        found = found.latent_dist.mode() - (config.shift_factor or 0.0)
    else:
        found = found.latent if isinstance(vae, diffusers.AutoencoderDC) else found.latents
    return found * config.scaling_factor


def their_level(pipe: Any, name: str, steps: int) -> torch.Tensor:
    """Lay 50 steps as the pipeline does, and return the timestep of one of them."""
    options: dict[str, Any] = {}
    if name.startswith("flux"):
        options["sigmas"] = np.linspace(1.0, 1 / 50, 50)
        options["mu"] = pipe.scheduler.config.max_shift  # of 1024 pixels
    pipe.scheduler.set_timesteps(50, **options)
    return pipe.scheduler.timesteps[-steps]


@pytest.mark.parametrize("steps", [5, 15])
@pytest.mark.parametrize("name", tiny_families.PIPELINES)
@torch.inference_mode()
def test_the_forward_path_is_that_of_their_scheduler(saved: Saved, name: str, steps: int) -> None:
    folder, pipe = saved(name)
    inverter: Any = StemPipeline(StemConfig(backbone=folder, inversion_steps=steps)).inverter
    noise = torch.randn(
        2, *inverter.latent_shape(SIDE, SIDE), generator=torch.Generator().manual_seed(0)
    )
    ours = inverter.latents(torch.as_tensor(FRAMES), noise)
    images = torch.as_tensor(FRAMES).permute(0, 3, 1, 2) / 127.5 - 1
    clean = their_latents(pipe.vae, images)
    timestep = their_level(pipe, name, steps)
    if hasattr(pipe.scheduler, "scale_noise"):
        theirs = pipe.scheduler.scale_noise(clean, timestep[None], noise)
    else:
        theirs = pipe.scheduler.add_noise(clean, noise, timestep.repeat(2))
        if isinstance(pipe.scheduler, diffusers.EulerDiscreteScheduler):
            theirs = pipe.scheduler.scale_model_input(theirs, timestep)
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", tiny_families.CODECS)
@torch.inference_mode()
def test_a_codec_alone_has_stable_diffusions_schedule(saved: Saved, name: str) -> None:
    folder, module = saved(name)
    config = StemConfig(backbone=folder, inversion_steps=15)
    inverter: Any = StemPipeline(config).inverter
    noise = torch.randn(
        2, *inverter.latent_shape(SIDE, SIDE), generator=torch.Generator().manual_seed(0)
    )
    images = torch.as_tensor(FRAMES).permute(0, 3, 1, 2) / 127.5 - 1
    scheduler = diffusers.DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
    )
    theirs = scheduler.add_noise(
        their_latents(module, images),
        noise,
        torch.tensor([281, 281]),  # pyright: ignore[reportArgumentType]
    )
    ours = inverter.latents(torch.as_tensor(FRAMES), noise)
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)
    clean = StemPipeline(config.replace(inversion_steps=0))(FRAMES)
    decoded = inverter.backbone.codec.decode(their_latents(module, images))
    expected = (decoded * 127.5 + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    assert np.abs(clean.astype(int) - expected.numpy().astype(int)).max() <= 1


@torch.inference_mode()
def test_kl_latents_have_the_mean_and_deviation_of_each_channel(tmp_path: Path) -> None:
    statistics = {"latents_mean": [0.1, -0.2, 0.3, 0.0], "latents_std": [1.0, 2.0, 0.5, 3.0]}
    pipe = tiny_families.sdxl(**statistics)
    pipe.save_pretrained(tmp_path)
    codec = load_backbone(str(tmp_path)).codec
    images = torch.as_tensor(FRAMES).permute(0, 3, 1, 2) / 127.5 - 1
    theirs = their_latents(pipe.vae, images)
    torch.testing.assert_close(codec.encode(images), theirs)
    stored = pipe.vae.encode(images).latent_dist.mode()
    torch.testing.assert_close(codec.decode(theirs), pipe.vae.decode(stored).sample)


def euler(name: str, folder: str, pipe: Any) -> str:
    """Give a pipeline a sampler of first order that draws nothing, as ``ddim_sample`` is."""
    schedulers = {
        "sana": lambda: diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        "flux-dev": lambda: diffusers.FlowMatchEulerDiscreteScheduler(
            use_dynamic_shifting=True, base_shift=1.15, max_shift=1.15
        ),
        "pixart-alpha": lambda: diffusers.DDIMScheduler(clip_sample=False),
        "pixart-sigma": lambda: diffusers.DDIMScheduler(clip_sample=False),
    }
    if name in schedulers:
        pipe.scheduler = schedulers[name]()
        pipe.scheduler.save_pretrained(Path(folder, "scheduler"))
    return folder


SAMPLED = [name for name in tiny_families.PIPELINES if name != "lcm"]


@pytest.mark.parametrize("name", SAMPLED)
@torch.inference_mode()
def test_sampling_down_is_what_their_pipeline_does(tmp_path: Path, name: str) -> None:
    """The whole pipeline's calls: prompts, sizes, timesteps, packing, learned variances."""
    folder, pipe = tiny_families.save(tmp_path, name)
    backbone = load_backbone(euler(name, folder, pipe), denoiser=True)
    codec, generator = backbone.codec, torch.Generator().manual_seed(0)
    side = SIDE // codec.latent_stride
    latents = torch.randn(1, codec.channels, side, side, generator=generator)
    ours = ddim_sample(latents, backbone.denoiser, backbone.schedule.climb(4, 4))
    pipe.set_progress_bar_config(disable=True)
    options: dict[str, Any] = {}
    if name.startswith(("sana", "pixart")):
        options["use_resolution_binning"] = False
    if name == "sana":
        options["complex_human_instruction"] = None
    packed = flux._pack(latents) if name.startswith("flux") else latents
    theirs = pipe(
        prompt="", latents=packed, height=SIDE, width=SIDE, num_inference_steps=4,
        guidance_scale=1.0, output_type="latent", **options,
    ).images  # fmt: skip
    if name.startswith("flux"):
        theirs = pipe._unpack_latents(theirs, SIDE, SIDE, pipe.vae_scale_factor)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", ["sd3", "flux-schnell", "sana"])
@torch.inference_mode()
def test_flow_inversion_is_eulers_method_by_their_scheduler(tmp_path: Path, name: str) -> None:
    """Diffusers' own steps, with the sigmas turned round."""
    folder, pipe = tiny_families.save(tmp_path, name)
    backbone = load_backbone(euler(name, folder, pipe), denoiser=True)
    codec, generator = backbone.codec, torch.Generator().manual_seed(0)
    latents = torch.randn(2, codec.channels, 8, 8, generator=generator)
    ours = ddim(latents, backbone.denoiser, backbone.schedule.climb(10, 4))
    scheduler = pipe.scheduler
    sigmas = np.linspace(1.0, 0.1, 10) if name.startswith("flux") else None
    scheduler.set_timesteps(10, sigmas=sigmas)
    scheduler.sigmas = scheduler.sigmas.flip(0)
    scheduler.timesteps = scheduler.sigmas[:-1] * 1000
    theirs = latents
    for timestep in scheduler.timesteps[:4]:
        velocity = backbone.denoiser(theirs, float(timestep))
        theirs = scheduler.step(velocity, timestep, theirs).prev_sample
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert (ours - latents).abs().max() > 1e-3


@torch.inference_mode()
def test_a_consistency_model_is_asked_without_guidance(saved: Saved) -> None:
    folder, pipe = saved("lcm")
    denoiser = load_backbone(folder, denoiser=True).denoiser
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    guidance = pipe.get_guidance_scale_embedding(torch.zeros(2), embedding_dim=8)
    prompt = pipe.encode_prompt("", "cpu", 1, False)[0].expand(2, -1, -1)
    theirs = pipe.unet(latents, 259, timestep_cond=guidance, encoder_hidden_states=prompt).sample
    torch.testing.assert_close(denoiser(latents, 259), theirs)


def level(folder: str, steps: int) -> Level:
    return level_table(read_schedule(folder), 50)[steps]


def test_levels_have_the_published_signal_to_noise_ratios(saved: Saved) -> None:
    sd3, sd = saved("sd3")[0], saved("kl")[0]
    assert [level(sd3, n).snr for n in (5, 15)] == pytest.approx([13.1, 0.68], rel=5e-3)
    assert [level(sd, n).snr for n in (5, 15)] == pytest.approx([11.1, 1.65], rel=5e-3)


@pytest.mark.parametrize("name", [*tiny_families.PIPELINES, *tiny_families.CODECS])
def test_a_level_is_the_same_noise_on_every_backbone(saved: Saved, name: str) -> None:
    config = StemConfig(backbone=saved(name)[0], num_steps=200)
    named: list[dict[str, float]] = [{"snr": 4.0}, {"alpha_bar": 0.8}, {"sigma": 1 / 3}]
    found = {at_level(config, **one).inversion_steps for one in named}
    assert len(found) == 1
    pipeline = StemPipeline(config.replace(inversion_steps=found.pop()))
    assert pipeline.inverter.alpha_bar == pytest.approx(0.8, abs=0.02)
    described = pipeline.inverter.backbone.schedule.describe()
    assert read_schedule(config.backbone).describe() == described
