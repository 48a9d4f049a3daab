"""Crops of views: what is drawn, from where, and what stays in memory."""

from __future__ import annotations

import gc
import resource
from pathlib import Path

import numpy as np
import pytest
import torch

from stemob_wrappers.renders.views import ROLES, ViewsPlan, write_views
from stemob_wrappers.training.view_crops import CROP, SIZES, SKY, ViewSource, mirrored


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("views")
    for index in range(2):
        write_views(ViewsPlan(0, index, "procedural", "table", "", 96, 4), folder)
    return folder


def test_crops_are_whole_and_consistent(folder: Path) -> None:
    source = ViewSource(folder)
    for seed in range(6):
        crops = source.draw(np.random.default_rng(seed), 4)
        size = crops.nominal.shape[1]
        assert crops.nominal.shape == (4, size, size, 3)
        assert size in {min(CROP, s) for s in SIZES}
        assert crops.geoms.max() < crops.roles.shape[1]
        sky = crops.of_pixels(crops.roles) == SKY
        assert torch.equal(sky, crops.geoms == crops.roles.shape[1] - 1)
        lengths = crops.normals[~sky].norm(dim=-1)
        torch.testing.assert_close(lengths, torch.ones_like(lengths), atol=0.02, rtol=0)


def test_the_same_generator_draws_the_same_crops(folder: Path) -> None:
    source = ViewSource(folder)
    first, again, other = (source.draw(np.random.default_rng(s), 2) for s in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.nominal, other.nominal)


def test_most_crops_show_an_object(folder: Path) -> None:
    crops = [ViewSource(folder).draw(np.random.default_rng(s), 4) for s in range(10)]
    shown = [
        (c.of_pixels(c.roles) == ROLES.index("object")).flatten(1).any(1).float().mean()
        for c in crops
    ]
    assert float(np.mean(shown)) > 0.6


def test_a_mirror_keeps_what_belongs_together(folder: Path) -> None:
    crops = ViewSource(folder).draw(np.random.default_rng(0), 2)
    seen = mirrored(crops)
    assert torch.equal(seen.nominal.flip(2), crops.nominal)
    assert torch.equal(mirrored(seen).geoms, crops.geoms)


def test_memory_stays_flat(folder: Path) -> None:
    source = ViewSource(folder)
    rng = np.random.default_rng(0)
    for _ in range(20):
        source.draw(rng, 4)
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(200):
        source.draw(rng, 4)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kB


def test_an_empty_folder_is_refused_with_the_command_that_fills_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"renders\.views --out"):
        ViewSource(tmp_path)
