"""Diffusion Policy learns a distribution of actions; its sampling is diffusers' DDIM."""

import numpy as np
import pytest
import squares
import torch

from experiments.imitation import diffusion_policy as dp


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diffusion")
    demos = squares.make_demos(folder / "demos.hdf5", demos=13, length=50)
    config = dp.Config(
        demos=str(demos), out=str(folder / "run"), epochs=15, batch_size=32, width=128,
        chunk=2, execute=1,
    )  # fmt: skip
    return dp.train(config)


def test_the_policy_points_at_squares_it_has_not_seen(trained):
    observation, places = squares.observation(seed=99, count=64)
    actions = dp.load(trained)(observation)
    assert actions.shape == (64, 7)
    assert actions.dtype == np.float32
    # Places are uniform in [-1, 1]: without looking the error is 0.5.
    assert np.abs(actions[:, :2] - places).mean() < 0.25
    assert np.abs(actions[:, 2:]).mean() < 0.2


def test_an_episode_goes_the_same_way_beside_any_others(trained):
    (first, _), (second, _) = (squares.observation(seed, 3) for seed in (1, 2))
    together, alone = dp.load(trained), dp.load(trained)
    one = [{key: value[1:2] for key, value in each.items()} for each in (first, second)]
    for observations, single in zip((first, second), one, strict=True):
        assert np.allclose(together(observations)[1:2], alone(single), atol=1e-4)
    # A new episode begins with the noise of the first chunk again.
    alone.reset(np.array([True]))
    assert np.allclose(alone(one[0]), dp.load(trained)(one[0]), atol=1e-4)


def test_chunks_of_one_episode_begin_with_different_noise():
    noises = [dp._noise((2, 3), 0, turn) for turn in (0, 1)] + [dp._noise((2, 3), 1, 0)]
    assert len({noise.numpy().tobytes() for noise in noises}) == 3
    assert torch.equal(dp._noise((2, 3), 0, 1), noises[1])


def test_a_perfect_denoiser_brings_the_action_back():
    """With the true noise at each step, DDIM must end in the action that was noised."""
    action = torch.tensor([[[0.5, -0.8]], [[0.1, 0.9]]])
    alpha_bar = dp.SCHEDULE.alphas_cumprod

    class Perfect(torch.nn.Module):
        def noise(self, noisy, timestep, features):
            kept = alpha_bar[timestep][:, None, None]
            return (noisy - kept.sqrt() * action) / (1 - kept).sqrt()

    noise = torch.randn(action.shape, generator=torch.Generator().manual_seed(0))
    for steps in (1, 4, 10):
        chunk = dp.denoise(Perfect(), torch.zeros(2, 1), noise, steps)  # type: ignore[arg-type]
        assert torch.allclose(chunk, action, atol=1e-3)


def test_two_ways_of_acting_are_both_kept():
    """Half of the demonstrations go left, half right: no chunk goes down the middle."""
    torch.manual_seed(0)
    network = dp.DiffusionNetwork(["camera"], (36, 36), chunk=1, num_actions=1, width=64)
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    sides = torch.tensor([-0.6, 0.6]).repeat(8)[:, None, None]
    batch = dp.Batch({"camera": torch.zeros(16, 3, 36, 36)}, torch.zeros(16, 11), sides)
    generator = torch.Generator().manual_seed(0)
    for _ in range(600):
        optimiser.zero_grad()
        dp.denoising_loss(network, batch, generator).backward()
        optimiser.step()
    with torch.inference_mode():
        features = network.encoder(batch.images, batch.hand).repeat(4, 1)
        noise = torch.randn(64, 1, 1, generator=generator)
        chunks = dp.denoise(network, features, noise, 10)
    assert (chunks.abs() - 0.6).abs().median() < 0.15
    assert 10 < int((chunks > 0).sum()) < 54
