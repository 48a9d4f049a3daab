"""One rule of what an image is, for the wrapper, the converter and the verifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from stemob_wrappers import StemObservation
from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets import invert_dataset, read_provenance, verify_dataset
from stemob_wrappers.datasets.robomimic.images import why_no_image
from stemob_wrappers.stem.pipeline import StemPipeline
from stemob_wrappers.wrappers.spaces import find_images

CONFIG = StemConfig(inversion_steps=5)
RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 256, (3, 16, 16, 3), np.uint8)
FLOATS = (FRAMES / 255).astype(np.float32)

SIDES = st.lists(st.sampled_from([1, 2, 3, 4, 6, 7, 8, 12, 16]), min_size=1, max_size=4)
DTYPES = st.sampled_from(["u1", "i1", "u2", "i8", "f2", "f4", "f8", "?"])


@given(shape=SIDES.map(tuple), dtype=DTYPES)
def test_wrapper_and_converter_call_the_same_arrays_images(
    shape: tuple[int, ...], dtype: str
) -> None:
    kind = np.dtype(dtype)
    if kind == np.bool_:
        space: spaces.Space = spaces.MultiBinary(shape)
    else:
        top = 1 if kind.kind == "f" else min(255, np.iinfo(kind).max)
        space = spaces.Box(0, top, shape, kind.type)
    with h5py.File("in memory", "w", driver="core", backing_store=False) as file:
        recorded = why_no_image(file.create_dataset("a", (5, *shape), kind))
    assert (recorded == "") == bool(find_images(space))


OTHERS: dict[str, tuple[Any, str]] = {
    "rgba": (np.zeros((3, 16, 16, 4), np.uint8), "(16, 16, 4), not RGB"),
    "grey": (np.zeros((3, 16, 16), np.uint8), "(16, 16), not RGB"),
    "deep": (np.zeros((3, 16, 16, 3), np.uint16), "uint16, not uint8"),
    "nan": (np.full((3, 16, 16, 3), np.nan), "nan"),
    "points": (FLOATS * 3 - 1, "lie in [0, 1]"),
    "front_depth": (FRAMES, "speaks of depth"),
}


def write(path: Path, **arrays: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[f"data/demo_0/obs/{name}"] = array
    return path


def test_floats_and_other_layouts_become_stem_frames(tmp_path: Path) -> None:
    planes = np.moveaxis(FRAMES, -1, 1)
    source = write(tmp_path / "demo.hdf5", front=FRAMES, floats=FLOATS, planes=planes)
    summary = invert_dataset(source, tmp_path / "stem.hdf5", CONFIG)
    assert (summary.failed, summary.left_out) == ([], [])
    assert read_provenance(tmp_path / "stem.hdf5")["converted"] == ["floats", "front", "planes"]
    assert verify_dataset(source, tmp_path / "stem.hdf5") == []
    expected = StemPipeline(CONFIG)(FRAMES).astype(int)
    with h5py.File(tmp_path / "stem.hdf5") as file:
        obs: Any = file["data/demo_0/obs"]
        assert obs["floats"].dtype == np.float32
        stems = [obs["front"], obs["floats"][:] * 255, np.moveaxis(obs["planes"][:], 1, -1)]
        assert max(np.abs(expected - stem).max() for stem in stems) <= 1.01


def test_what_is_left_as_it_was_is_listed_with_the_reason(tmp_path: Path) -> None:
    arrays = {name: array for name, (array, _) in OTHERS.items()}
    source = write(tmp_path / "demo.hdf5", front=FRAMES, state=np.zeros((3, 9)), **arrays)
    with h5py.File(source, "a") as file:
        jpegs = file.create_dataset("data/demo_0/obs/jpegs", 3, h5py.vlen_dtype(np.uint8))
        jpegs[0] = np.zeros(5, np.uint8)
        file["data/demo_0/obs/words"] = ["of", "a", "task"]
        file["data/demo_0/images/front"] = FRAMES
    summary = invert_dataset(source, tmp_path / "stem.hdf5", CONFIG)
    assert summary.failed == []
    listed = dict(text.split(": ", 1) for text in summary.left_out)
    expected = {name: reason for name, (_, reason) in OTHERS.items()}
    expected |= {"jpegs": "varying length", "images/front": "outside of obs"}
    assert listed.keys() == expected.keys()
    assert all(expected[name] in listed[name] for name in expected)
    assert f"left as it was: {summary.left_out[0]}" in str(summary)
    assert verify_dataset(source, tmp_path / "stem.hdf5") == []
    with h5py.File(tmp_path / "stem.hdf5") as file:
        for name, array in arrays.items():
            kept: Any = file[f"data/demo_0/obs/{name}"]
            np.testing.assert_array_equal(kept[:], array)


def test_a_demo_that_differs_from_the_others_fails_by_name(tmp_path: Path) -> None:
    source = write(tmp_path / "demo.hdf5", front=FRAMES, floats=FLOATS)
    with h5py.File(source, "a") as file:
        for demo, floats in ((1, FLOATS * np.nan), (2, np.zeros((3, 16, 16, 4), np.uint8))):
            file[f"data/demo_{demo}/obs/front"] = FRAMES
            file[f"data/demo_{demo}/obs/floats"] = floats
    summary = invert_dataset(source, tmp_path / "stem.hdf5", CONFIG)
    assert summary.items == 1
    assert "NaN" in summary.failed[0]
    assert summary.failed[1].startswith("demo_2: obs/floats is converted elsewhere, but here")


def test_a_key_that_is_named_wins_over_the_guess(tmp_path: Path) -> None:
    source = write(tmp_path / "demo.hdf5", front=FRAMES, flow=FRAMES)
    invert_dataset(source, tmp_path / "stem.hdf5", CONFIG, keys=["flow"])
    assert read_provenance(tmp_path / "stem.hdf5")["converted"] == ["flow"]
    assert verify_dataset(source, tmp_path / "stem.hdf5") == []
    other = write(tmp_path / "other.hdf5", front=FRAMES, rgba=OTHERS["rgba"][0])
    with pytest.raises(ValueError, match=r"no image 'rgba' .* rgba: its frames are"):
        invert_dataset(other, tmp_path / "b.hdf5", CONFIG, keys=["rgba"])
    other = write(tmp_path / "other.hdf5", rgba=OTHERS["rgba"][0])
    with pytest.raises(ValueError, match="no image to convert"):
        invert_dataset(other, tmp_path / "b.hdf5", CONFIG)


class Camera(gym.Env):
    """Two cameras, one of floats."""

    observation_space = spaces.Dict(
        front=spaces.Box(0, 255, (16, 16, 3), np.uint8),
        wrist=spaces.Box(0, 1, (16, 16, 3), np.float32),
    )
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        return {"front": FRAMES[0], "wrist": FLOATS[0]}, {}


@pytest.mark.parametrize("wrist", [FLOATS, FLOATS * np.nan])
def test_expect_compares_what_was_converted(tmp_path: Path, wrist: Any) -> None:
    """Keys that the wrapper would touch and the data set has raw are an error, and no others."""
    source = write(tmp_path / "demo.hdf5", front=FRAMES, wrist=wrist)
    target = str(tmp_path / "stem.hdf5")
    invert_dataset(source, target, CONFIG)
    if np.isnan(wrist).any():
        with pytest.raises(ValueError, match=r"wrist differ; pass keys=\['front'\]"):
            StemObservation(Camera(), CONFIG, expect=target)
        StemObservation(Camera(), CONFIG, expect=target, keys=["front"])
    else:
        StemObservation(Camera(), CONFIG, expect=target)
        with pytest.raises(ValueError, match="wrist differ"):
            StemObservation(Camera(), CONFIG, expect=target, keys=["front"])
