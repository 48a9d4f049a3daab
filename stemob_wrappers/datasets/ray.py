"""Convert on a Ray cluster: an actor a CPU or GPU, parts as tasks, written by the driver.

Actors read the source, which must lie under the same path on every node, and send finished parts
back as bytes; only the driver writes to the target. An actor that dies costs the parts it was at.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from stemob_wrappers.datasets.part import Part, convert_part
from stemob_wrappers.datasets.stems import Item, Stems
from stemob_wrappers.extras import needs
from stemob_wrappers.work import sync_to_disk, whole_file

IN_FLIGHT = 2  # tasks that an actor has: one to do while the result of the other travels
MOST_DEATHS = 3  # of actors over one part
PATIENCE = 600.0  # seconds for a first actor to find room
ANSWER = 5.0  # seconds for an address to answer

Made = Part | str


class _Actor:
    """A process of the cluster, with the backbone loaded once."""

    def __init__(self, reader: Any, settings: dict[str, Any]) -> None:
        torch.set_num_threads(1)
        self.reader = reader
        self.stems = Stems(**settings)

    def ready(self) -> None:
        if not self.reader.path.exists():
            raise FileNotFoundError(
                f"no data set at {self.reader.path} on node {socket.gethostname()}; every node "
                "needs it under the same path"
            )

    def convert(self, item: Item) -> tuple[Made, int, bytes]:
        counts: list[int] = []
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{item.name}{self.reader.part_suffix}"
            made = convert_part(self.reader, item, self.stems, path, counts.append)
            return made, sum(counts), b"" if isinstance(made, str) else path.read_bytes()


@contextlib.contextmanager
def engine_at_hand(engine: str) -> Iterator[None]:
    """Be connected to the cluster that an engine names, and end a connection made here.

    Args:
        engine: ``"local"``, which needs none; ``"ray"`` for the cluster that this process is
            connected to, that ``RAY_ADDRESS`` names, or a new one on this machine;
            ``"ray=ADDRESS"``.

    Raises:
        ImportError: Ray is missing.
        ConnectionError: nobody answers at the address.
    """
    if engine == "local":
        yield
        return
    with needs("ray", "engine 'ray'"):
        import ray
    if ray.is_initialized():
        yield
        return
    address = engine.partition("=")[2] or None
    if address is not None:
        _check_answer(address)
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConnectionError(f"no Ray cluster answers at {address} ({error})") from error
    try:
        yield
    finally:
        ray.shutdown()


def room_for(device: str) -> int:
    """Return how many actors the connected cluster has room for.

    Raises:
        ValueError: the backbone is to run on a GPU, and there is none.
    """
    with needs("ray"):
        import ray

    room = int(ray.cluster_resources().get(_kind(device), 0))
    if not room:
        raise ValueError(
            f"the backbone is to run on {device}, but the cluster has no {_kind(device)}; pass "
            "device='cpu' (--device cpu), or use a cluster with GPUs"
        )
    return room


def convert_on_cluster(
    reader: Any,
    paths: dict[Item, Path],
    workers: int | None,
    settings: dict[str, Any],
    finish: Callable[[Item, Made], None],
    advance: Callable[[int], None],
) -> None:
    """Write the parts of some items.

    Args:
        reader: of the data set.
        paths: where the part of each item goes.
        workers: actors; None for one a GPU, or a CPU, of the cluster.
        settings: of the stems.
        finish, advance: are told what was made, and how many frames that were.

    Raises:
        OSError: there is no room for an actor, a part cannot be made, or not be written.
    """
    with needs("ray"):
        import ray

    device = settings["device"]
    share: dict[str, Any] = (
        {"num_cpus": 1} if _kind(device) == "CPU" else {"num_cpus": 1, "num_gpus": 1}
    )
    actor = ray.remote(**share)(_Actor)
    crew = _Crew(ray, lambda: actor.remote(reader, settings))
    try:
        size = min(workers or room_for(device), len(paths))
        crew.run(size, deque(paths), paths, finish, advance)
    finally:
        crew.dismiss()


def _kind(device: str) -> str:
    return "GPU" if device.startswith("cuda") else "CPU"


class _Crew:
    """The actors of one conversion, and what each of them is at."""

    def __init__(self, ray: Any, start: Callable[[], Any]) -> None:
        self.ray = ray
        self.start = start
        self.at_work: dict[Any, tuple[Any, Item | None]] = {}  # by result; None: getting ready
        self.able: list[Any] = []
        self.deaths: Counter[Item] = Counter()

    def run(
        self,
        size: int,
        waiting: deque[Item],
        paths: dict[Item, Path],
        finish: Callable[[Item, Made], None],
        advance: Callable[[int], None],
    ) -> None:
        """Give out items until each of them is finished."""
        for _ in range(size):
            self.hire()
        unfinished, deadline = set(waiting), time.monotonic() + PATIENCE
        while unfinished:
            self.give_out(waiting)
            done, _ = self.ray.wait([*self.at_work], num_returns=1, timeout=1.0)
            if self.able:
                deadline = time.monotonic() + PATIENCE
            elif time.monotonic() > deadline:
                raise OSError(
                    f"no actor found room in the cluster for {PATIENCE:.0f} s; it has "
                    f"{self.ray.available_resources()} free"
                )
            for result in done:
                actor, item = self.at_work.pop(result)
                answer = self.answer(result, actor, item, waiting)
                if item is None or answer is None:
                    continue
                made, frames, data = answer
                if not isinstance(made, str):
                    with whole_file(paths[item]) as temporary:
                        temporary.write_bytes(data)
                        sync_to_disk(temporary)
                unfinished.discard(item)
                finish(item, made)
                advance(frames)

    def hire(self) -> None:
        """Start an actor; it gets work once it has found room and is ready."""
        actor = self.start()
        self.at_work[actor.ready.remote()] = (actor, None)

    def give_out(self, waiting: deque[Item]) -> None:
        """Give every actor as many items as it may have at once."""
        busy = Counter(id(actor) for actor, item in self.at_work.values() if item is not None)
        for _ in range(IN_FLIGHT):
            for actor in self.able:
                if waiting and busy[id(actor)] < IN_FLIGHT:
                    item = waiting.popleft()
                    self.at_work[actor.convert.remote(item)] = (actor, item)
                    busy[id(actor)] += 1

    def answer(
        self, result: Any, actor: Any, item: Item | None, waiting: deque[Item]
    ) -> tuple[Made, int, bytes] | None:
        """Return what an actor answers; None if it was ready, or died and was replaced."""
        errors = self.ray.exceptions
        try:
            answer = self.ray.get(result)
        except errors.RayTaskError as error:
            raise error.cause or error from error
        except errors.RayError as error:
            if item is not None:
                waiting.appendleft(item)
                self.deaths[item] += 1
                if self.deaths[item] >= MOST_DEATHS:
                    raise OSError(
                        f"{MOST_DEATHS} actors died over {item.source}, which may be more than "
                        f"their memory holds: use smaller batches ({error})"
                    ) from error
            if actor in self.able:
                self.able.remove(actor)
                self.hire()
            elif item is None:
                self.hire()
            return None
        if item is None:
            self.able.append(actor)
        return answer

    def dismiss(self) -> None:
        """End all actors."""
        actors = {id(actor): actor for actor, _ in self.at_work.values()}
        actors |= {id(actor): actor for actor in self.able}
        for actor in actors.values():
            self.ray.kill(actor)


def _check_answer(address: str) -> None:
    """Ask a host and port at once: Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return  # "auto", "local"
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER).close()
    except OSError as error:
        raise ConnectionError(
            f"no Ray cluster answers at {address} ({error}); start one with ray start --head, or "
            "leave the address out for this machine alone"
        ) from error
