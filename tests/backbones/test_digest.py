"""Whatever decides the bytes is in the digest, and nothing else is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import tiny_pipelines
from hypothesis import given
from hypothesis import strategies as st

from stemob_wrappers import FrameCache, StemConfig, StemPipeline
from stemob_wrappers.backbones.digest import IGNORED, Network, Tensor, model_digest
from stemob_wrappers.backbones.folder import EMBEDDED, WEIGHTS, StemFolder
from stemob_wrappers.backbones.load import load_backbone


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("digests")
    return {
        "stem": tiny_pipelines.save_stem(root / "stem"),
        "stable-diffusion": tiny_pipelines.save_stable_diffusion(root / "sd"),
        "pixels": tiny_pipelines.save_pixel_ddpm(root / "pixels", flat=False),
    }


def changed(folder: str, to: Path, file: str, **fields: Any) -> str:
    """A copy of a model with other fields in one of its configs."""
    shutil.copytree(folder, to)
    config = json.loads((to / file).read_text())
    (to / file).write_text(json.dumps(config | fields))
    return str(to)


def digest(folder: str) -> str:
    return load_backbone(folder, denoiser=True).digest


CHANGES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("stem", "vae/config.json", {"look_scale": 0.3}),
    ("stem", "scheduler/scheduler_config.json", {"beta_end": 0.013}),
    ("stable-diffusion", "vae/config.json", {"norm_num_groups": 2}),
    ("stable-diffusion", "vae/config.json", {"act_fn": "relu"}),
    ("stable-diffusion", "vae/config.json", {"scaling_factor": 0.3}),
    ("stable-diffusion", "vae/config.json", {"shift_factor": 0.1}),
    ("stable-diffusion", "unet/config.json", {"act_fn": "relu"}),
    ("stable-diffusion", "unet/config.json", {"flip_sin_to_cos": False}),
    ("stable-diffusion", "unet/config.json", {"norm_eps": 1e-3}),
    ("stable-diffusion", "scheduler/scheduler_config.json", {"prediction_type": "v_prediction"}),
    ("stable-diffusion", "scheduler/scheduler_config.json", {"set_alpha_to_one": True}),
    ("stable-diffusion", "text_encoder/config.json", {"hidden_act": "gelu"}),
    ("stable-diffusion", "tokenizer/tokenizer_config.json", {"pad_token": "a"}),
    ("stable-diffusion", "tokenizer/tokenizer_config.json", {"model_max_length": 5}),
    ("pixels", "unet/config.json", {"flip_sin_to_cos": False}),
    ("pixels", "unet/config.json", {"downsample_padding": 0}),
)


@pytest.mark.parametrize(("family", "file", "fields"), CHANGES, ids=str)
def test_every_field_that_decides_the_bytes_is_in_the_digest(
    folders: dict[str, str], tmp_path: Path, family: str, file: str, fields: dict[str, Any]
) -> None:
    other = changed(folders[family], tmp_path / "other", file, **fields)
    assert digest(other) != digest(folders[family])


@pytest.mark.parametrize(
    ("family", "file"),
    [("stem", "vae/config.json"), ("stem", "unet/config.json"),
     ("stable-diffusion", "vae/config.json"), ("stable-diffusion", "unet/config.json"),
     ("stable-diffusion", "text_encoder/config.json"), ("pixels", "unet/config.json")],
)  # fmt: skip
def test_names_paths_and_releases_are_not(
    folders: dict[str, str], tmp_path: Path, family: str, file: str
) -> None:
    ignored = dict.fromkeys(IGNORED, "0.1.2")
    if family == "stem":  # its other fields are arguments of its class
        ignored = {name: value for name, value in ignored.items() if name.startswith("_")}
    other = changed(folders[family], tmp_path / "other", file, **ignored)
    assert digest(other) == digest(folders[family])


def test_what_only_a_sampler_reads_is_not(folders: dict[str, str], tmp_path: Path) -> None:
    file = "scheduler/scheduler_config.json"
    fields = {"clip_sample": True, "_class_name": "PNDMScheduler", "skip_prk_steps": True}
    other = changed(folders["stable-diffusion"], tmp_path / "other", file, **fields)
    assert digest(other) == digest(folders["stable-diffusion"])


def test_a_cache_serves_no_frame_of_equal_weights_under_another_config(
    folders: dict[str, str], tmp_path: Path
) -> None:
    other = changed(folders["stem"], tmp_path / "other", "vae/config.json", look_scale=0.3)
    frames = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    cache = FrameCache(memory_bytes=2**20)
    first = StemPipeline(StemConfig(backbone=folders["stem"]), cache)(frames)
    second = StemPipeline(StemConfig(backbone=other), cache)(frames)
    assert (first != second).any()
    expected = StemPipeline(StemConfig(backbone=other), cache=False)(frames)
    np.testing.assert_array_equal(second, expected)


def test_a_fingerprint_knows_no_names(folders: dict[str, str], tmp_path: Path) -> None:
    copy = shutil.copytree(folders["stem"], tmp_path / "copy")
    pipelines = [StemPipeline(StemConfig(backbone=str(f))) for f in (folders["stem"], copy)]
    assert pipelines[0].fingerprint == pipelines[1].fingerprint


@pytest.mark.parametrize("name", sorted(set(EMBEDDED.values())))
def test_a_copy_of_a_shipped_backbone_is_that_backbone(tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(WEIGHTS / name, tmp_path / "copy")
    assert StemFolder.named(str(copy)).digest() == StemFolder.named(name).digest()


def test_a_folder_is_read_and_hashed_without_pytorch_as_with_it(folders: dict[str, str]) -> None:
    code = (
        "import sys\n"
        "from stemob_wrappers.backbones.folder import StemFolder\n"
        "folder = StemFolder.named(sys.argv[1])\n"
        "folder.schedule, folder.figures, folder.plain\n"
        "print(folder.digest(), folder.digest(denoiser=True), 'torch' in sys.modules)\n"
    )
    for name in (folders["stem"], "embedded", "embedded-canonical"):
        command = [sys.executable, "-c", code, name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        digests = [load_backbone(name, denoiser=denoiser).digest for denoiser in (False, True)]
        assert done.stdout.split() == [*digests, "False"]


@given(st.permutations(["a", "b", "c"]))
def test_the_order_of_fields_and_tensors_is_nothing(names: list[str]) -> None:
    def of(names: list[str]) -> str:
        tensors = [Tensor(name, "F32", (1,), name.encode() * 4) for name in names]
        return model_digest({"vae": Network(dict.fromkeys(names, 1), tensors)}, {})

    assert of(names) == of(["a", "b", "c"])


def test_bytes_cannot_pass_for_names_or_shapes() -> None:
    tensors = [
        Tensor("a", "F32", (2, 1), bytes(8)),
        Tensor("a", "F32", (1, 2), bytes(8)),
        Tensor("a", "I32", (2, 1), bytes(8)),
        Tensor("b", "F32", (2, 1), bytes(8)),
        Tensor("a", "F32", (2, 1), bytes(7) + b"1"),
    ]
    digests = {model_digest({"vae": Network({}, [tensor])}, {}) for tensor in tensors}
    digests.add(model_digest({"unet": Network({}, tensors[:1])}, {}))
    assert len(digests) == len(tensors) + 1


def test_a_tiny_autoencoder_in_place_of_the_models_own_is_in_the_digest(
    folders: dict[str, str], tmp_path: Path
) -> None:
    tiny_models.tiny_autoencoder().save_pretrained(tmp_path / "codec")
    other = changed(str(tmp_path / "codec"), tmp_path / "other", "config.json", act_fn="silu")
    sd = folders["stable-diffusion"]
    first, second = (load_backbone(sd, codec=codec) for codec in (str(tmp_path / "codec"), other))
    assert first.digest != second.digest
