"""Diffusion Policy: a denoiser learns the demonstrator's next actions as a distribution.

python -m experiments.imitation.diffusion_policy --demos demos.hdf5 --out runs/diffusion
python -m experiments.imitation.diffusion_policy --demos demos.hdf5 --out runs/d1 --augment srm

Chi et al., "Diffusion Policy: Visuomotor Policy Learning via Action Diffusion" (RSS 2023), made
small: the convolutional encoder of bc.py, and residual layers over the flattened chunk in place of
a U-Net. Trained with the DDPM objective, run with a few steps of DDIM.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor, nn

from experiments.imitation.acting import ChunkPolicy, ObservationEncoder, read_policy, save_policy
from experiments.imitation.data import Batch, load_demos
from experiments.imitation.loop import Training, fit, parse, pick_device

KIND = "diffusion"
NOISE_DRAWS = 4  # of each sample in a batch: the encoder, which costs most, runs once for them

# As the paper's: the squared-cosine schedule, predicting the noise, actions clipped to [-1, 1].
SCHEDULE = DDPMScheduler(
    num_train_timesteps=100, beta_schedule="squaredcos_cap_v2", prediction_type="epsilon"
)


@dataclass(frozen=True)
class Config(Training):
    """Settings of Diffusion Policy."""

    width: int = field(default=512, metadata={"help": "units of the denoiser's layers"})
    acting_steps: int = field(default=10, metadata={"help": "DDIM steps for a chunk"})


class DiffusionNetwork(nn.Module):
    """Encoder of the observation, and the denoiser of a chunk that is conditioned on it.

    Example:
        >>> network = DiffusionNetwork(["agentview_image"], (84, 84), chunk=8, num_actions=7)
        >>> images = {"agentview_image": torch.zeros(2, 3, 84, 84)}
        >>> features = network.encoder(images, torch.zeros(2, 11))
        >>> network.noise(torch.zeros(2, 8, 7), torch.tensor([5, 90]), features).shape
        torch.Size([2, 8, 7])
    """

    def __init__(
        self,
        cameras: list[str],
        size: tuple[int, int],
        *,
        chunk: int,
        num_actions: int,
        width: int = 512,
    ) -> None:
        super().__init__()
        self.shape = (chunk, num_actions)
        self.encoder = ObservationEncoder(cameras, size)
        self.timestep = nn.Embedding(SCHEDULE.config["num_train_timesteps"], 64)
        inputs = chunk * num_actions + 64 + self.encoder.num_features
        self.first = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)
            )
            for _ in range(3)
        )
        self.last = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, chunk * num_actions))

    def noise(self, noisy: Tensor, timestep: Tensor, features: Tensor) -> Tensor:
        """The noise in ``noisy`` [N, L, A] at ``timestep`` [N], given features [N, F]."""
        inputs = (noisy.flatten(1), self.timestep(timestep), features)
        hidden = self.first(torch.cat(inputs, dim=-1))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.last(hidden).unflatten(1, self.shape)


def train(config: Config) -> Path:
    """Train a policy, or take its training up again; return the file for `load`.

    Raises:
        ValueError: demonstrations that do not fit, or a folder with a run of other settings.
    """
    train_demos, valid_demos = (load_demos(config.demos, split) for split in ("train", "valid"))
    settings: dict[str, Any] = train_demos.shapes()
    settings |= {"chunk": config.chunk, "width": config.width}
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        network = DiffusionNetwork(**settings)
    network.encoder.normalise_by(train_demos.hand)
    network = fit(network, denoising_loss, train_demos, valid_demos, config)
    about = {"network": settings, "config": dataclasses.asdict(config)}
    return save_policy(network, KIND, about, config.demos, Path(config.out))


def denoising_loss(network: DiffusionNetwork, batch: Batch, generator: torch.Generator) -> Tensor:
    """Squared error of the predicted noise at random timesteps (Ho et al., 2020, equation 14)."""
    features = network.encoder(batch.images, batch.hand).repeat(NOISE_DRAWS, 1)
    actions = batch.actions.repeat(NOISE_DRAWS, 1, 1)
    device = actions.device
    steps = SCHEDULE.config["num_train_timesteps"]
    timestep = torch.randint(steps, (len(actions),), generator=generator, device=device)
    noise = torch.randn(actions.shape, generator=generator, device=device)
    noisy = SCHEDULE.add_noise(actions, noise, timestep)  # type: ignore[arg-type]
    return (network.noise(noisy, timestep, features).float() - noise).square().mean()


def denoise(network: DiffusionNetwork, features: Tensor, noise: Tensor, steps: int) -> Tensor:
    """Chunks [N, L, A] from ``noise`` of that shape, in ``steps`` deterministic DDIM steps."""
    scheduler: Any = DDIMScheduler.from_config(SCHEDULE.config, timestep_spacing="trailing")
    scheduler.set_timesteps(steps, device=noise.device)
    chunk = noise
    for timestep in scheduler.timesteps:
        predicted = network.noise(chunk, timestep.expand(len(chunk)), features)
        chunk = scheduler.step(predicted, timestep, chunk).prev_sample
    return chunk


def load(path: str | Path) -> ChunkPolicy:
    """The policy that `train` wrote to ``path``, a file or its folder.

    The noise that a chunk begins with depends on the seed of the training and on how many chunks
    the episode has had before: an episode goes the same way beside any others.
    """
    about, weights = read_policy(path, KIND)
    config = about["config"]
    network = DiffusionNetwork(**about["network"])
    network.load_state_dict(weights)
    device = pick_device()
    network.to(device).eval()

    def plan(images: dict[str, Tensor], hand: Tensor, turn: Tensor) -> Tensor:
        noise = torch.stack([_noise(network.shape, config["seed"], int(t)) for t in turn])
        features = network.encoder(images, hand)
        return denoise(network, features, noise.to(device), config["acting_steps"])

    cameras = about["network"]["cameras"]
    return ChunkPolicy(plan, cameras, config["execute"], device, about["learned_from"])


def _noise(shape: tuple[int, int], seed: int, turn: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1_000_003 * seed + turn))


if __name__ == "__main__":
    print(train(parse(Config, __doc__)))
