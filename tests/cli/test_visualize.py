"""Frames of a demo as pictures, and the data set commands as a user types them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from command_line import stemob
from robomimic_files import contents, make_file

from stemob_wrappers.cli.visualize import visualize
from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets import invert_dataset, read_provenance
from stemob_wrappers.pictures import read_image
from stemob_wrappers.stem.pipeline import StemPipeline
from stemob_wrappers.videos import read_video

CONFIG = StemConfig(inversion_steps=5)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_file(tmp_path_factory.mktemp("source") / "demo.hdf5")


def test_raw_beside_stem(source: Path, tmp_path: Path) -> None:
    invert_dataset(source, tmp_path / "stem.hdf5", CONFIG, num_trajs=1)
    with h5py.File(source) as file:
        images: Any = file["data/demo_0/obs/eye_image"]
        raw = images[:]
    stems = StemPipeline(CONFIG)(raw)
    ways: list[tuple[Path, dict[str, Any]]] = [
        (tmp_path / "stem.hdf5", {"raw": source}),
        (source, {"config": CONFIG}),
    ]
    for number, (path, options) in enumerate(ways):
        folder = tmp_path / str(number)
        assert visualize(path, folder, key="eye_image", every=2, **options) == 3
        picture = read_image(folder / "image_4.png")
        np.testing.assert_array_equal(picture[:, :16], raw[4])
        assert np.abs(picture[:, 16:].astype(int) - stems[4]).max() <= 1
    with pytest.raises(ValueError, match="stem frames already"):
        visualize(tmp_path / "stem.hdf5", tmp_path, config=CONFIG)
    assert visualize(source, tmp_path / "demo.mp4") == 6
    assert sum(1 for _ in read_video(tmp_path / "demo.mp4")) == 6


def test_unknown_demo_and_image(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no demo 'demo_9'"):
        visualize(source, tmp_path, demo="demo_9")
    with pytest.raises(ValueError, match="'agentview_image', 'eye_image'"):
        visualize(source, tmp_path, key="front")


def test_the_originals_flags(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "stem.hdf5"
    result = stemob(
        "invert-dataset", "--original_file", source, "--new_file", target, "--obs_key", "eye_image",
        "--num_trajs", 2, "--model", "ddpm", "--num_steps", 50, "--inversion_steps", 5,
        "--image_size", 32, "--batch_size", 4, "--verify",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "2 items" in result.stdout
    assert "verified" in result.stdout
    made_by = read_provenance(target)
    assert made_by["config"] == CONFIG.replace(resolution=32).to_dict()
    assert made_by["selection"]["keys"] == ["eye_image"]
    result = stemob(
        "visualize", "--input_hdf5_path", target, "--output_folder", tmp_path / "pictures",
        "--demo", "demo_1", "--obs_key", "eye_image",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert len(list((tmp_path / "pictures").glob("image_*.png"))) == 6


def test_shards_on_the_command_line(source: Path, tmp_path: Path) -> None:
    whole, target = tmp_path / "whole.hdf5", tmp_path / "merged.hdf5"
    invert_dataset(source, whole, CONFIG)
    shards = [tmp_path / f"{index}.hdf5" for index in range(2)]
    for index, shard in enumerate(shards):
        invert_dataset(source, shard, CONFIG, shard=(index, 2))
    assert stemob("merge-shards", target, *shards).returncode == 0
    assert contents(target) == contents(whole)
    result = stemob("merge-shards", target, *shards)
    assert result.returncode == 2
    assert "--overwrite" in result.stderr


def test_cache_commands(tmp_path: Path) -> None:
    from stemob_wrappers.cache import FrameCache

    cache = FrameCache(tmp_path)
    for number in range(5):
        cache.put(bytes([number]) * 16, np.full((8, 8, 3), number, np.uint8))
    assert "5 frames" in stemob("cache", "stats", "--path", tmp_path).stdout
    torn = next(path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size > 99)
    torn.write_bytes(b"torn")
    result = stemob("cache", "verify", "--path", tmp_path)
    assert (result.returncode, str(torn) in result.stdout) == (1, True)
    assert "4 sound, 1 unsound" in result.stdout
    assert stemob("cache", "prune", "--bytes", 8192, "--path", tmp_path).stdout.startswith("4")
    assert stemob("cache", "clear", "--path", tmp_path).stdout.startswith("1")
