"""CUDA graphs: the kernels of a call, recorded once for each shape and then launched as one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

MOST_GRAPHS = 32  # kept at a time: of seven sizes of batch, a few sizes of frames
WARM_UPS = 2  # before a recording, so that libraries have chosen and loaded their kernels

Function = Callable[..., torch.Tensor]
Shapes = tuple[tuple[torch.Size, torch.dtype], ...]


@dataclass(frozen=True)
class Recording:
    """A recorded call.

    Attributes:
        inputs: what it reads; new values are copied into them.
        result: where it writes.
        replay: launches it.
    """

    inputs: tuple[torch.Tensor, ...]
    result: torch.Tensor
    replay: Callable[[], None]


class CapturedFunction:
    """A function of CUDA tensors that is replayed from a graph of its kernels, one for each shape.

    One step of a denoiser is a thousand small kernels, whose launches take longer than they do on a
    fast card; a graph is one launch. A shape that is seen again is never recorded again, unless so
    many others came in between that its graph was dropped.

    Args:
        function: from tensors on one device to one. It must decide nothing by their values and take
            nothing from the host: what it read there is recorded.
        most: graphs that are kept.

    Attributes:
        recordings: how many were made so far.
    """

    def __init__(self, function: Function, most: int = MOST_GRAPHS) -> None:
        self.recordings = 0
        self._function = function
        self._most = most
        self._kept: dict[Shapes, Recording] = {}  # the one used last comes last
        self._pool: Any = None  # the memory of all graphs
        self._lock = threading.Lock()

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Return what the function does, once it is there."""
        shapes = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        # Until the result is copied: all graphs compute in the same memory.
        with self._lock, torch.cuda.device(inputs[0].device):
            recording = self._kept.pop(shapes, None)
            if recording is None:
                while len(self._kept) >= self._most:
                    del self._kept[next(iter(self._kept))]
                recording = self._record(inputs)
            self._kept[shapes] = recording
            for place, tensor in zip(recording.inputs, inputs, strict=True):
                place.copy_(tensor)
            recording.replay()
            result = recording.result.clone()
            torch.cuda.current_stream().synchronize()
            return result

    def _record(self, inputs: tuple[torch.Tensor, ...]) -> Recording:
        self.recordings += 1
        places = tuple(tensor.clone() for tensor in inputs)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self._function(*places)
        torch.cuda.current_stream().wait_stream(stream)
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            result = self._function(*places)
        return Recording(places, result, graph.replay)
