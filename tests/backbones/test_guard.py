"""A model's folder reaches nothing outside itself, and takes no memory for what it cannot be."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import tiny_pipelines
import torch
from safetensors.torch import load_file, save_file

from stemob_wrappers.backbones.files import inside
from stemob_wrappers.backbones.folder import EMBEDDED, WEIGHTS, StemFolder
from stemob_wrappers.backbones.load import load_backbone
from stemob_wrappers.backbones.networks import StemAutoencoder, StemDenoiser, build_network
from stemob_wrappers.backbones.stored import WEIGHTS_FILE

TERABYTE = 2**40
FAMILIES: dict[str, Callable[[Path], str]] = {
    "stem": tiny_pipelines.save_stem,
    "stable-diffusion": tiny_pipelines.save_stable_diffusion,
    "pixels": lambda folder: tiny_pipelines.save_pixel_ddpm(folder, flat=False),
}


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(FAMILIES[request.param](tmp_path / "model"))


@pytest.fixture
def stem(tmp_path: Path) -> Path:
    return Path(tiny_pipelines.save_stem(tmp_path / "model"))


@pytest.fixture
def stable_diffusion(tmp_path: Path) -> Path:
    return Path(tiny_pipelines.save_stable_diffusion(tmp_path / "model"))


@contextmanager
def refused(match: str) -> Iterator[None]:
    """One clear error, and no memory taken on the way to it."""
    with bounded_memory(), pytest.raises((ValueError, OSError), match=match):
        yield


@contextmanager
def bounded_memory() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


def load(folder: Path) -> Any:
    return load_backbone(str(folder), denoiser=True)


def change(file: Path, **fields: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def weights_of(part: Path) -> Path:
    return next(part.glob("*.safetensors"))


# Outside


@pytest.mark.parametrize("link", ["relative", "absolute"])
def test_a_link_out_of_the_folder_is_refused(model: Path, link: str) -> None:
    for path in [*model.rglob("*.json"), *model.rglob("*.safetensors"), *model.glob("*/")]:
        elsewhere = path.parent.with_name(f"{path.parent.name}-{path.name}")
        if path.parent != model:
            elsewhere = model.parent / f"{path.parent.name}-{path.name}"
        path.rename(elsewhere)
        target = elsewhere if link == "absolute" else os.path.relpath(elsewhere, path.parent)
        path.symlink_to(target)
        with refused("leads out of the model's folder"):
            load(model)
        path.unlink()
        elsewhere.rename(path)
    load(model)


def test_a_link_within_the_folder_or_to_it_is_followed(model: Path, tmp_path: Path) -> None:
    unet = model / "unet"
    unet.rename(model / "the-unet")
    unet.symlink_to("the-unet")
    (tmp_path / "latest").symlink_to(model)
    assert load(tmp_path / "latest").digest == load(model).digest


def test_a_snapshot_of_the_hubs_cache_is_a_whole_model(model: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models--org--name"
    snapshot = repository / "snapshots" / "0123"
    (repository / "blobs").mkdir(parents=True)
    for number, path in enumerate(sorted(p for p in model.rglob("*") if p.is_file())):
        shutil.copy(path, blob := repository / "blobs" / str(number))
        link = snapshot / path.relative_to(model)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    assert load(snapshot).digest == load(model).digest
    (snapshot / "secret").symlink_to("../../refs")
    with refused("leads out"):
        inside(snapshot, "secret")


@pytest.mark.parametrize("plain", ["../other", "/etc", ".", "vae/..", "link", "nothing", 3, ["x"]])
def test_a_plain_backbone_elsewhere_is_refused(stem: Path, plain: object) -> None:
    tiny_models.save_stem_backbone(stem.parent / "other")
    (stem / "link").symlink_to("../other")
    change(stem / "model_index.json", plain=plain)
    with refused("leads out of the model's folder|names .* as plain|No such file"):
        load(stem)


def test_a_plain_backbone_within_or_an_embedded_one_is_followed(stem: Path) -> None:
    tiny_models.save_stem_backbone(stem / "plain", seed=3)
    for plain in ("plain", *EMBEDDED):
        change(stem / "model_index.json", plain=plain)
        if "canonical" in plain:
            with refused("as plain, which it is not"):
                load_backbone(str(stem))
        else:
            found = load_backbone(str(stem)).plain
            assert found is not None
            folder = WEIGHTS / EMBEDDED[plain] if plain in EMBEDDED else stem / "plain"
            assert found.digest == StemFolder.named(str(folder)).digest()


def test_a_list_of_weights_elsewhere_is_refused(stable_diffusion: Path) -> None:
    weights = weights_of(stable_diffusion / "unet")
    names = list(load_file(weights))
    weights.rename(stable_diffusion / "part.safetensors")
    index = weights.with_name(f"{weights.name}.index.json")
    for place in ("../part.safetensors", str(stable_diffusion / "part.safetensors")):
        index.write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(names, place)}))
        with refused("which is no file of that folder"):
            load(stable_diffusion)


def test_an_adapter_of_a_model_elsewhere_is_refused(stable_diffusion: Path) -> None:
    adapter = stable_diffusion / "text_encoder" / "adapter_config.json"
    adapter.write_text(json.dumps({"base_model_name_or_path": "/etc"}))
    with refused("holds an adapter"):
        load(stable_diffusion)


# Beyond all measure


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(model: Path, value: float) -> None:
    for part in ("vae", "unet", "text_encoder"):
        if not (model / part).is_dir():
            continue
        path = weights_of(model / part)
        sound = path.read_bytes()
        weights = load_file(path)
        name = next(name for name, tensor in weights.items() if tensor.is_floating_point())
        weights[name].view(-1)[-1] = value
        save_file(weights, path, metadata={"format": "pt"})
        with refused("infinite or not a number"):
            load(model)
        path.write_bytes(sound)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_floating_type_are_read(stem: Path, dtype: torch.dtype) -> None:
    path = weights_of(stem / "vae")
    weights = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for name, tensor in load_file(path).items()
    }
    save_file(weights, path)
    load(stem)
    name = next(name for name, tensor in weights.items() if tensor.is_floating_point())
    weights[name].view(-1)[0] = float("nan")
    save_file(weights, path)
    with refused("infinite or not a number"):
        load(stem)


def test_tensors_of_terabytes_are_refused(model: Path) -> None:
    """A header alone, and one with a sparse file behind it that is as long as it says."""
    for part in ("vae", "unet", "text_encoder"):
        if not (model / part).is_dir():
            continue
        path = weights_of(model / part)
        sound = path.read_bytes()
        size = 16 * TERABYTE
        header = {"a": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}
        text = json.dumps(header).encode()
        for whole in (False, True):
            with open(path, "wb") as file:
                file.write(struct.pack("<Q", len(text)) + text)
                try:
                    file.truncate(8 + len(text) + (size if whole else 0))
                except OSError:  # a file system of smaller files
                    file.truncate(8 + len(text) + TERABYTE)
            with refused("truncated or corrupt|GiB|could not be loaded"):
                load(model)
        path.write_bytes(sound)


ABSURD: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("stem", "vae", {"width": 10**9}),
    ("stem", "vae", {"width": 10**400}),
    ("stem", "vae", {"deep_width": 0}),
    ("stem", "vae", {"width": -3}),
    ("stem", "vae", {"width": [64]}),
    ("stem", "vae", {"width": "64"}),
    ("stem", "vae", {"look_scale": float("nan")}),
    ("stem", "vae", {"look_scale": 1000}),
    ("stem", "vae", {"width": 1000}),
    ("stem", "vae", {"unheard_of": 3}),
    ("stem", "vae", {"_class_name": "StemDenoiser"}),
    ("stem", "vae", {"_class_name": None}),
    ("stem", "unet", {"width": 10**9}),
    ("stem", "unet", {"width": 30}),
    ("stem", "unet", {"_class_name": "os.system"}),
    ("stable-diffusion", "vae", {"block_out_channels": [10**6, 10**6]}),
    ("stable-diffusion", "vae", {"block_out_channels": [10**12, 10**12]}),
    ("stable-diffusion", "vae", {"layers_per_block": 10**9}),
    ("stable-diffusion", "vae", {"latent_channels": 10**9}),
    ("stable-diffusion", "unet", {"cross_attention_dim": 10**9}),
    ("stable-diffusion", "unet", {"layers_per_block": [10**9, 1]}),
    ("stable-diffusion", "unet", {"down_block_types": ["DownBlock2D"] * 10**5}),
    ("stable-diffusion", "text_encoder", {"vocab_size": 10**12}),
    ("stable-diffusion", "text_encoder", {"num_hidden_layers": 10**9}),
    ("pixels", "unet", {"block_out_channels": [10**6, 10**6]}),
)


@pytest.mark.parametrize(
    ("family", "part", "fields"), ABSURD, ids=lambda value: str(value)[:60].replace(" ", "")
)
def test_an_absurd_config_is_refused(
    tmp_path: Path, family: str, part: str, fields: dict[str, Any]
) -> None:
    model = Path(FAMILIES[family](tmp_path / "model"))
    change(model / part / "config.json", **fields)
    said = "1 to 1024 channels|do not fit|required is a|names no class"
    with refused(f"{said}|declares|a config of no such network"):
        load(model)


@pytest.mark.parametrize(
    "fields",
    [{"num_train_timesteps": 10**13}, {"num_train_timesteps": 0}, {"num_train_timesteps": 1e3},
     {"beta_start": float("nan")}, {"beta_end": 5.0}],
    ids=str,
)  # fmt: skip
def test_an_absurd_schedule_is_refused(model: Path, fields: dict[str, Any]) -> None:
    change(model / "scheduler" / "scheduler_config.json", **fields)
    with refused("num_train_timesteps must lie in|alpha_bar in"):
        load(model)


@pytest.mark.parametrize("figures", [[1], {"84": 3}, {"x": {"0": 1.0}}, {"84": {"0": "much"}}])
def test_a_card_of_no_figures_is_refused(stem: Path, figures: object) -> None:
    change(stem / "model_index.json", held_out_psnr_db=figures)
    with refused("must state held_out_psnr_db as numbers"):
        load(stem)


@pytest.mark.parametrize("text", ["[" * 100_000, "[1]", "{", '"x"', "\x00", " " * (17 * 2**20)])
def test_a_config_that_is_no_object_is_named(model: Path, text: str) -> None:
    for path in (model / "unet" / "config.json", model / "model_index.json"):
        sound = path.read_text()
        path.write_text(text)
        with refused(f"{path.name} (is no JSON|holds a|has .* bytes)"):
            load(model)
        path.write_text(sound)


@pytest.mark.parametrize(
    "count", [300, pytest.param(100_000, marks=pytest.mark.slow)], ids="{} files".format
)
def test_fuzzed_weights_are_refused_or_read_within_bounds(stem: Path, count: int) -> None:
    """Headers and lengths with random bytes, digits and ends; whatever is read is finite."""
    rng, path = random.Random(0), weights_of(stem / "vae")
    sound = path.read_bytes()
    header = 8 + struct.unpack("<Q", sound[:8])[0]
    read = 0
    with bounded_memory():
        for number in range(min(count, int(os.environ.get("STEMOB_SOAK_COUNT", count)))):
            data = bytearray(sound)
            for _ in range(rng.randrange(1, 4)):
                place = rng.randrange(8) if number % 5 == 0 else rng.randrange(header)
                data[place] = (
                    rng.choice(b'0123456789[]{},:"FI') if number % 2 else rng.randrange(256)
                )
            if number % 7 == 0:
                del data[rng.randrange(len(data)) :]
            path.write_bytes(data)
            try:
                stored = StemFolder.named(str(stem)).autoencoder
                build_network(StemAutoencoder, stored)
                read += 1
            except (ValueError, OSError):
                continue
    assert read < count / 10


@pytest.mark.parametrize(
    ("kind", "required"), [(StemAutoencoder, {}), (StemDenoiser, {"latent_channels": 28})]
)
def test_the_shipped_networks_and_the_constructors_defaults_are_within_measure(
    kind: Any, required: dict[str, int], tmp_path: Path
) -> None:
    kind(**required).save_pretrained(tmp_path)
    assert isinstance(kind.from_pretrained(tmp_path), kind)
    folder = StemFolder.named("embedded")
    stored = folder.autoencoder if kind is StemAutoencoder else folder.denoiser
    assert isinstance(build_network(kind, stored), kind)
    assert (stored.folder / WEIGHTS_FILE).is_file()
