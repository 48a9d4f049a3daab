import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from stemob_wrappers.diffusion import inversion
from stemob_wrappers.diffusion.schedule import SD_SCHEDULE, NoiseSchedule

SCHEDULE = NoiseSchedule.from_config(SD_SCHEDULE)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("scheduler", [DDPMScheduler, DDIMScheduler])
@pytest.mark.parametrize("timestep", [0, 1, 81, 281, 999])
def test_ddpm_is_the_add_noise_of_diffusers(scheduler, timestep):
    config = {key: SD_SCHEDULE[key] for key in ("beta_start", "beta_end", "beta_schedule")}
    latent, noise = normal(3, 4, 5, 6), normal(3, 4, 5, 6, seed=1)
    theirs = scheduler(**config).add_noise(latent, noise, torch.full((3,), timestep))
    ours = inversion.ddpm(latent, noise, SCHEDULE.alpha_bar(timestep))
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
