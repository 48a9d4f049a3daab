"""A real Ray cluster makes the bytes that one process makes, though nodes and actors are lost."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster
from robomimic_files import contents, make_file

from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets import invert_dataset
from stemob_wrappers.datasets.part import convert_part
from stemob_wrappers.datasets.ray import _Actor, room_for
from stemob_wrappers.datasets.robomimic.source import RobomimicSource
from stemob_wrappers.datasets.stems import Stems

CONFIG = StemConfig(inversion_steps=5)


@pytest.fixture(scope="module", autouse=True)
def niceness() -> Iterator[None]:
    """Ray starts its workers with niceness 15: a busy machine would never come to them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_file(tmp_path_factory.mktemp("source") / "demo.hdf5", demos=6)


@pytest.fixture(scope="module")
def expected(source: Path) -> dict[str, Any]:
    invert_dataset(source, source.with_name("stem.hdf5"), CONFIG)
    return contents(source.with_name("stem.hdf5"))


def test_an_address_that_nobody_answers_at_is_said(source: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(ConnectionError, match=r"no Ray cluster answers at 127\.0\.0\.1:9"):
        invert_dataset(source, tmp_path / "stem.hdf5", CONFIG, engine="ray=127.0.0.1:9")
    assert time.monotonic() - started < 30
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="engine must be"):
        invert_dataset(source, tmp_path / "stem.hdf5", CONFIG, engine="dask")


def test_an_actor_sends_the_part_that_this_process_writes(source: Path, tmp_path: Path) -> None:
    reader = RobomimicSource(source)
    item, settings = reader.items()[0], {"config": CONFIG, "cache": None}
    actor = _Actor(reader, settings)
    actor.ready()
    made, frames, data = actor.convert(item)
    path = tmp_path / "demo_0.hdf5"
    assert made == convert_part(reader, item, Stems(**settings), path, lambda _: None)
    assert (frames, data) == (24, path.read_bytes())
    with pytest.raises(FileNotFoundError, match="every node needs it under the same path"):
        _Actor(RobomimicSource(tmp_path / "none.hdf5"), settings).ready()


@pytest.mark.slow
def test_one_node_makes_the_bytes_of_one_process(
    source: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    ray.init(num_cpus=1, log_to_driver=False, include_dashboard=False)
    try:
        target = tmp_path / "stem.hdf5"
        summary = invert_dataset(source, target, CONFIG, engine="ray")
        assert (summary.items, summary.frames, summary.failed) == (6, 6 * 24, [])
        assert contents(target) == expected
        with pytest.raises(ValueError, match="cluster has no GPU"):
            room_for("cuda")
    finally:
        ray.shutdown()


@pytest.mark.slow
def test_a_node_removed_half_way_costs_only_its_parts(tmp_path: Path) -> None:
    source = make_file(tmp_path / "demo.hdf5", demos=30, length=20, size=64)
    invert_dataset(source, tmp_path / "alone.hdf5", CONFIG)
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False},
    )
    second = cluster.add_node(num_cpus=1)
    ray.init(cluster.address, log_to_driver=False)
    try:
        cluster.wait_for_nodes()
        assert room_for("cpu") == 2
        target = tmp_path / "stem.hdf5"
        removed: list[int] = []

        def remove() -> None:
            done = target.with_name("stem.hdf5.parts") / "done.jsonl"
            while not done.exists() or done.read_text().count("demo_") < 5:
                time.sleep(0.05)
            cluster.remove_node(second, allow_graceful=False)
            removed.append(done.read_text().count("demo_"))

        thread = threading.Thread(target=remove, daemon=True)
        thread.start()
        summary = invert_dataset(source, target, CONFIG, engine="ray")
        thread.join(timeout=60)
        assert removed, "the node was to go before the end"
        assert 5 <= removed[0] < 30
        assert summary.failed == []
        assert contents(target) == contents(tmp_path / "alone.hdf5")
        print(f"node removed after {removed[0]} of 30 parts on {os.cpu_count()} cores: {summary}")
    finally:
        ray.shutdown()
        cluster.shutdown()
