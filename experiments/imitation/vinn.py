"""VINN: no training; the policy does what the demonstrator did where things looked most alike.

python -m experiments.imitation.vinn --demos demos.hdf5 --out runs/vinn
python -m experiments.imitation.vinn --demos demos.hdf5 --out runs/pixels --features pixels

Pari et al., "The Surprising Effectiveness of Representation Learning for Visual Imitation" (RSS
2022, arXiv 2112.01511): the nearest frames in a feature space vote on the action, the nearer the
more. Features here are the layout latents of a backbone, pooled to a coarse map, or pooled pixels
to compare them with. Nothing stands between the frames and the policy's success, so it is a plain
test of whether frames of two looks fall together.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.imitation.acting import ChunkPolicy, read_policy, save_policy
from experiments.imitation.data import Demos, load_demos, take_batch
from experiments.imitation.loop import PolicySettings, parse, pick_device
from stemob_wrappers.backbones.codecs import IdentityCodec, LatentCodec
from stemob_wrappers.backbones.load import load_backbone

KIND = "vinn"
PIXELS = "pixels"
HAND_WEIGHT = 0.3  # of the hand's pose, where the features of the images have 1
BATCH = 256


@dataclass(frozen=True)
class Config(PolicySettings):
    """Settings of VINN."""

    features: str = field(
        default="embedded", metadata={"help": f"the backbone that gives them, or {PIXELS!r}"}
    )
    cells: int = field(default=7, metadata={"help": "side of the map that features are pooled to"})
    components: int = field(default=128, metadata={"help": "principal ones that are kept"})
    neighbours: int = field(default=16, metadata={"help": "steps that vote on a chunk"})
    temperature: float = field(
        default=0.05, metadata={"help": "distance in which a vote falls to 1 / e"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.cells, self.components, self.neighbours) < 1 or not self.temperature > 0:
            raise ValueError(
                "cells, components and neighbours must be at least 1 and temperature above 0, got "
                f"{self.cells}, {self.components}, {self.neighbours} and {self.temperature}."
            )


class Memory(nn.Module):
    """The steps of demonstrations: keys to find them by, and the chunks that follow them.

    Args:
        mean: of the images' features, float32 [F].
        axes: what they are projected on, float32 [F, K].
        hand_mean, hand_scale: float32 [11].
        keys: float32 [T, K + 11].
        chunks: float32 [T, L, A].

    Example:
        >>> keys, chunks = torch.eye(12)[:2], torch.tensor([0.5, -0.5]).view(2, 1, 1)
        >>> hand = (torch.zeros(11), torch.ones(11))
        >>> memory = Memory(torch.zeros(1), torch.ones(1, 1), *hand, keys, chunks)
        >>> memory.vote(keys, neighbours=1, temperature=1.0).flatten()
        tensor([ 0.5000, -0.5000])
    """

    mean: Tensor
    axes: Tensor
    hand_mean: Tensor
    hand_scale: Tensor
    keys: Tensor
    chunks: Tensor

    def __init__(
        self,
        mean: Tensor,
        axes: Tensor,
        hand_mean: Tensor,
        hand_scale: Tensor,
        keys: Tensor,
        chunks: Tensor,
    ) -> None:
        super().__init__()
        for name, value in (("mean", mean), ("axes", axes), ("keys", keys), ("chunks", chunks)):
            self.register_buffer(name, value)
        self.register_buffer("hand_mean", hand_mean)
        self.register_buffer("hand_scale", hand_scale)

    def key(self, features: Tensor, hand: Tensor) -> Tensor:
        """Keys [N, K + 11] of features [N, F] and poses of the hand [N, 11]."""
        seen = (features - self.mean) @ self.axes
        return torch.cat([seen, (hand - self.hand_mean) * self.hand_scale], dim=1)

    def vote(self, keys: Tensor, neighbours: int, temperature: float) -> Tensor:
        """Chunks [N, L, A]: means over the nearest, weighted by exp(-distance / temperature)."""
        exact = "donot_use_mm_for_euclid_dist"
        distances = torch.cdist(keys, self.keys, compute_mode=exact)
        distances, nearest = distances.topk(min(neighbours, len(self.keys)), largest=False)
        weights = torch.softmax(-distances / temperature, dim=1)
        return (weights[..., None, None] * self.chunks[nearest]).sum(1)


class Features:
    """Images to a coarse map of a codec's layout latents.

    Args:
        name: of the backbone, or "pixels".
        cells: side of the map.
        device: where its codec runs.

    Attributes:
        digest: of the backbone; empty for pixels.

    Example:
        >>> frames = {"agentview_image": torch.zeros(2, 3, 84, 84)}
        >>> Features("embedded", 7, torch.device("cpu"))(frames).shape
        torch.Size([2, 588])
    """

    def __init__(self, name: str, cells: int, device: torch.device) -> None:
        self.codec: LatentCodec = IdentityCodec()
        self.digest = ""
        if name != PIXELS:
            backbone = load_backbone(name, device=str(device))
            self.codec, self.digest = backbone.codec, backbone.digest
        self.cells = cells

    @torch.inference_mode()
    def __call__(self, images: dict[str, Tensor]) -> Tensor:
        """Features [N, F] of float images [N, 3, H, W] in [0, 1], by camera."""
        return torch.cat([self._map(images[key]).flatten(1) for key in sorted(images)], dim=1)

    def _map(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        beyond = (0, -width % self.codec.stride, 0, -height % self.codec.stride)
        latents = self.codec.encode(F.pad(2 * images - 1, beyond, mode="replicate"))
        # Only our own codec keeps apart where things are and what they look like.
        layout = getattr(self.codec.module, "layout_channels", latents.shape[1])
        return F.adaptive_avg_pool2d(latents[:, :layout], self.cells)


def train(config: Config) -> Path:
    """Remember the demonstrations; return the file for `load`.

    ``valid_error`` in its settings is the mean absolute error on held-out demonstrations.

    Raises:
        ValueError: demonstrations that do not fit, or an unknown backbone.
    """
    demos, valid = (load_demos(config.demos, split) for split in ("train", "valid"))
    device = pick_device()
    features = Features(config.features, config.cells, device)
    memory = remember(demos.to(device), features, config)
    about: dict[str, Any] = {
        "network": {"cameras": list(demos.images), "digest": features.digest},
        "config": dataclasses.asdict(config),
        "valid_error": _error(memory, valid.to(device), features, config),
    }
    Path(config.out).mkdir(parents=True, exist_ok=True)
    return save_policy(memory, KIND, about, config.demos, Path(config.out))


@torch.inference_mode()
def remember(demos: Demos, features: Features, config: Config) -> Memory:
    """The memory of demonstrations; its images' part of a key varies by 1 in all."""
    parts = [take_batch(demos, index, config.chunk) for index in _indices(demos)]
    seen = torch.cat([features(part.images) for part in parts])
    mean = seen.mean(0)
    variances, axes = torch.linalg.eigh((seen - mean).T @ (seen - mean) / len(seen))
    kept = min(config.components, len(seen), len(mean))
    axes = axes[:, -kept:] / variances[-kept:].sum().clamp_min(1e-12).sqrt()
    hand_mean, hand_std = demos.hand.mean(0), demos.hand.std(0).clamp_min(0.01)
    hand_scale = HAND_WEIGHT / (hand_std * len(hand_std) ** 0.5)
    chunks = torch.cat([part.actions for part in parts])
    memory = Memory(mean, axes, hand_mean, hand_scale, torch.empty(0), chunks)
    memory.keys = memory.key(seen, demos.hand)
    return memory


