"""The optimiser's loop of every network that is trained here: averaged, logged, resumable.

A checkpoint is one safetensors file. A run that was stopped goes on from it, and with a loss that
depends on the step alone, resumed or not, it comes to the same weights.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from stemob_wrappers.extras import needs

with needs("train"):
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeRemainingColumn

from stemob_wrappers.work import whole_file

CHECKPOINT_FILE = "checkpoint.safetensors"
LOG_FILE = "losses.csv"
WARMUP_STEPS = 200


@dataclass(frozen=True)
class Run:
    """How long and how fast a network is trained; a checkpoint of another run is refused.

    Attributes:
        steps: optimiser steps.
        learning_rate: peak of AdamW's cosine schedule.
        ema: decay of the averaged weights.
        settings: plain values that decide the weights beside those.
    """

    steps: int
    learning_rate: float
    ema: float
    settings: dict[str, Any]


def optimise(
    model: nn.Module,
    average: nn.Module,
    loss_of: Callable[[int], torch.Tensor],
    run: Run,
    out: Path,
    *,
    save_every: int = 500,
    saved: Callable[[], None] | None = None,
) -> None:
    """Train ``model`` with AdamW, a cosine schedule and an average of its weights.

    Args:
        model: network that ``loss_of`` runs.
        average: a copy of it, which holds the averaged weights afterwards.
        loss_of: step number to loss; draws its own data.
        run: how long and how fast.
        out: folder for the checkpoint and ``losses.csv``, made if missing.
        save_every: steps between two checkpoints.
        saved: called after each checkpoint.

    Raises:
        ValueError: the checkpoint in ``out`` belongs to other settings.
    """
    out.mkdir(parents=True, exist_ok=True)
    optimiser = torch.optim.AdamW(model.parameters(), lr=run.learning_rate, weight_decay=1e-4)
    checkpoint = out / CHECKPOINT_FILE
    first = _load_checkpoint(checkpoint, run, model, average, optimiser)
    started = time.monotonic()
    columns = (
        *Progress.get_default_columns()[:3],
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with (
        Progress(*columns, console=Console(stderr=True)) as progress,
        open(out / LOG_FILE, "a") as log,
    ):
        task = progress.add_task("training", total=run.steps, completed=first, note="")
        for step in range(first, run.steps):
            for group in optimiser.param_groups:
                group["lr"] = _learning_rate(run, step)
            loss = loss_of(step)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            _update_average(average, model, min(run.ema, (step + 1) / (step + 10)))
            if step % 20 == 0:
                progress.update(task, note=f"loss {loss.item():.4f}")
                log.write(f"{step},{loss.item():.5f},{time.monotonic() - started:.1f}\n")
            if (step + 1) % save_every == 0 or step + 1 == run.steps:
                log.flush()
                _save_checkpoint(checkpoint, run, step + 1, model, average, optimiser)
                if saved is not None:
                    saved()
            progress.advance(task)


def _learning_rate(run: Run, step: int) -> float:
    warmup = min(1.0, (step + 1) / WARMUP_STEPS)
    cosine = 0.5 * (1 + np.cos(np.pi * step / run.steps))
    return run.learning_rate * warmup * (0.02 + 0.98 * cosine)


@torch.no_grad()
def _update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    for ours, theirs in zip(
        average.state_dict().values(), model.state_dict().values(), strict=True
    ):
        if ours.is_floating_point():
            ours.lerp_(theirs, 1 - decay)
        else:
            ours.copy_(theirs)


def _save_checkpoint(
    path: Path,
    run: Run,
    step: int,
    model: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
) -> None:
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{k}": v for k, v in state.items()}
    tensors = {k: v.contiguous() for k, v in tensors.items()}
    metadata = {"step": str(step), "config": json.dumps(dataclasses.asdict(run))}
    with whole_file(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def _load_checkpoint(
    path: Path,
    run: Run,
    model: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
) -> int:
    """Take a run up where it was saved; return the step to go on with, 0 without a checkpoint."""
    if not path.exists():
        return 0
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    saved = json.loads(metadata["config"])
    if saved != dataclasses.asdict(run):
        raise ValueError(
            f"{path} was written with {saved}, this run has {dataclasses.asdict(run)}; "
            "use the same settings, or another --out"
        )
    tensors = load_file(path)
    model.load_state_dict(_with_prefix(tensors, "model."))
    average.load_state_dict(_with_prefix(tensors, "average."))
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in _with_prefix(tensors, "optimiser.").items():
        index, key = name.split(".")
        state.setdefault(int(index), {})[key] = tensor
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
    return int(metadata["step"])


def _with_prefix(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
