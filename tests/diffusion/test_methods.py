"""The inversion methods against closed forms, loops written out and diffusers."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import pytest
import tiny_pipelines
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddim_inverse import DDIMInverseScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from stemob_wrappers.backbones.families.pixel_ddpm import PixelDenoiser
from stemob_wrappers.backbones.load import load_backbone
from stemob_wrappers.config import METHODS, StemConfig
from stemob_wrappers.diffusion import inversion
from stemob_wrappers.diffusion.schedule import SD_SCHEDULE, NoiseSchedule
from stemob_wrappers.stem.inverter import FrameInverter

LEVELS: dict[str, Any] = {"num_steps": 50, "inversion_steps": 6}


def scheduler_file(prediction_type="epsilon", **changes):
    return {**tiny_pipelines.SD_FILE, "prediction_type": prediction_type, **changes}


def schedule_of(prediction_type="epsilon", **changes):
    return NoiseSchedule.from_config(scheduler_file(prediction_type, **changes))


@pytest.fixture(scope="module", params=["epsilon", "v_prediction"])
def denoiser(request):
    """A random UNet on 3 channels, in float64 so that only real differences are seen."""
    unet = tiny_pipelines.moved(tiny_pipelines.pixel_unet()).double()
    return PixelDenoiser(unet, request.param)


def latent_and_noise(count=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, count, 3, 8, 8, generator=generator, dtype=torch.float64).unbind()


def written_out(latent, denoiser, num_steps, inversion_steps, renoise_calls=1):
    """DDIM inversion as a loop over timesteps, from the betas on; float64."""
    roots = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64)
    alpha_bars = torch.cumprod(1 - roots**2, 0)
    current = alpha_bars[0]  # set_alpha_to_one is false
    for n in range(inversion_steps):
        timestep = 1 + n * (1000 // num_steps)
        target = alpha_bars[timestep]
        estimate, total = latent, 0
        for _ in range(renoise_calls):
            output = denoiser(estimate, timestep)
            if denoiser.prediction_type == "epsilon":
                noise = output
                clean = (latent - torch.sqrt(1 - current) * noise) / torch.sqrt(current)
            else:
                clean = torch.sqrt(current) * latent - torch.sqrt(1 - current) * output
                noise = torch.sqrt(current) * output + torch.sqrt(1 - current) * latent
            estimate = torch.sqrt(target) * clean + torch.sqrt(1 - target) * noise
            total = total + estimate
        latent, current = total / renoise_calls, target
    return latent


@torch.no_grad()
def test_ddim_is_the_loop_written_out(denoiser):
    latent, _ = latent_and_noise()
    ours = inversion.ddim(latent, denoiser, schedule_of().climb(50, 6))
    torch.testing.assert_close(ours, written_out(latent, denoiser, 50, 6))


@torch.no_grad()
def test_renoise_is_two_calls_averaged_half_and_half(denoiser):
    latent, _ = latent_and_noise()
    ours = inversion.ddim_renoise(latent, denoiser, schedule_of().climb(50, 6))
    theirs = written_out(latent, denoiser, 50, 6, renoise_calls=2)
    torch.testing.assert_close(ours, theirs)
    once: Any = written_out(latent, denoiser, 50, 6)
    assert not torch.allclose(ours, once, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("set_alpha_to_one", [False, True])
@pytest.mark.parametrize(
    ("spacing", "num_steps"), [("leading", 50), ("leading", 7), ("trailing", 50)]
)
def test_ddim_is_diffusers_inverse_scheduler(denoiser, spacing, num_steps, set_alpha_to_one):
    # Not compared: "trailing" with steps that do not divide 1000 (it goes back by 1000 // steps,
    # and so to a level that its last step did not reach) and "linspace", which it does not have.
    config = scheduler_file(
        denoiser.prediction_type, timestep_spacing=spacing, set_alpha_to_one=set_alpha_to_one
    )
    theirs = DDIMInverseScheduler(**config)
    theirs.set_timesteps(num_steps)
    latent, _ = latent_and_noise()
    expected = latent
    for timestep in theirs.timesteps[:4].tolist():
        expected = theirs.step(denoiser(expected, timestep), timestep, expected, return_dict=False)[
            0
        ]
    ours = inversion.ddim(latent, denoiser, NoiseSchedule.from_config(config).climb(num_steps, 4))
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)  # their tables are float32


@torch.no_grad()
def test_sampling_is_diffusers_ddim_scheduler(denoiser):
    theirs = DDIMScheduler(**scheduler_file(denoiser.prediction_type))
    theirs.set_timesteps(50)
    latent, _ = latent_and_noise()
    expected = latent
    for timestep in theirs.timesteps[-6:].tolist():
        expected = theirs.step(denoiser(expected, timestep), timestep, expected, return_dict=False)[
            0
        ]
    ours = inversion.ddim_sample(latent, denoiser, schedule_of().climb(50, 6))
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


# --- ddpm, in closed form ------------------------------------------------------------------------


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("scheduler", [DDPMScheduler, DDIMScheduler])
@pytest.mark.parametrize("timestep", [0, 1, 81, 281, 999])
def test_ddpm_is_the_add_noise_of_diffusers(scheduler, timestep):
    config = {key: SD_SCHEDULE[key] for key in ("beta_start", "beta_end", "beta_schedule")}
    latent, noise = normal(3, 4, 5, 6), normal(3, 4, 5, 6, seed=1)
    theirs = scheduler(**config).add_noise(latent, noise, torch.full((3,), timestep))
    ours = inversion.ddpm(latent, noise, schedule_of().alpha_bar(timestep))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("alpha_bar", [1.0, 0.9, 0.3, 0.0])
def test_mean_and_variance_over_many_draws_are_the_closed_form(alpha_bar):
    draws = 20_000
    latent = normal(1, 2, 3, 3)
    samples = inversion.ddpm(
        latent.expand(draws, -1, -1, -1), normal(draws, 2, 3, 3, seed=1), alpha_bar
    )
    spread = (1 - alpha_bar) ** 0.5
    mean_error = (samples.mean(0) - alpha_bar**0.5 * latent[0]).abs().max().item()
    variance_error = (samples.var(0) - (1 - alpha_bar)).abs().max().item()
    assert mean_error <= 5 * spread / draws**0.5 + 1e-5
    assert variance_error <= 5 * (1 - alpha_bar) * (2 / draws) ** 0.5 + 1e-5


def test_with_all_the_signal_left_the_latent_comes_back_bit_for_bit():
    latent = normal(2, 4, 3, 3)
    assert torch.equal(inversion.ddpm(latent, normal(2, 4, 3, 3, seed=1), 1.0), latent)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(5)), st.floats(0, 1))
def test_permuting_the_batch_permutes_the_result(order, alpha_bar):
    latent, noise = normal(5, 2, 3, 3), normal(5, 2, 3, 3, seed=1)
    straight = inversion.ddpm(latent, noise, alpha_bar)
    assert torch.equal(inversion.ddpm(latent[order], noise[order], alpha_bar), straight[order])


def test_neither_latent_nor_noise_is_changed():
    latent, noise = normal(2, 4, 3, 3), normal(2, 4, 3, 3, seed=1)
    before = latent.clone(), noise.clone()
    inversion.ddpm(latent, noise, 0.5)
    assert torch.equal(latent, before[0])
    assert torch.equal(noise, before[1])


def test_noise_of_another_shape_is_refused_even_where_it_would_broadcast():
    with pytest.raises(ValueError, match=r"shape \(2, 4, 3, 3\), received \(1, 4, 3, 3\)"):
        inversion.ddpm(normal(2, 4, 3, 3), normal(1, 4, 3, 3), 0.5)


@pytest.mark.parametrize("alpha_bar", [-0.1, 1.1, float("nan")])
def test_a_noise_level_out_of_range_is_refused(alpha_bar):
    with pytest.raises(ValueError, match=r"alpha_bar must lie in \[0, 1\]"):
        inversion.ddpm(normal(1, 4, 2, 2), normal(1, 4, 2, 2), alpha_bar)


# --- through denoisers ---------------------------------------------------------------------------


@torch.no_grad()
def test_fixed_point_comes_back_exactly_and_plain_ddim_does_not(denoiser):
    latent, _ = latent_and_noise()
    steps = schedule_of().climb(50, 6)
    exact = inversion.ddim_fixed_point(latent, denoiser, steps, tolerance=1e-9, max_calls=200)
    back = inversion.ddim_sample(exact, denoiser, steps)
    plain = inversion.ddim_sample(inversion.ddim(latent, denoiser, steps), denoiser, steps)
    assert (back - latent).abs().max() < 1e-6
    assert (plain - latent).abs().max() > 1e-4


class Uneven:
    """Settles fast for small latents and slowly for large ones."""

    prediction_type = "epsilon"

    def __call__(self, latent, timestep):
        large = latent.abs().amax((1, 2, 3), keepdim=True) > 50
        return torch.where(large, 3.0, 1.0) * latent.sin()


def test_fixed_point_does_not_depend_on_the_rest_of_the_batch():
    latent, _ = latent_and_noise(3)
    latent[0] = 100
    steps = schedule_of().climb(50, 8)
    together = inversion.ddim_fixed_point(latent, Uneven(), steps, max_calls=300)
    apart = inversion.ddim_fixed_point(latent[1:], Uneven(), steps, max_calls=300)
    torch.testing.assert_close(together[1:], apart, atol=1e-12, rtol=0)


@torch.no_grad()
def test_fixed_point_that_does_not_settle_says_so(denoiser):
    latent, _ = latent_and_noise()
    with pytest.warns(RuntimeWarning, match=r"did not settle .* in 1 model calls at timestep 1;"):
        inversion.ddim_fixed_point(latent, denoiser, schedule_of().climb(50, 1), max_calls=1)


@torch.no_grad()
def test_warm_start_is_forward_noise_and_then_ddim(denoiser):
    latent, noise = latent_and_noise()
    schedule = schedule_of()
    steps = schedule.climb(50, 6)
    middle = inversion.ddpm(latent, noise, schedule.alpha_bar(21))
    expected = inversion.ddim(middle, denoiser, steps[2:])
    torch.testing.assert_close(inversion.ddim_warm(latent, noise, denoiser, steps, 2), expected)
    all_warm = inversion.ddim_warm(latent, noise, denoiser, steps, 99)
    torch.testing.assert_close(all_warm, inversion.ddpm(latent, noise, schedule.alpha_bar(101)))
    assert torch.equal(
        inversion.ddim_warm(latent, noise, denoiser, steps, 0),
        inversion.ddim(latent, denoiser, steps),
    )


class Counting:
    prediction_type = "epsilon"

    def __init__(self):
        self.timesteps = []

    def __call__(self, latent, timestep):
        self.timesteps.append(timestep)
        return 0.1 * latent


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 1000), st.data())
def test_a_climb_joins_its_steps_from_the_frame_to_the_level(num_steps, data):
    inversion_steps = data.draw(st.integers(1, num_steps))
    schedule = schedule_of()
    steps = schedule.climb(num_steps, inversion_steps)
    assert len(steps) == inversion_steps
    assert steps[-1].timestep == schedule.timestep(num_steps, inversion_steps)
    assert steps[0].alpha_bar == schedule.first_alpha_bar
    assert all(a.next_alpha_bar == b.alpha_bar for a, b in itertools.pairwise(steps))


def test_cost_in_model_calls_is_as_documented():
    latent, noise = latent_and_noise()
    steps = schedule_of().climb(50, 6)
    counted = {}
    for name, method in {
        "ddim": lambda d: inversion.ddim(latent, d, steps),
        "ddim-renoise": lambda d: inversion.ddim_renoise(latent, d, steps),
        "ddim-warm": lambda d: inversion.ddim_warm(latent, noise, d, steps, 2),
    }.items():
        method(denoiser := Counting())
        counted[name] = len(denoiser.timesteps)
    assert counted == {"ddim": 6, "ddim-renoise": 12, "ddim-warm": 4}


# --- through the inverter ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stem(tmp_path_factory):
    folder = tiny_pipelines.save_stem(tmp_path_factory.mktemp("stem") / "model")
    return load_backbone(folder, denoiser=True)


def frames_and_noise(inverter, count=3, size=(20, 28)):
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (count, *size, 3), generator=generator, dtype=torch.uint8)
    noise = torch.randn(count, *inverter.latent_shape(*size), generator=generator)
    return frames, noise


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_and_no_steps_are_the_codec_alone(stem, method):
    inverter = FrameInverter(stem, StemConfig(method=method, **LEVELS))
    frames, noise = frames_and_noise(inverter)
    stems = inverter(frames, noise)
    assert stems.shape == frames.shape
    still = FrameInverter(stem, StemConfig(method=method, inversion_steps=0))(frames, noise)
    codec_alone = FrameInverter(stem, StemConfig(inversion_steps=0))(frames, noise)
    assert torch.equal(still, codec_alone)
    assert not torch.equal(stems, still)


@pytest.mark.parametrize("method", METHODS)
def test_a_frame_does_not_depend_on_its_batch(stem, method):
    inverter = FrameInverter(stem, StemConfig(method=method, **LEVELS))
    frames, noise = frames_and_noise(inverter, count=7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        together = inverter(frames, noise)
        alone = torch.cat([inverter(frames[i : i + 1], noise[i : i + 1]) for i in range(7)])
    assert (together.int() - alone.int()).abs().max() <= 1


def test_the_methods_differ(stem):
    results = set()
    for method in METHODS:
        inverter = FrameInverter(stem, StemConfig(method=method, inversion_steps=25))
        frames, noise = frames_and_noise(inverter)
        results.add(inverter(frames, noise).numpy().tobytes())
    assert len(results) == len(METHODS)


def test_a_method_without_its_denoiser_is_refused(stem):
    bare = load_backbone(stem.name)
    with pytest.raises(ValueError, match="asks a denoiser"):
        FrameInverter(bare, StemConfig(method="ddim"))


@torch.inference_mode()
def test_embedded_invert_then_sample_gives_the_layout_back():
    try:
        backbone = load_backbone("embedded", denoiser=True)
    except OSError:
        pytest.skip("the package has no denoiser")
    scene = torch.linspace(-1, 1, 3 * 84 * 84).reshape(1, 3, 84, 84).sin()
    latent = backbone.codec.encode(torch.nn.functional.pad(scene, (0, 4, 0, 4), mode="replicate"))
    steps = backbone.schedule.climb(50, 15)
    climbed = inversion.ddim(latent, backbone.denoiser, steps)
    back = inversion.ddim_sample(climbed, backbone.denoiser, steps)
    # What the look latents say is too quiet to come back through the denoiser's own error.
    layout = slice(backbone.codec.module.layout_channels)
    error = (back - latent)[:, layout].square().mean().sqrt()
    assert error < 0.05, "of latents with unit variance"


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", METHODS)
def test_on_cuda_as_on_the_cpu(stem, method, dtype):
    config = StemConfig(method=method, **LEVELS)
    on_cpu = FrameInverter(stem, config)
    frames, noise = frames_and_noise(on_cpu)
    backbone = load_backbone(stem.name, denoiser=True, device="cuda", dtype=dtype)
    stems = FrameInverter(backbone, config)(frames.cuda(), noise.cuda().to(dtype)).cpu()
    difference = (stems.int() - on_cpu(frames, noise).int()).abs()
    assert difference.max() <= (1 if dtype == torch.float32 else 8)
