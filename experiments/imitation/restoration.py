"""Noisy actions found and restored, given states: the method of restore_demos.py, on tensors.

Chen, Yong and Sun, "Restoring Noisy Demonstration for Imitation Learning with Diffusion Models"
(arXiv 2510.14467); equations are numbered as in Chen's thesis (National Taiwan University, 2024,
section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

LEVELS = 100
BOTTLENECK = 4
NEIGHBOURS = 20
WIDTH = 256
BATCH = 256

SCHEDULE = DDPMScheduler(num_train_timesteps=LEVELS, beta_schedule="squaredcos_cap_v2")


@dataclass(frozen=True)
class Report:
    """What became of the actions.

    Attributes:
        steps: of all demonstrations.
        clean: those that the filter takes for clean; the others were looked at.
        left: how many of the others were left as they were.
        restored: how many were denoised.
        mean_level: of the noise in those, of 100.
        mean_change: of those, root mean square in standard deviations of the actions.
    """

    steps: int
    clean: int
    left: int
    restored: int
    mean_level: float
    mean_change: float


def restore(
    actions: Tensor, states: Tensor, threshold: float, train_steps: int
) -> tuple[Tensor, Report]:
    """Filter and restore.

    Args:
        actions: float32 [T, A], each number of deviation 1.
        states: float32 [T, S], likewise.
        threshold, train_steps: see `restore_demos`.

    Returns:
        the actions, those that are not restored as they came; and what became of them.
    """
    clean = likely_clean(actions, train_steps)
    denoiser = learn_denoiser(actions[clean], states[clean], train_steps)
    predictor = learn_predictor(actions[clean], states[clean], train_steps)
    with torch.inference_mode():
        levels = LEVELS * predictor(torch.cat([_bounded(actions), states], dim=1))[:, 0]
        noisy = ~clean & (levels >= threshold)
        restored = actions.clone()
        restored[noisy] = denoise(denoiser, actions[noisy], states[noisy], levels[noisy])
    count = int(noisy.sum())
    change = (restored - actions)[noisy].square().mean().sqrt().item() if count else 0.0
    level = levels[noisy].clamp(0, LEVELS - 1).mean().item() if count else 0.0
    left = len(actions) - int(clean.sum()) - count
    return restored, Report(len(actions), int(clean.sum()), left, count, level, change)


# --- filter --------------------------------------------------------------------------------------


def likely_clean(actions: Tensor, train_steps: int) -> Tensor:
    """Which half of the actions [T, A] is the less odd, bool [T].

    By two measures whose ranks are added: the error of an autoencoder, and the Local Outlier Factor
    of the actions. The thesis takes that factor in the autoencoder's bottleneck, which lets noise
    pass that points away from what actions are like: with a fifth of Lift's actions polluted, 5.9 %
    of that half were, by the factor of the actions 0.9 %, by the error 0.4 %.
    """
    size = actions.shape[1]
    autoencoder = nn.Sequential(_network(size, BOTTLENECK), _network(BOTTLENECK, size))

    def loss(index: Tensor) -> Tensor:
        return (autoencoder(actions[index]) - actions[index]).square().mean()

    _train([autoencoder], loss, len(actions), train_steps, "filter")
    with torch.inference_mode():
        error = (autoencoder(actions) - actions).square().mean(1).numpy()
    oddness = _ranks(error) + _ranks(local_outlier_factor(actions.numpy()))
    clean = torch.zeros(len(actions), dtype=torch.bool)
    clean[torch.from_numpy(np.argsort(oddness, kind="stable")[: (len(actions) + 1) // 2])] = True
    return clean


def _ranks(values: NDArray[Any]) -> NDArray[np.int64]:
    return np.argsort(np.argsort(values, kind="stable"))


def local_outlier_factor(points: NDArray[Any], neighbours: int = NEIGHBOURS) -> NDArray[np.float64]:
    """How much sparser it is around each point than around its neighbours; about 1 within a crowd.

    Breunig et al., "LOF: Identifying Density-Based Local Outliers" (SIGMOD 2000), definitions 5 to
    7; as scikit-learn has it.

    Args:
        points: float [N, D].
        neighbours: the k of the paper; N - 1 if there are fewer.

    Returns:
        float64 [N].

    Example:
        >>> points = np.array([[0.0], [0.1], [0.2], [0.3], [5.0]])
        >>> int(local_outlier_factor(points, neighbours=2).argmax())
        4
    """
    points = points.astype(np.float64)
    count = min(neighbours, len(points) - 1)
    nearest = np.empty((len(points), count), np.int64)
    distances = np.empty((len(points), count))
    squares = (points**2).sum(1)
    for start in range(0, len(points), 1024):
        rows = slice(start, start + 1024)
        squared = squares[rows, None] + squares - 2 * points[rows] @ points.T
        own = np.arange(start, start + len(squared))
        squared[own - start, own] = np.inf
        nearest[rows] = np.argpartition(squared, count - 1, axis=1)[:, :count]
        found = np.take_along_axis(squared, nearest[rows], axis=1)
        distances[rows] = np.sqrt(np.maximum(found, 0))
    reach = np.maximum(distances, distances.max(1)[nearest])  # reachability distances
    density = 1 / (reach.mean(1) + 1e-10)
    return density[nearest].mean(1) / density


# --- restore -------------------------------------------------------------------------------------


class Denoiser(nn.Module):
    """Predicts the noise in an action, given the state and the level."""

    def __init__(self, actions: int, states: int) -> None:
        super().__init__()
        self.level = nn.Embedding(LEVELS, 64)
        self.layers = _network(actions + states + 64, actions)

    def forward(self, noisy: Tensor, states: Tensor, level: Tensor) -> Tensor:
        """Noise [N, A] in ``noisy`` [N, A] of level int64 [N], given states [N, S]."""
        return self.layers(torch.cat([noisy, states, self.level(level)], dim=1))


def learn_denoiser(actions: Tensor, states: Tensor, train_steps: int) -> Denoiser:
    """Train a conditional denoiser (DDPM) of actions [T, A], given states [T, S]."""
    denoiser = Denoiser(actions.shape[1], states.shape[1])

    def loss(index: Tensor) -> Tensor:
        level = torch.randint(LEVELS, (len(index),))
        noise = torch.randn(len(index), actions.shape[1])
        noisy = SCHEDULE.add_noise(actions[index], noise, level)  # type: ignore[arg-type]
        return (denoiser(noisy, states[index], level) - noise).square().mean()

    _train([denoiser], loss, len(actions), train_steps, "denoiser")
    return denoiser


def learn_predictor(actions: Tensor, states: Tensor, train_steps: int) -> nn.Module:
    """Train what tells the level of the noise that was added to actions, over LEVELS, given states.

    A polluted action is the action plus noise; at a level t of the model it is alpha_t times that.
    So what is learned from here is noised actions over alpha_t.
    """
    predictor = _network(actions.shape[1] + states.shape[1], 1)

    def loss(index: Tensor) -> Tensor:
        level = torch.randint(LEVELS, (len(index),))
        noise = torch.randn(len(index), actions.shape[1])
        polluted = _bounded(actions[index] + noise * _noise_to_signal(level)[:, None])
        found = predictor(torch.cat([polluted, states[index]], dim=1))[:, 0]
        return (found - level / LEVELS).square().mean()

    _train([predictor], loss, len(actions), train_steps, "predictor")
    return predictor


@torch.inference_mode()
def denoise(denoiser: Denoiser, polluted: Tensor, states: Tensor, levels: Tensor) -> Tensor:
    """Actions [N, A] that polluted ones of levels float [N] come from, by deterministic DDIM."""
    scheduler: Any = DDIMScheduler.from_config(SCHEDULE.config, clip_sample=False)
    scheduler.set_timesteps(LEVELS)
    start = levels.round().long().clamp(0, LEVELS - 1)
    actions = polluted * SCHEDULE.alphas_cumprod[start].sqrt()[:, None]
    for level in scheduler.timesteps:
        begun = start >= level
        if begun.any():
            noise = denoiser(actions[begun], states[begun], level.expand(int(begun.sum())))
            actions[begun] = scheduler.step(noise, level, actions[begun]).prev_sample
    return actions


def _noise_to_signal(level: Tensor) -> Tensor:
    kept = SCHEDULE.alphas_cumprod[level]
    return ((1 - kept) / kept).sqrt()


def _bounded(actions: Tensor) -> Tensor:
    return actions.clamp(-5, 5)  # the highest levels are all noise


def _network(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, WIDTH),
        nn.SiLU(),
        nn.Linear(WIDTH, WIDTH),
        nn.SiLU(),
        nn.Linear(WIDTH, outputs),
    )


def _train(
    networks: list[nn.Module],
    loss: Callable[[Tensor], Tensor],
    samples: int,
    steps: int,
    name: str,
) -> None:
    """Adam with a falling rate; ``loss`` is given the samples of a step, int64 [N]."""
    parameters = [parameter for network in networks for parameter in network.parameters()]
    optimiser = torch.optim.Adam(parameters)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    for _ in track(range(steps), name, console=Console(stderr=True), transient=True):
        value = loss(torch.randint(samples, (BATCH,)))
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        optimiser.step()
        schedule.step()


def deviation(values: Tensor) -> Tensor:
    """Standard deviations [D] of values [T, D]; 1 for what does not vary."""
    found = values.std(0)
    return torch.where(found < 1e-4, 1.0, found)
