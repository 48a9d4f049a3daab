"""Behavioural cloning: a convolutional network learns the next actions of the demonstrator.

python -m experiments.imitation.bc --demos demos.hdf5 --out runs/raw
python -m experiments.imitation.bc --demos demos.hdf5 --out runs/conv --augment random_conv --seed 1

The network predicts a chunk of actions at once (Zhao et al., "Learning Fine-Grained Bimanual
Manipulation", 2023) by the L1 distance, runs the first few of them and looks again.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from experiments.imitation.acting import ChunkPolicy, ObservationEncoder, read_policy, save_policy
from experiments.imitation.data import Batch, Demos, load_demos
from experiments.imitation.loop import Loss, Training, fit, parse, pick_device

KIND = "bc"


@dataclass(frozen=True)
class Config(Training):
    """Settings of behavioural cloning."""

    width: int = field(default=512, metadata={"help": "units of the two hidden layers"})


class BCNetwork(nn.Module):
    """Observation -> chunk of actions [N, L, A].

    Example:
        >>> network = BCNetwork(["agentview_image"], (84, 84), chunk=8, num_actions=7)
        >>> network({"agentview_image": torch.zeros(2, 3, 84, 84)}, torch.zeros(2, 11)).shape
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
        self.encoder = ObservationEncoder(cameras, size)
        self.head = nn.Sequential(
            nn.Linear(self.encoder.num_features, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, chunk * num_actions),
            nn.Unflatten(1, (chunk, num_actions)),
        )

    def forward(self, images: dict[str, Tensor], hand: Tensor) -> Tensor:
        return self.head(self.encoder(images, hand))


def train(config: Config) -> Path:
    """Train a policy, or take its training up again; return the file for `load`.

    Raises:
        ValueError: demonstrations that do not fit, or a folder with a run of other settings.
    """
    demos, valid = (load_demos(config.demos, split) for split in ("train", "valid"))
    return learn(new_network(config, demos), imitation_loss, KIND, demos, valid, config)


def new_network(config: Config, demos: Demos) -> BCNetwork:
    """A network for the demonstrations, its weights drawn from the seed."""
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        network = BCNetwork(**_shapes(config, demos))
    network.encoder.normalise_by(demos.hand)
    return network


def learn(
    network: BCNetwork,
    loss: Loss[BCNetwork],
    kind: str,
    demos: Demos,
    valid: Demos,
    config: Config,
) -> Path:
    """Train a network by a loss of one's own and save it as a policy of a kind."""
    network = fit(network, loss, demos, valid, config)
    about = {"network": _shapes(config, demos), "config": dataclasses.asdict(config)}
    return save_policy(network, kind, about, config.demos, Path(config.out))


def _shapes(config: Config, demos: Demos) -> dict[str, Any]:
    return demos.shapes() | {"chunk": config.chunk, "width": config.width}


def imitation_loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
    """Mean absolute difference from the demonstrated chunk."""
    return (network(batch.images, batch.hand).float() - batch.actions).abs().mean()


def load(path: str | Path, kind: str = KIND) -> ChunkPolicy:
    """The policy that `train` wrote to ``path``, a file or its folder; ``kind`` as for `learn`."""
    about, weights = read_policy(path, kind)
    network = BCNetwork(**about["network"])
    network.load_state_dict(weights)
    device = pick_device()
    network.to(device).eval()

    def plan(images: dict[str, Tensor], hand: Tensor, turn: Tensor) -> Tensor:
        return network(images, hand)

    cameras, execute = about["network"]["cameras"], about["config"]["execute"]
    return ChunkPolicy(plan, cameras, execute, device, about["learned_from"])


if __name__ == "__main__":
    print(train(parse(Config, __doc__)))
