"""Textures: the same bytes for the same name, a split that keeps what is held out apart."""

import hashlib
import importlib.util
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemob_wrappers.scene.textures import (
    FAMILIES,
    draw_texture,
    image_textures,
    load_texture,
    make_texture,
)
from stemob_wrappers.splits import SEEDS, SPLITS

NOT_TILING = {"gradient", "ripples"}


def digest_of_all() -> str:
    """One digest over a texture of every family."""
    pixels = b"".join(make_texture(family, 11, 32).tobytes() for family in FAMILIES)
    return hashlib.sha256(pixels).hexdigest()


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(list(FAMILIES)), st.integers(0, 2**40), st.integers(2, 96))
def test_a_texture_is_an_image_and_comes_out_the_same_twice(family, seed, size):
    first = make_texture(family, seed, size)
    assert first.shape == (size, size, 3)
    assert first.dtype == np.uint8
    assert first.flags.c_contiguous
    assert np.array_equal(first, make_texture(family, seed, size))


def test_another_process_draws_the_same_bytes():
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_textures; print(test_textures.digest_of_all())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == digest_of_all()


@pytest.mark.parametrize("family", FAMILIES)
def test_seeds_of_a_family_differ(family):
    drawn = {make_texture(family, seed, 48).tobytes() for seed in range(12)}
    assert len(drawn) == 12


def test_families_differ_at_the_same_seed():
    drawn = {make_texture(family, 5, 48).tobytes() for family in FAMILIES}
    assert len(drawn) == len(FAMILIES)


def test_colours_are_varied():
    """Every channel is high in some textures and low in others, in every split."""
    for families in SPLITS.values():
        means = [
            make_texture(family, seed, 32).mean(axis=(0, 1))
            for family in families
            for seed in range(20)
        ]
        spread = np.percentile(means, 90, axis=0) - np.percentile(means, 10, axis=0)
        assert spread.min() > 60, families


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - NOT_TILING))
def test_a_tiling_family_has_no_seam(family):
    """The step from the last row (column) to the first is like one inside the texture."""
    for seed in range(5):
        pixels = make_texture(family, seed, 96).astype(int)
        for axis in (0, 1):
            steps = np.abs(pixels - np.roll(pixels, 1, axis)).mean(axis=(1 - axis, 2))
            assert steps[0] <= 1.5 * steps[1:].max() + 2.0


def test_the_split_holds_each_family_once_and_the_last_third_out():
    families = list(FAMILIES)
    assert len(families) >= 12
    assert [*SPLITS["train"], *SPLITS["dev"], *SPLITS["test"]] == families
    held_out = {*SPLITS["dev"], *SPLITS["test"]}
    assert held_out == set(families[-(len(families) // 3) :])
    assert SPLITS["dev"]
    assert SPLITS["test"]


def test_seed_ranges_are_disjoint():
    ranges = sorted(SEEDS.values(), key=lambda seeds: seeds.start)
    assert set(SEEDS) == set(SPLITS)
    assert all(a.stop <= b.start for a, b in pairwise(ranges))


@pytest.mark.parametrize("split", SPLITS)
def test_a_drawn_texture_belongs_to_its_split(split):
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(40):
        family, seed, pixels = draw_texture(split, rng, 16)
        assert seed in SEEDS[split]
        assert np.array_equal(pixels, make_texture(family, seed, 16))
        seen.add(family)
    assert seen <= set(SPLITS[split])
    assert len(seen) > 1


@pytest.mark.parametrize(
    ("family", "seed", "size", "said"),
    [("velvet", 0, 8, "velvet"), ("plain", -1, 8, "seed=-1"), ("plain", 0, 1, "size=1")],
)
def test_a_wrong_argument_is_named(family, seed, size, said):
    with pytest.raises(ValueError, match=said):
        make_texture(family, seed, size)


def test_images_of_a_folder_load_as_textures():
    package = importlib.util.find_spec("robosuite")
    if package is None or package.origin is None:
        pytest.skip("robosuite is not installed")
    files = image_textures(Path(package.origin).parent / "models" / "assets" / "textures")
    assert files == sorted(files)
    assert len(files) > 10
    assert load_texture(files[0], 24).shape == (24, 24, 3)


def test_a_loaded_texture_is_rgb(tmp_path):
    red = np.full((10, 30, 3), (250, 20, 30), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "red.png"), cv2.cvtColor(red, cv2.COLOR_RGB2BGR))
    (tmp_path / "notes.txt").write_text("no image")
    (path,) = image_textures(tmp_path)
    assert np.array_equal(load_texture(path, 5), red[:5, :5])


def test_a_folder_without_images_is_one_clear_error(tmp_path):
    with pytest.raises(ValueError, match="without any"):
        image_textures(tmp_path)
    with pytest.raises(ValueError, match="missing"):
        image_textures(tmp_path / "missing")


@pytest.mark.parametrize("content", [b"", b"not an image at all"])
def test_a_file_that_is_no_image_is_one_clear_error(tmp_path, content):
    (tmp_path / "fake.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"fake\.png"):
        load_texture(tmp_path / "fake.png")
    with pytest.raises(ValueError, match=r"gone\.png"):
        load_texture(tmp_path / "gone.png")
