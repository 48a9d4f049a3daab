"""What is loaded of a family, what its fingerprint covers, and what is refused by name."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_families
import tiny_models
from tiny_families import diffusers

from stemob_wrappers import StemConfig, StemPipeline
from stemob_wrappers.backbones.load import load_backbone

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 21, 30, 3), np.uint8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("families")
    names = [*tiny_families.PIPELINES, "qwen-image"]
    return {name: tiny_families.save(root, name)[0] for name in names}


def copy_of(folder: str, to: Path, *without: str) -> Path:
    shutil.copytree(folder, to)
    for part in without:
        for path in to.glob(part):
            shutil.rmtree(path)
    return to


@pytest.mark.parametrize("method", ["ddpm", "ddim", "ddim-renoise", "ddim-warm"])
@pytest.mark.parametrize("name", tiny_families.PIPELINES)
def test_family_and_method_through_the_pipeline(
    folders: dict[str, str], name: str, method: Any
) -> None:
    pipeline = StemPipeline(StemConfig(backbone=folders[name], method=method, inversion_steps=3))
    stems = pipeline(FRAMES)
    assert stems.shape == FRAMES.shape
    assert stems.std() > 0
    alone = StemPipeline(pipeline.config, cache=False)(FRAMES[1:])
    assert np.abs(alone.astype(int) - stems[1:]).max() <= 1


@pytest.mark.parametrize("name", tiny_families.PIPELINES)
def test_the_forward_path_needs_neither_denoiser_nor_text(
    folders: dict[str, str], tmp_path: Path, name: str
) -> None:
    parts = ("unet", "transformer", "text_encoder*", "tokenizer*")
    bare = copy_of(folders[name], tmp_path / "bare", *parts)
    config = StemConfig(backbone=folders[name])
    pipeline = StemPipeline(config.replace(backbone=str(bare)))
    assert pipeline.fingerprint == StemPipeline(config).fingerprint
    np.testing.assert_array_equal(pipeline(FRAMES), StemPipeline(config, cache=False)(FRAMES))
    with pytest.raises(OSError, match=r"could not be loaded from (unet|transformer)"):
        load_backbone(str(bare), denoiser=True)


@pytest.mark.parametrize("name", tiny_families.PIPELINES)
def test_parts_without_an_index_are_told_by_their_denoiser(
    folders: dict[str, str], tmp_path: Path, name: str
) -> None:
    parts = copy_of(folders[name], tmp_path / "parts")
    (parts / "model_index.json").unlink()
    whole, found = (load_backbone(str(folder)) for folder in (folders[name], parts))
    assert found.digest == whole.digest
    assert found.schedule.describe() == whole.schedule.describe()


CHANGES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("sd3", "scheduler/scheduler_config.json", {"shift": 2.0}),
    ("sd3", "vae/config.json", {"shift_factor": 0.1}),
    ("sd3", "vae/config.json", {"scaling_factor": 1.0}),
    ("flux-dev", "scheduler/scheduler_config.json", {"max_shift": 1.0}),
    ("flux-dev", "scheduler/scheduler_config.json", {"use_dynamic_shifting": False}),
    ("sana", "scheduler/scheduler_config.json", {"flow_shift": 2.0}),
    ("sana", "vae/config.json", {"scaling_factor": 1.0}),
    ("pixart-sigma", "scheduler/scheduler_config.json", {"timestep_spacing": "trailing"}),
    ("lcm", "scheduler/scheduler_config.json", {"_class_name": "DDIMScheduler"}),
    ("sdxl", "vae/config.json", {"latents_mean": [0, 0, 0, 1], "latents_std": [1, 1, 1, 2]}),
    ("qwen-image", "config.json", {"latents_mean": [0.5] * 16}),
    ("qwen-image", "config.json", {"latents_std": [0.5] * 16}),
)
PROMPT_CHANGES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("sdxl", "text_encoder_2/config.json", {"hidden_act": "gelu"}),
    ("sd3", "text_encoder_3/config.json", {"layer_norm_epsilon": 0.1}),
    ("sd3", "tokenizer/tokenizer_config.json", {"model_max_length": 5}),
    ("flux-dev", "transformer/config.json", {"axes_dims_rope": [4, 2, 2]}),
    ("flux-dev", "transformer/config.json", {"guidance_embeds": False}),
    ("sana", "text_encoder/config.json", {"query_pre_attn_scalar": 3}),
    ("sana", "transformer/config.json", {"timestep_scale": 0.5}),
    ("pixart-sigma", "model_index.json", {"_class_name": "PixArtAlphaPipeline"}),
)


@pytest.mark.parametrize(("name", "file", "fields"), [*CHANGES, *PROMPT_CHANGES], ids=str)
def test_whatever_decides_the_bytes_is_in_the_digest(
    folders: dict[str, str], tmp_path: Path, name: str, file: str, fields: dict[str, Any]
) -> None:
    other = copy_of(folders[name], tmp_path / "other")
    path = other / file
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    asked = (name, file, fields) in PROMPT_CHANGES
    first, second = (load_backbone(str(f), denoiser=asked) for f in (folders[name], other))
    assert first.digest != second.digest


def test_the_text_encoders_weights_join_the_fingerprint(
    folders: dict[str, str], tmp_path: Path
) -> None:
    other = copy_of(folders["sd3"], tmp_path / "other")
    encoder, _ = tiny_families.t5()
    encoder.shared.weight.data[0, 0] += 1
    encoder.save_pretrained(other / "text_encoder_3")
    digests = {load_backbone(f, denoiser=True).digest for f in (folders["sd3"], str(other))}
    assert len(digests) == 2
    backbone = load_backbone(folders["sd3"], denoiser=True)
    names = {type(module).__name__ for module in backbone.denoiser.modules()}
    assert not [name for name in names if "CLIP" in name or "T5" in name]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("text_encoder_2", "the text encoder of .* could not be loaded from text_encoder_2"),
        ("tokenizer_3", "holds neither tokenizer_3/vocab.json"),
        ("transformer", "the denoiser of .* could not be loaded from transformer"),
    ],
)
def test_a_missing_part_is_named(
    folders: dict[str, str], tmp_path: Path, part: str, said: str
) -> None:
    folder = copy_of(folders["sd3"], tmp_path / "copy", part)
    with pytest.raises(OSError, match=said):
        load_backbone(str(folder), denoiser=True)


def write(path: Path, **fields: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(fields))


def test_an_unknown_pipeline_is_refused_with_what_is_missing(tmp_path: Path) -> None:
    write(
        tmp_path / "model_index.json",
        _class_name="QwenImagePipeline",
        transformer=["diffusers", "QwenImageTransformer2DModel"],
        vae=["diffusers", "AutoencoderKLQwenImage"],
        scheduler=["diffusers", "FlowMatchEulerDiscreteScheduler"],
    )
    said = (
        r"is a QwenImagePipeline, which is not supported: there is no adapter for its transformer "
        r"QwenImageTransformer2DModel. Its autoencoder alone is supported.*SDXL|FluxPipeline"
    )
    with pytest.raises(ValueError, match=said):
        load_backbone(str(tmp_path))


@pytest.mark.parametrize(
    ("scheduler", "said"),
    [
        ({"_class_name": "EDMEulerScheduler"}, "is a EDMEulerScheduler, whose noise levels"),
        ({"_class_name": "SCMScheduler"}, "is a SCMScheduler, whose noise levels"),
        (
            {"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": True},
            "with use_flow_sigmas, whose noise levels",
        ),
        (
            {"_class_name": "FlowMatchEulerDiscreteScheduler", "invert_sigmas": True},
            "sets invert_sigmas, which is not supported",
        ),
        (
            {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": float("nan")},
            "shift must lie in",
        ),
        (
            {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 10**13},
            "num_train_timesteps must lie in",
        ),
    ],
)
def test_a_scheduler_of_unknown_levels_is_refused(
    tmp_path: Path, scheduler: dict[str, Any], said: str
) -> None:
    """Without an index too: it would run on the default betas in silence."""
    tiny_models.kl_autoencoder().save_pretrained(tmp_path / "vae")
    write(tmp_path / "scheduler" / "scheduler_config.json", **scheduler)
    with pytest.raises(ValueError, match=said):
        load_backbone(str(tmp_path))


def test_a_codec_and_a_flow_without_index_are_a_flow(tmp_path: Path) -> None:
    tiny_families.codec_kl().save_pretrained(tmp_path / "vae")
    diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(tmp_path / "scheduler")
    schedule = load_backbone(str(tmp_path)).schedule
    assert type(schedule).__name__ == "FlowSchedule"
    assert StemPipeline(StemConfig(backbone=str(tmp_path)))(FRAMES).std() > 0


def test_a_family_of_flows_refuses_another_schedule(
    folders: dict[str, str], tmp_path: Path
) -> None:
    other = copy_of(folders["sd3"], tmp_path / "other")
    diffusers.DDIMScheduler().save_pretrained(other / "scheduler")
    with pytest.raises(ValueError, match="predicts velocities, but its scheduler is a DDIM"):
        load_backbone(str(other))


def test_a_bare_codec_has_no_denoiser(folders: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"is an autoencoder alone and has no denoiser.*ddpm"):
        StemPipeline(StemConfig(backbone=folders["qwen-image"], method="ddim"))


def test_a_codec_of_other_latents_is_refused(folders: dict[str, str]) -> None:
    config = StemConfig(backbone=folders["flux-dev"], codec=folders["sdxl"])
    with pytest.raises(ValueError, match=r"makes latents of 4 channels, but .* works on 16"):
        StemPipeline(config)


def test_a_codec_of_another_family_may_take_the_place_of_ones_own(
    folders: dict[str, str],
) -> None:
    config = StemConfig(backbone=folders["sd3"])
    other = config.replace(codec=folders["flux-dev"])
    assert StemPipeline(other).fingerprint != StemPipeline(config).fingerprint
    assert StemPipeline(other)(FRAMES).std() > 0


def test_a_text_encoder_that_is_none_is_refused(folders: dict[str, str], tmp_path: Path) -> None:
    other = copy_of(folders["sana"], tmp_path / "other")
    index = json.loads((other / "model_index.json").read_text())
    write(other / "model_index.json", **index | {"text_encoder": ["os", "system"]})
    with pytest.raises(ValueError, match=r"names 'system' as its text_encoder, which is no"):
        load_backbone(str(other), denoiser=True)
    write(other / "model_index.json", **index | {"text_encoder": [None, None]})
    with pytest.raises(ValueError, match=r"has no text encoder.*method='ddpm'"):
        load_backbone(str(other), denoiser=True)


def test_threads_may_share_a_codec_that_keeps_its_state(folders: dict[str, str]) -> None:
    pipeline = StemPipeline(StemConfig(backbone=folders["qwen-image"]), cache=False)
    expected, found = pipeline(FRAMES), []
    threads = [
        threading.Thread(target=lambda: found.append([pipeline(FRAMES) for _ in range(5)]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for stems in found:
        for stem in stems:
            np.testing.assert_array_equal(stem, expected)
