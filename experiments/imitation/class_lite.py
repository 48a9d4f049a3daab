"""CLASS in little: frames that are followed by the same actions come to look the same; then BC.

python -m experiments.imitation.class_lite --demos demos.hdf5 --out runs/class
python -m experiments.imitation.class_lite --demos demos.hdf5 --out runs/c1 --augment random_conv

After Lee et al., "CLASS: Contrastive Learning via Action Sequence Supervision for Robot
Manipulation" (CoRL 2025). First the encoder of bc.py learns to place observations close together
whose next actions are close together, by a contrastive loss with soft positives; then it is frozen,
and behavioural cloning trains the head on it. Chunks of eight actions are compared step by step,
where the paper warps time.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.imitation import bc
from experiments.imitation.acting import ChunkPolicy, ObservationEncoder
from experiments.imitation.data import Batch, load_demos
from experiments.imitation.loop import fit, parse

KIND = "class"
TEMPERATURE = 0.1  # of the features' cosine


@dataclass(frozen=True)
class Config(bc.Config):
    """Settings of CLASS in little."""

    encoder_epochs: int = field(default=20, metadata={"help": "epochs of the contrastive part"})
    reach: float = field(
        default=0.1,
        metadata={"help": "distance of chunks, over the batch's mean, where likeness is 1 / e"},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.reach > 0:
            raise ValueError(f"reach must be above 0, got {self.reach}.")


class ContrastiveNetwork(nn.Module):
    """An encoder, and the projection in which its features are compared.

    Args:
        encoder: that is to learn.

    Example:
        >>> network = ContrastiveNetwork(ObservationEncoder(["camera"], (84, 84)))
        >>> network({"camera": torch.zeros(2, 3, 84, 84)}, torch.zeros(2, 11)).shape
        torch.Size([2, 64])
    """

    def __init__(self, encoder: ObservationEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.projection = nn.Sequential(
            nn.Linear(encoder.num_features, 128), nn.ReLU(), nn.Linear(128, 64)
        )

    def forward(self, images: dict[str, Tensor], hand: Tensor) -> Tensor:
        """Features [N, 64] of length 1."""
        return F.normalize(self.projection(self.encoder(images, hand)).float(), dim=-1)


def contrastive_loss(features: Tensor, actions: Tensor, reach: float) -> Tensor:
    """Cross-entropy from how alike the actions of a batch are to how alike its features are.

    For each sample, the others share a weight of 1, by exp(-distance of their chunks / (reach times
    the mean distance)); the features' cosine is to say the same (InfoNCE with soft positives).

    Args:
        features: float [N, F] of length 1.
        actions: float [N, L, A].
        reach: see above.

    Returns:
        the mean over samples; the entropy of the weights is its lower bound.
    """
    itself = torch.eye(len(features), dtype=torch.bool, device=features.device)
    distances = torch.cdist(actions.flatten(1), actions.flatten(1))
    scale = reach * distances[~itself].mean().clamp_min(1e-6)
    wanted = (-distances / scale).masked_fill(itself, -torch.inf).softmax(1)
    alike = (features @ features.T / TEMPERATURE).masked_fill(itself, -torch.inf).log_softmax(1)
    return -(wanted * alike.masked_fill(itself, 0.0)).sum(1).mean()


def train(config: Config) -> Path:
    """Train a policy, or take its training up again; return the file for `load`.

    The encoder is trained first, in the folder ``encoder`` beside the policy.

    Raises:
        ValueError: demonstrations that do not fit, or a folder with a run of other settings.
    """
    demos, valid = (load_demos(config.demos, split) for split in ("train", "valid"))
    network = bc.new_network(config, demos)

    def loss(contrast: ContrastiveNetwork, batch: Batch, generator: torch.Generator) -> Tensor:
        return contrastive_loss(contrast(batch.images, batch.hand), batch.actions, config.reach)

    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        contrast = ContrastiveNetwork(network.encoder)
    folder = str(Path(config.out) / "encoder")
    schooling = dataclasses.replace(config, out=folder, epochs=config.encoder_epochs)
    network.encoder = fit(contrast, loss, demos, valid, schooling).encoder  # comes back frozen
    return bc.learn(network, bc.imitation_loss, KIND, demos, valid, config)


def load(path: str | Path) -> ChunkPolicy:
    """The policy that `train` wrote to ``path``, a file or its folder."""
    return bc.load(path, KIND)


if __name__ == "__main__":
    print(train(parse(Config, __doc__)))