@torch.inference_mode()
def _error(memory: Memory, valid: Demos, features: Features, config: Config) -> float:
    total = 0.0
    for index in _indices(valid):
        batch = take_batch(valid, index, config.chunk)
        keys = memory.key(features(batch.images), batch.hand)
        voted = memory.vote(keys, config.neighbours, config.temperature)
        total += (voted - batch.actions).abs().mean().item() * len(index)
    return total / len(valid)


def _indices(demos: Demos) -> tuple[Tensor, ...]:
    return torch.arange(len(demos), device=demos.actions.device).split(BATCH)


def load(path: str | Path) -> ChunkPolicy:
    """The policy that `train` wrote to ``path``, a file or its folder.

    Raises:
        ValueError: the backbone of its features has other weights now.
    """
    about, weights = read_policy(path, KIND)
    config, device = about["config"], pick_device()
    memory = Memory(**weights).to(device)
    features = Features(config["features"], config["cells"], device)
    if features.digest != about["network"]["digest"]:
        raise ValueError(
            f"{path} remembers features of {config['features']!r} with the digest "
            f"{about['network']['digest']}, which has {features.digest} now: make it again."
        )

    def plan(images: dict[str, Tensor], hand: Tensor, turn: Tensor) -> Tensor:
        keys = memory.key(features(images), hand)
        return memory.vote(keys, config["neighbours"], config["temperature"])

    cameras = about["network"]["cameras"]
    return ChunkPolicy(plan, cameras, config["execute"], device, about["learned_from"])


if __name__ == "__main__":
    print(train(parse(Config, __doc__)))
