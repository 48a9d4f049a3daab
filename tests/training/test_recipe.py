"""From views, an env or recorded frames to a folder that the wrappers take, in miniature."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from stemob_wrappers.config import StemConfig
from stemob_wrappers.pictures import write_image
from stemob_wrappers.renders import env_views
from stemob_wrappers.renders.views import ViewsPlan, write_views
from stemob_wrappers.stem.pipeline import StemPipeline
from stemob_wrappers.training import recipe
from stemob_wrappers.training.recipe import make_backbone
from stemob_wrappers.training.relit import RelitConfig

FRAMES = np.zeros((2, 32, 32, 3), np.uint8)
TINY = RelitConfig(steps=2, batch_size=4)
HELD_OUT = recipe._held_out  # as it is outside these tests


@pytest.fixture(autouse=True)
def without_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "SIZES", (32,))
    monkeypatch.setattr(
        recipe, "_held_out", lambda size, *_: np.zeros((1, 2, size, size, 3), np.uint8)
    )


def stems_of(folder: Path, method: str = "ddpm") -> np.ndarray:
    config = StemConfig.from_json(json.dumps({"backbone": str(folder), "method": method}))
    return StemPipeline(config, cache=False)(FRAMES)


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("views")
    write_views(ViewsPlan(0, 0, "procedural", "table", "", 96, 4), folder)
    return folder


def test_views_give_a_canonical_backbone_for_every_method(views: Path, tmp_path: Path) -> None:
    out = make_backbone(
        tmp_path / "mine",
        TINY,
        canonical=True,
        views=views,
        num_scenes=0,
        denoiser_steps=1,
        command="stemob train-backbone",
    )
    card = (out / "README.md").read_text()
    assert "stemob train-backbone" in card
    assert "4 views of 1 rendered MuJoCo scenes" in card
    assert "Never trained on: Stack, ToolHang" in card
    assert "all else (table, floor, walls, fixtures, sky) in one even grey" in card
    assert "plain" in json.loads((out / "model_index.json").read_text())
    for folder in (out, out / "plain"):
        for method in ("ddpm", "ddim"):
            assert stems_of(folder, method).shape == FRAMES.shape


def test_an_env_is_held_out_through_each_camera_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "default_scenes_dir", lambda: tmp_path)
    for cameras in ((), ("track",)):
        assert HELD_OUT(16, "HalfCheetah-v5", cameras).shape[2:] == (16, 16, 3)


def test_a_users_env_gives_a_plain_backbone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(env_views, "VIEWS", 2)
    where = {"views": tmp_path / "views", "num_scenes": 1, "denoiser_steps": 0}
    out = make_backbone(tmp_path / "mine", TINY, env_id="HalfCheetah-v5", **where)
    assert len(list((tmp_path / "views").iterdir())) == 1
    card = (out / "README.md").read_text()
    assert "of HalfCheetah-v5 through its own camera" in " ".join(card.split())
    # The env may be any of those that the shipped backbone never saw.
    assert "Never trained on: the `dev` and `test`" in card
    assert "plain" not in json.loads((out / "model_index.json").read_text())
    assert stems_of(out).shape == FRAMES.shape


def test_recorded_frames_are_enough(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for index in range(3):
        pixels = rng.integers(0, 256, (8, 12, 3), np.uint8).repeat(9, 0).repeat(9, 1)
        write_image(tmp_path / "frames" / f"{index}.png", pixels)
    out = make_backbone(
        tmp_path / "mine", TINY, frames=tmp_path / "frames", canonical=True, denoiser_steps=1
    )
    assert "3 recorded images" in (out / "README.md").read_text()
    assert stems_of(out).shape == FRAMES.shape


def test_too_few_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds 0 images"):
        make_backbone(tmp_path / "mine", TINY, frames=tmp_path)
    assert not (tmp_path / "mine").exists()
