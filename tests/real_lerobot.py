"""The real lerobot, imported where torchvision is missing; it reads its videos by PyAV here.

lerobot 0.4.4 imports torchvision for image transforms, which no test uses, for ``ToTensor`` and to
read videos, which its newer versions do by torchcodec. The last two are done here as they do it.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import av
import numpy as np
import torch

NAMES = ("", ".transforms", ".transforms.functional", ".transforms.v2", ".transforms.v2.functional")


class _Missing(ModuleType):
    """A module whose names can be imported and subclassed, and do nothing."""

    __path__ = ()  # pyright: ignore[reportAssignmentType]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def _to_tensor(image: Any) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255


def decode(path: Any, timestamps: list[float], tolerance: float, backend: Any) -> torch.Tensor:
    """Return the frames at some times, float [N, 3, H, W] in [0, 1]; none may be off its time."""
    container: Any = av.open(str(path))
    with container:
        shown = [
            (float(frame.pts * frame.time_base), frame.to_ndarray(format="rgb24"))
            for frame in container.decode(video=0)
        ]
    found = []
    for time in timestamps:
        nearest = min(shown, key=lambda frame: abs(frame[0] - time))
        assert abs(nearest[0] - time) < tolerance, (nearest[0], time)
        found.append(_to_tensor(nearest[1]))
    return torch.stack(found)


def _import() -> tuple[Any, Any, Any]:
    modules: dict[str, Any] = {name: _Missing(f"torchvision{name}") for name in NAMES}
    modules[".transforms"].ToTensor = lambda: _to_tensor
    for name, module in modules.items():
        module.__spec__ = ModuleSpec(module.__name__, None)
        if name:
            parent, _, last = name.rpartition(".")
            setattr(modules[parent], last, module)
    missing = {module.__name__: module for module in modules.values()}
    sys.modules.update(missing)
    import lerobot.utils.import_utils as optional

    optional._transformers_available = False  # it would look for torchvision, too
    try:
        import lerobot.datasets.lerobot_dataset as datasets
        from lerobot import processor
        from lerobot.configs import types
        from lerobot.policies.act import configuration_act, processor_act
    finally:
        for name in missing:  # others look for the real one
            del sys.modules[name]
    datasets.decode_video_frames = decode
    policies = SimpleNamespace(**(vars(types) | vars(configuration_act) | vars(processor_act)))
    return datasets, processor, policies


datasets, processor, policies = _import()


def open_dataset(root: Path) -> Any:
    """Open a data set that lies in a folder."""
    return datasets.LeRobotDataset("tests/demo", root=root, video_backend="pyav")
