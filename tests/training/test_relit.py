"""Training on views lit anew, in miniature: rendered, trained, resumed, written, wrapped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from stemob_wrappers.backbones.card import psnr
from stemob_wrappers.backbones.folder import StemFolder
from stemob_wrappers.backbones.load import load_backbone
from stemob_wrappers.config import StemConfig
from stemob_wrappers.renders.views import ViewsPlan, write_views
from stemob_wrappers.stem.pipeline import StemPipeline
from stemob_wrappers.training.loop import LOG_FILE
from stemob_wrappers.training.relit import (
    RelitConfig,
    draw_batch,
    first_networks,
    train_on_views,
    with_heads,
)
from stemob_wrappers.training.repaint import Repainter
from stemob_wrappers.training.synthesis import TextureBank
from stemob_wrappers.training.view_crops import ViewSource

MINIATURE = RelitConfig(
    steps=4, batch_size=4, targets=("nominal", "roles"), context_blocks=1, deep_blocks=2
)


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("views")
    write_views(ViewsPlan(0, 0, "procedural", "table", "", 96, 4), folder)
    return folder


@pytest.fixture(scope="module")
def trained(views: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_on_views([views], tmp_path_factory.mktemp("run"), MINIATURE)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")


def test_every_target_becomes_a_backbone_that_wraps_frames(trained: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    stems = []
    for target in MINIATURE.targets:
        assert load_backbone(str(trained / target)).plain is not None
        config = StemConfig(backbone=str(trained / target), inversion_steps=5)
        stems.append(StemPipeline(config, cache=False)(frames))
    assert not np.array_equal(*stems)
    assert (trained / LOG_FILE).exists()


def test_a_resumed_run_comes_to_the_same_weights(
    views: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stemob_wrappers.training import relit

    draw = relit.draw_batch
    left = iter(range(3))

    def interrupted(*arguments: object) -> relit.Batch:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return draw(*arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(relit, "draw_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_on_views([views], tmp_path, MINIATURE, save_every=2)
    monkeypatch.setattr(relit, "draw_batch", draw)
    train_on_views([views], tmp_path, MINIATURE, save_every=2)
    for target in MINIATURE.targets:
        wanted = weights_of(trained / target)
        assert all(torch.equal(v, wanted[k]) for k, v in weights_of(tmp_path / target).items())


def test_a_checkpoint_of_other_settings_is_refused(views: Path, trained: Path) -> None:
    with pytest.raises(ValueError, match="use the same settings"):
        train_on_views([views], trained, replace(MINIATURE, hue=1.0))


def test_heads_begin_as_the_decoder_that_there_was() -> None:
    networks = first_networks(replace(MINIATURE, look_scale=0.5))
    latents = torch.randn(1, networks.plain.latent_channels, 8, 8)
    was = load_backbone("embedded-canonical").codec.module.decoder  # pyright: ignore
    with torch.inference_mode():
        pictures = with_heads(was, 3)(latents, torch.tensor([0.4])).chunk(3, 1)
        for picture in pictures:
            torch.testing.assert_close(picture, was(latents, torch.tensor([0.4])))


def test_the_plain_codec_stays_as_faithful_as_it_was(trained: Path) -> None:
    rng = np.random.default_rng(0)
    frames = np.repeat(np.repeat(rng.integers(0, 256, (2, 8, 8, 3), np.uint8), 8, 1), 8, 2)
    plain = StemFolder.named("embedded-canonical").plain
    assert plain is not None
    found = [
        psnr(frames, StemPipeline(StemConfig(backbone=b, inversion_steps=0), cache=False)(frames))
        for b in (str(plain.path), str(trained / "roles" / "plain"))
    ]
    np.testing.assert_allclose(found[0], found[1], atol=1.0)


def test_rendered_views_take_the_place_of_looks(views: Path) -> None:
    source, bank = ViewSource(views), TextureBank(5)
    config = replace(MINIATURE, repainted=0.0, filtered=0.0, targets=("roles",))
    with_renders, without = (
        draw_batch(
            np.random.default_rng(1), source, bank, Repainter(0.0), replace(config, rendered=r)
        )
        for r in (1.0, 0.0)
    )
    assert not torch.equal(with_renders.images[0], without.images[0])
    assert torch.equal(with_renders.images[1], without.images[1])


def test_a_plain_backbone_is_no_start() -> None:
    with pytest.raises(ValueError, match="goes on from a canonical backbone"):
        first_networks(replace(MINIATURE, start="embedded"))


def test_a_frozen_encoder_stays(views: Path, tmp_path: Path) -> None:
    config = replace(MINIATURE, frozen_encoder=True, targets=("roles",))
    out = train_on_views([views], tmp_path, config)
    before, after = (
        load_backbone(name).codec.module.encoder.state_dict()  # pyright: ignore
        for name in ("embedded-canonical", str(out / "roles"))
    )
    assert all(torch.equal(v, after[k]) for k, v in before.items())


def test_looks_drawn_ahead_give_the_same_weights(
    views: Path, tmp_path: Path, trained: Path
) -> None:
    train_on_views([views], tmp_path, MINIATURE, workers=1)
    wanted = weights_of(trained / "roles")
    assert all(torch.equal(v, wanted[k]) for k, v in weights_of(tmp_path / "roles").items())


def test_new_blocks_begin_as_nothing() -> None:
    images = torch.rand(1, 3, 32, 32)
    old, new = (
        first_networks(replace(MINIATURE, context_blocks=n, deep_blocks=2 * n)) for n in (1, 2)
    )
    with torch.inference_mode():
        pictures = [
            n.plain.eval().decode_with(n.canonical.eval(), n.plain.encode(images), 0.9)
            for n in (old, new)
        ]
    torch.testing.assert_close(*pictures)


def test_networks_of_other_widths_are_no_start(trained: Path) -> None:
    with pytest.raises(ValueError, match="at most as many blocks"):
        first_networks(replace(MINIATURE, start=str(trained / "roles"), context_blocks=0))
