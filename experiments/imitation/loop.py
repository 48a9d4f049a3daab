"""The training loop of the policies: augmentation, validation, checkpoints, resume, loss plot."""

from __future__ import annotations

import argparse
import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from experiments.imitation.data import Batch, Demos, shuffled_index, take_batch
from stemob_wrappers.augment import NAMES, augment
from stemob_wrappers.training.loop import Run, optimise
from stemob_wrappers.training.precision import autocast

VALID_SAMPLES = 1024

Network = TypeVar("Network", bound=nn.Module)

# Network, batch and generator of what it draws -> mean loss.
Loss = Callable[[Network, Batch, torch.Generator], Tensor]


@dataclass(frozen=True)
class PolicySettings:
    """Settings of every policy: what it learns from, where it goes, how it acts in chunks."""

    demos: str = field(metadata={"help": "robomimic file, as collect.py writes it"})
    out: str = field(metadata={"help": "folder for the policy and what its making leaves"})
    chunk: int = field(default=8, metadata={"help": "actions that are planned at once"})
    execute: int = field(default=4, metadata={"help": "actions of a chunk that are run"})

    def __post_init__(self) -> None:
        if not 1 <= self.execute <= self.chunk:
            raise ValueError(
                f"execute must be within 1 and chunk = {self.chunk}, got {self.execute}."
            )


@dataclass(frozen=True)
class Training(PolicySettings):
    """Settings of a training; the policies add their own."""

    augment: str = field(default="none", metadata={"help": f"none, {', '.join(NAMES)}"})
    seed: int = field(default=0, metadata={"help": "of weights, batches and augmentation"})
    epochs: int = field(default=40, metadata={"help": "passes over the demonstrations"})
    batch_size: int = field(default=128, metadata={"help": "samples of a step"})
    learning_rate: float = field(default=1e-3, metadata={"help": "the highest of the schedule"})
    ema: float = field(default=0.995, metadata={"help": "decay of the averaged weights"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.augment not in ("none", *NAMES):
            raise ValueError(
                f"augment must be none or one of {', '.join(NAMES)}, got {self.augment!r}."
            )
        if self.epochs < 1 or self.batch_size < 1:
            raise ValueError(
                f"epochs and batch_size must be positive, got {self.epochs} and {self.batch_size}."
            )


def fit(
    network: Network, loss: Loss[Network], train: Demos, valid: Demos, config: Training
) -> Network:
    """Train ``network`` and return it with averaged weights; a stopped run is taken up again.

    Writes ``checkpoint.safetensors``, ``losses.csv``, ``valid.csv`` and ``losses.png`` to
    ``config.out``.

    Raises:
        ValueError: the folder holds a checkpoint of other settings.
    """
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    device = pick_device()
    network.to(device)
    train, valid = train.to(device), valid.to(device)
    average = copy.deepcopy(network).requires_grad_(False)

    batch_size = min(config.batch_size, len(train))
    epoch_steps = len(train) // batch_size
    settings = dataclasses.asdict(config) | {"samples": len(train)}
    del settings["out"]  # a run may be moved
    run = Run(config.epochs * epoch_steps, config.learning_rate, config.ema, settings)

    def loss_of(step: int) -> Tensor:
        if step % epoch_steps == 0 and step > 0:
            _log_valid(out, step, validation_loss(average, loss, valid, config))
        # Data and draws depend on the step alone, so that a resumed run ends in the same weights.
        index = shuffled_index(len(train), batch_size, step, config.seed).to(device)
        generator = torch.Generator(device).manual_seed(config.seed * 1_000_003 + step)
        batch = take_batch(train, index, config.chunk)
        if config.augment != "none":
            batch = augmented(batch, config.augment, generator)
        with autocast(device):
            return loss(network, batch, generator)

    optimise(network, average, loss_of, run, out, save_every=5 * epoch_steps)
    _log_valid(out, run.steps, validation_loss(average, loss, valid, config))
    plot_losses(out)
    return average


def augmented(batch: Batch, name: str, generator: torch.Generator) -> Batch:
    """The batch after the augmentation of that name; mixup mixes hand and actions as well."""
    others = {"hand": batch.hand, "actions": batch.actions}
    images, others = augment(name, batch.images, others, generator)
    return Batch(images, **others)


@torch.no_grad()
def validation_loss(network: Network, loss: Loss[Network], valid: Demos, config: Training) -> float:
    """Mean loss on up to 1,024 evenly spread held-out samples, without augmentation."""
    device = valid.actions.device
    count = min(len(valid), VALID_SAMPLES)
    index = torch.linspace(0, len(valid) - 1, count, device=device).round().long()
    generator = torch.Generator(device).manual_seed(config.seed)
    losses = []
    for part in index.split(config.batch_size):
        with autocast(device):
            mean = loss(network, take_batch(valid, part, config.chunk), generator)
        losses.append(mean.item() * len(part))
    return sum(losses) / count


def pick_device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def plot_losses(out: Path) -> Path:
    """Draw ``losses.csv`` (every 20th step) and ``valid.csv`` (every epoch) as ``losses.png``."""
    import matplotlib.pyplot as plt

    train, valid = _last_entries(out / "losses.csv"), _last_entries(out / "valid.csv")
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    axes.plot(train[:, 0], train[:, 1], linewidth=0.8, label="train, one batch")
    axes.plot(valid[:, 0], valid[:, 1], marker=".", label="valid, averaged weights")
    axes.set(xlabel="step", ylabel="loss", yscale="log", title=out.name)
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(out / "losses.png", dpi=120)
    plt.close(figure)
    return out / "losses.png"


def _log_valid(out: Path, step: int, value: float) -> None:
    with open(out / "valid.csv", "a") as log:
        log.write(f"{step},{value:.6f}\n")


def _last_entries(path: Path) -> np.ndarray:
    """Rows by step; of a step that a resumed run logged again, the later row."""
    rows = np.loadtxt(path, delimiter=",", ndmin=2)
    return np.array([row for _, row in sorted({row[0]: row for row in rows}.items())])


C = TypeVar("C", bound=PolicySettings)


def parse(config_type: type[C], description: str | None) -> C:
    """Settings from the command line: an option for every field of ``config_type``."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for option in dataclasses.fields(config_type):
        required = option.default is dataclasses.MISSING
        shown = "required" if required else f"default: {option.default}"
        parser.add_argument(
            f"--{option.name.replace('_', '-')}",
            type=str if required else type(option.default),
            required=required,
            default=None if required else option.default,
            help=f"{option.metadata['help']} ({shown})",
        )
    try:
        return config_type(**vars(parser.parse_args()))
    except ValueError as error:
        parser.error(str(error))
