"""What a worker process of the tests of engines runs; imports no PyTorch, so it starts fast."""

from typing import Any

from stemob_wrappers import StemPipeline


def put_stems(queue: Any, frames: Any, threads: int) -> None:
    """Put the stem frames of the embedded backbone into a queue."""
    queue.put(StemPipeline(cache=False, device="cpu", threads=threads)(frames))
