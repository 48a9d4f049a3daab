"""DBC: behavioural cloning that a diffusion model of state and action tells what is likely.

python -m experiments.imitation.dbc --demos demos.hdf5 --out runs/dbc
python -m experiments.imitation.dbc --demos demos.hdf5 --out runs/dbc30 --weight 30

Chen et al., "Diffusion Model-Augmented Behavioral Cloning" (ICML 2024, arXiv 2302.13335). A
diffusion model learns the pairs of state and actions of the demonstrations and is then frozen. The
policy, the network of bc.py, is trained by its own loss and by how much less likely the model finds
its actions than the demonstrator's. The model sees the hand's pose and no pixel: it takes no part
in acting, and stem frames are learned from as any others.

The weight of that loss is a matter of the task: the paper's range from 0.2 to 30. Equations are
numbered as in Chen's thesis (National Taiwan University, 2024, section 3.1).
"""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor, nn

from experiments.imitation import bc
from experiments.imitation.acting import ChunkPolicy
from experiments.imitation.data import Batch, Demos, load_demos, take_batch
from experiments.imitation.loop import fit, parse

KIND = "dbc"
LARGEST = 10.0  # standard deviations; what lies farther off is taken to lie there

# As the authors' code has it.
SCHEDULE = DDPMScheduler(
    num_train_timesteps=1000, beta_schedule="sigmoid", beta_start=1e-4, beta_end=0.02
)


@dataclass(frozen=True)
class Config(bc.Config):
    """Settings of DBC."""

    weight: float = field(default=0.5, metadata={"help": "of the diffusion model's loss"})
    model_epochs: int = field(default=200, metadata={"help": "epochs of the diffusion model"})
    model_width: int = field(default=512, metadata={"help": "units of its hidden layers"})


class DiffusionModel(nn.Module):
    """Predicts the noise in pairs of state and actions.

    Args:
        size: numbers of a state and its actions.
        width: units of the hidden layers.
        hidden: how many hidden layers; all but the last are told the timestep.

    Example:
        >>> model = DiffusionModel(4)
        >>> model.noise(torch.zeros(3, 4), torch.tensor([0, 500, 999])).shape
        torch.Size([3, 4])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, size: int, width: int = 512, hidden: int = 4) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))
        widths = [size, *[width] * hidden]
        self.layers = nn.ModuleList(
            nn.Linear(inputs, outputs) for inputs, outputs in itertools.pairwise(widths)
        )
        steps = SCHEDULE.config["num_train_timesteps"]
        self.timesteps = nn.ModuleList(nn.Embedding(steps, width) for _ in range(hidden - 1))
        self.last = nn.Linear(width, size)

    def normalise_by(self, pairs: Tensor) -> None:
        """Take mean and deviation from the demonstrations' pairs [T, D]."""
        self.mean.copy_(pairs.mean(0))
        self.std.copy_(pairs.std(0).clamp_min(0.01))

    def normalised(self, pairs: Tensor) -> Tensor:
        """Pairs [N, D] as the model learns them, within `LARGEST`."""
        return ((pairs - self.mean) / self.std).clamp(-LARGEST, LARGEST)

    def noise(self, noisy: Tensor, timestep: Tensor) -> Tensor:
        """The noise in ``noisy`` [N, D] at ``timestep`` [N]."""
        hidden = noisy
        for index, layer in enumerate(self.layers):
            hidden = layer(hidden)
            if index < len(self.timesteps):
                hidden = hidden + self.timesteps[index](timestep)
            hidden = hidden.relu()
        return self.last(hidden)


def pairs_of(state: Tensor, actions: Tensor) -> Tensor:
    """States [N, S] and chunks [N, L, A] as what the model learns, [N, S + L A]."""
    return torch.cat([state, actions.flatten(1)], dim=1)


def noise_error(model: DiffusionModel, pairs: Tensor, timestep: Tensor, noise: Tensor) -> Tensor:
    """Squared error of the noise predicted in each pair (equation 3.2), float [N]."""
    noisy = SCHEDULE.add_noise(model.normalised(pairs), noise, timestep)  # type: ignore[arg-type]
    return (model.noise(noisy, timestep).float() - noise).square().mean(1)


def draw(pairs: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Timesteps [N], each with its mirror image, and noise of the shape of ``pairs`` [N, D]."""
    steps, count = SCHEDULE.config["num_train_timesteps"], len(pairs)
    half = (count + 1) // 2
    first = torch.randint(steps, (half,), generator=generator, device=pairs.device)
    timestep = torch.cat([first, steps - 1 - first])[:count]
    return timestep, torch.randn(pairs.shape, generator=generator, device=pairs.device)


def modelling_loss(
    model: DiffusionModel,
    state: Tensor,
    predicted: Tensor,
    demonstrated: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """How much worse the model explains the predicted actions than those demonstrated.

    Equations 3.3 to 3.5: both are noised alike, and a sample that is explained better counts as
    nothing rather than against the others.

    Args:
        model: frozen; gradients pass through it to ``predicted``.
        state: float [N, S].
        predicted, demonstrated: float [N, L, A].
        generator: of timesteps and noise.
    """
    agent, expert = pairs_of(state, predicted), pairs_of(state, demonstrated)
    timestep, noise = draw(expert, generator)
    excess = noise_error(model, agent, timestep, noise) - noise_error(
        model, expert, timestep, noise
    )
    return excess.clamp_min(0).mean()


def train(config: Config) -> Path:
    """Train a policy, or take its training up again; return the file for `load`.

    The diffusion model is trained first, in the folder ``diffusion_model`` beside the policy.

    Raises:
        ValueError: demonstrations that do not fit, or a folder with a run of other settings.
    """
    demos, valid = (load_demos(config.demos, split) for split in ("train", "valid"))
    model = train_model(config, demos, valid)

    def loss(network: bc.BCNetwork, batch: Batch, generator: torch.Generator) -> Tensor:
        predicted = network(batch.images, batch.hand).float()
        cloning = (predicted - batch.actions).abs().mean()
        excess = modelling_loss(model, batch.hand, predicted, batch.actions, generator)
        return cloning + config.weight * excess

    network = bc.new_network(config, demos)
    return bc.learn(network, loss, KIND, demos, valid, config)


def train_model(config: Config, demos: Demos, valid: Demos) -> DiffusionModel:
    """The diffusion model of hand and actions, frozen."""
    demos, valid = (dataclasses.replace(part, images={}) for part in (demos, valid))

    def loss(model: DiffusionModel, batch: Batch, generator: torch.Generator) -> Tensor:
        pairs = pairs_of(batch.hand, batch.actions)
        return noise_error(model, pairs, *draw(pairs, generator)).mean()

    every = torch.arange(len(demos))
    pairs = pairs_of(demos.hand, take_batch(demos, every, config.chunk).actions)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        model = DiffusionModel(pairs.shape[1], config.model_width)
    model.normalise_by(pairs)
    folder = str(Path(config.out) / "diffusion_model")
    schooling = dataclasses.replace(config, out=folder, epochs=config.model_epochs, augment="none")
    return fit(model, loss, demos, valid, schooling).eval()


def load(path: str | Path) -> ChunkPolicy:
    """The policy that `train` wrote to ``path``, a file or its folder."""
    return bc.load(path, KIND)


if __name__ == "__main__":
    print(train(parse(Config, __doc__)))
