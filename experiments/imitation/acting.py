"""What the policies share: the encoder of an observation, acting in chunks, and their file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from experiments.imitation.data import HAND_SIZE, float_images, hand_state
from stemob_wrappers.evaluation.policies import UNTOLD
from stemob_wrappers.made_by import learned_from

POLICY_FILE = "policy.safetensors"

# Images (camera key -> float [N, 3, H, W] in [0, 1]), hand [N, 11] and the number of chunks that
# each episode has had before, int64 [N] -> actions [N, L, A].
Planner = Callable[[dict[str, Tensor], Tensor, Tensor], Tensor]


class ObservationEncoder(nn.Module):
    """Images of several cameras and the hand's pose -> features [N, F].

    A convolutional network per camera, the one of DQN (Mnih et al., Nature 2015): its strides make
    it cheap, and its flattened map keeps where things are.

    Args:
        cameras: keys of the images.
        size: their height and width in pixels.
        features: features of a camera.
    """

    hand_mean: Tensor
    hand_std: Tensor

    def __init__(self, cameras: list[str], size: tuple[int, int], features: int = 128) -> None:
        super().__init__()
        self.cameras = nn.ModuleDict({key: _camera_network(size, features) for key in cameras})
        self.register_buffer("hand_mean", torch.zeros(HAND_SIZE))
        self.register_buffer("hand_std", torch.ones(HAND_SIZE))
        self.hand = nn.Sequential(nn.Linear(HAND_SIZE, 64), nn.ReLU())
        self.num_features = features * len(cameras) + 64

    def normalise_by(self, hand: Tensor) -> None:
        """Take mean and deviation of the hand's pose from the demonstrations' [T, 11]."""
        self.hand_mean.copy_(hand.mean(0))
        # What hardly moves (1 mm, 0.01 of a rotation) is no signal to be blown up.
        self.hand_std.copy_(hand.std(0).clamp_min(0.01))

    def forward(self, images: dict[str, Tensor], hand: Tensor) -> Tensor:
        seen = [network(images[key] - 0.5) for key, network in self.cameras.items()]
        return torch.cat([*seen, self.hand((hand - self.hand_mean) / self.hand_std)], dim=-1)


def _camera_network(size: tuple[int, int], features: int) -> nn.Sequential:
    trunk = nn.Sequential(
        nn.Conv2d(3, 32, 8, stride=4),
        nn.ReLU(),
        nn.Conv2d(32, 64, 4, stride=2),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3),
        nn.ReLU(),
        nn.Flatten(),
    )
    flat = trunk(torch.zeros(1, 3, *size)).shape[1]
    head = nn.Sequential(nn.Linear(flat, features), nn.LayerNorm(features), nn.ReLU())
    return nn.Sequential(trunk, head).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class ChunkPolicy:
    """Acts on a batch of envs that take a chunk of actions a step (`ActionChunk`).

    Args:
        plan: gives the chunks.
        cameras: keys of the images that ``plan`` reads.
        execute: how many actions of a chunk are run before it looks again, the ``k`` of the envs'
            `ActionChunk`.
        device: where ``plan`` runs.
        learned_from: the frames that it learned from, as `read_policy` gives them; an evaluation
            tests it on no others.

    Example:
        >>> def stay(images, hand, turn):
        ...     return torch.zeros(len(hand), 8, 7)
        >>> policy = ChunkPolicy(stay, ["camera"], execute=4, device=torch.device("cpu"))
        >>> frames, states = np.zeros((2, 84, 84, 3), np.uint8), np.zeros((2, 50), np.float32)
        >>> policy({"camera": frames, "proprio": states}).shape
        (2, 4, 7)
    """

    def __init__(
        self,
        plan: Planner,
        cameras: list[str],
        execute: int,
        device: torch.device,
        learned_from: Any = UNTOLD,
    ) -> None:
        self.plan = plan
        self.cameras = cameras
        self.execute = execute
        self.device = device
        self.learned_from = learned_from
        self._turn = np.zeros(0, np.int64)  # chunks that each env has had in its episode

    def reset(self, mask: np.ndarray) -> None:
        """Begin anew for the envs in ``mask`` (bool [N]), whose episodes do."""
        if len(mask) != len(self._turn):
            self._turn = np.zeros(len(mask), np.int64)
        self._turn[mask] = 0

    @torch.inference_mode()
    def __call__(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        """Actions for images uint8 [N, H, W, 3] and proprio float32 [N, 50].

        Returns:
            float32 [N, execute, A] in [-1, 1], or [N, A] if one action is run at a time.

        Raises:
            KeyError: the observation lacks an image or ``proprio``.
        """
        missing = {*self.cameras, "proprio"} - set(observation)
        if missing:
            raise KeyError(
                f"the policy reads {[*self.cameras, 'proprio']}; the observation lacks "
                f"{sorted(missing)} and has {sorted(observation)}."
            )
        count = len(observation["proprio"])
        if count != len(self._turn):
            self._turn = np.zeros(count, np.int64)
        images = {
            key: float_images(torch.from_numpy(observation[key]).to(self.device))
            for key in self.cameras
        }
        hand = hand_state(torch.from_numpy(observation["proprio"])).to(self.device)
        chunks = self.plan(images, hand, torch.from_numpy(self._turn))
        self._turn = self._turn + 1  # the planner may hold on to the one it was given
        actions = chunks[:, : self.execute].clamp(-1, 1).cpu().numpy()
        return actions[:, 0] if self.execute == 1 else actions


def save_policy(
    network: nn.Module, kind: str, settings: dict[str, Any], demos: str | Path, folder: Path
) -> Path:
    """Write ``folder/policy.safetensors``: the weights, and what it takes to use them.

    Args:
        network: whose weights are saved.
        kind: of the script that can load it.
        settings: what it takes to build the network, and how it was trained.
        demos: the demonstrations that it learned from; what made their frames is saved, too.
        folder: where it goes.
    """
    path = folder / POLICY_FILE
    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    settings = {**settings, "learned_from": learned_from(demos)}
    save_file(tensors, path, metadata={"kind": kind, "settings": json.dumps(settings)})
    return path


def read_policy(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Settings and weights that `save_policy` wrote; ``path`` is the file or its folder.

    The settings have ``learned_from``: what made the frames, None for raw ones, UNTOLD where an
    older version did not write it.

    Raises:
        FileNotFoundError: no policy there.
        ValueError: it is a policy of another kind.
    """
    path, metadata = _metadata(path)
    if metadata["kind"] != kind:
        raise ValueError(
            f"{path} holds a policy of kind {metadata['kind']!r}, {kind!r} was asked for: "
            "load it with the script that trained it."
        )
    return {"learned_from": UNTOLD, **json.loads(metadata["settings"])}, load_file(path)


def kind_of(path: str | Path) -> str:
    """The kind of a policy that `save_policy` wrote; ``path`` is the file or its folder.

    Raises:
        FileNotFoundError: no policy there.
        ValueError: the file holds no policy.
    """
    return _metadata(path)[1]["kind"]


def _metadata(path: str | Path) -> tuple[Path, dict[str, str]]:
    path = Path(path)
    path = path / POLICY_FILE if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"no policy at {path}: train one first, or let it finish.")
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
    if not {"kind", "settings"} <= set(metadata):
        raise ValueError(f"{path} holds no policy that the scripts of experiments/ trained.")
    return path, metadata
