from typing import Any

import numpy as np
import pytest
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from stemob_wrappers.diffusion.schedule import SD_SCHEDULE, NoiseSchedule

SD = NoiseSchedule.from_config(SD_SCHEDULE)


@pytest.mark.parametrize("beta_schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("rescale_betas_zero_snr", [False, True])
def test_alpha_bars_are_those_of_diffusers(beta_schedule, rescale_betas_zero_snr):
    config = {
        **SD_SCHEDULE,
        "beta_schedule": beta_schedule,
        "rescale_betas_zero_snr": rescale_betas_zero_snr,
    }
    theirs = DDIMScheduler(**config).alphas_cumprod.numpy()
    np.testing.assert_allclose(NoiseSchedule.from_config(config).alpha_bars, theirs, atol=2e-6)


def test_given_betas_are_taken_as_they_are():
    betas = [0.1, 0.2, 0.5]
    config = {"trained_betas": betas, "num_train_timesteps": 3}
    theirs = DDIMScheduler(**config).alphas_cumprod.numpy()
    np.testing.assert_allclose(NoiseSchedule.from_config(config).alpha_bars, theirs, rtol=1e-6)


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("num_steps", [1, 4, 10, 50, 75, 999])
def test_timesteps_are_those_of_diffusers_in_rising_order(spacing, num_steps):
    config = {**SD_SCHEDULE, "timestep_spacing": spacing}
    scheduler = DDIMScheduler(**config)
    scheduler.set_timesteps(num_steps)
    ours = NoiseSchedule.from_config(config).timesteps(num_steps)
    assert ours.tolist() == scheduler.timesteps.tolist()[::-1]


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_any_number_of_steps_gives_as_many_timesteps_in_range(spacing):
    schedule = NoiseSchedule.from_config({**SD_SCHEDULE, "timestep_spacing": spacing})
    for num_steps in range(1, 1001):
        timesteps = schedule.timesteps(num_steps)
        assert len(timesteps) == num_steps
        assert timesteps[0] >= 0
        assert timesteps[-1] <= 999
        assert np.all(np.diff(timesteps) >= 0)


def test_step_n_of_50_is_timestep_1_plus_20_times_n_minus_1():
    assert [SD.timestep(50, n) for n in (1, 5, 10, 15, 25, 50)] == [1, 81, 181, 281, 481, 981]


def test_no_step_leaves_all_the_signal():
    assert SD.timestep(50, 0) is None
    assert SD.alpha_bar(None) == 1.0


def test_alpha_bar_falls_with_every_step():
    levels = [SD.alpha_bar(SD.timestep(50, n)) for n in range(51)]
    assert np.all(np.diff(levels) < 0)


def test_missing_fields_are_filled_as_diffusers_does():
    theirs: Any = DDIMScheduler()
    theirs.set_timesteps(10)
    ours = NoiseSchedule.from_config({})
    np.testing.assert_allclose(ours.alpha_bars, theirs.alphas_cumprod.numpy(), atol=2e-6)
    assert ours.timesteps(10).tolist() == theirs.timesteps.tolist()[::-1]
    assert ours.prediction_type == theirs.config.prediction_type


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("timestep_spacing", "karras", "leading, trailing or linspace"),
        ("prediction_type", "flow", "epsilon, v_prediction or sample"),
        ("beta_schedule", "sigmoid", "linear, scaled_linear or squaredcos_cap_v2"),
    ],
)
def test_an_unsupported_field_is_named_with_what_is_supported(field, value, named):
    with pytest.raises(ValueError, match=f"{field} must be {named}, received '{value}'"):
        NoiseSchedule.from_config({**SD_SCHEDULE, field: value})


@pytest.mark.parametrize("num_steps", [0, 1001])
def test_a_number_of_steps_that_cannot_be_laid_out_is_refused(num_steps):
    with pytest.raises(ValueError, match=f"num_steps must lie in 1 to 1000, received {num_steps}"):
        SD.timesteps(num_steps)
