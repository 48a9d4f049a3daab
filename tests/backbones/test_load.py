import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import tiny_models
import torch

from stemob_wrappers.backbones import load as backbones
from stemob_wrappers.backbones import stamp
from stemob_wrappers.backbones.load import load_backbone
from stemob_wrappers.backbones.networks import WEIGHTS_FILE
from stemob_wrappers.config import StemConfig
from stemob_wrappers.diffusion.schedule import NoiseSchedule
from stemob_wrappers.stem.pipeline import StemPipeline


@pytest.fixture
def stem_folder(tmp_path):
    return Path(tiny_models.save_stem_backbone(tmp_path / "stem"))


@pytest.fixture(scope="module")
def kl_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kl") / "model"
    return tiny_models.save_diffusers_model(folder, tiny_models.kl_autoencoder())


def test_the_embedded_backbone_is_in_the_package():
    backbone = load_backbone("embedded")
    assert backbone.schedule.timestep(50, 15) == 281
    images = torch.zeros(2, 3, 32, 32)
    assert backbone.codec.decode(backbone.codec.encode(images)).shape == images.shape


def test_a_pipeline_saved_by_diffusers_loads(kl_folder):
    codec = load_backbone(kl_folder).codec
    original = tiny_models.kl_autoencoder()
    images = torch.rand(2, 3, 16, 16)
    with torch.inference_mode():
        expected = original.encode(images).latent_dist.mode() * original.config.scaling_factor
        torch.testing.assert_close(codec.encode(images), expected)
    assert not codec.module.training


def test_its_scheduler_is_the_folders(tmp_path):
    folder = tiny_models.save_diffusers_model(
        tmp_path / "model",
        tiny_models.tiny_autoencoder(),
        {"beta_schedule": "linear", "timestep_spacing": "trailing"},
    )
    schedule = load_backbone(folder).schedule
    assert isinstance(schedule, NoiseSchedule)
    assert schedule.spacing == "trailing"
    assert schedule.alpha_bars[0] == pytest.approx(1 - 0.00085)


def test_another_codec_takes_the_place_of_the_models_own(kl_folder, tmp_path):
    alone = tmp_path / "taesd"
    tiny_models.tiny_autoencoder().save_pretrained(alone)
    backbone = load_backbone(kl_folder, codec=str(alone))
    assert type(backbone.codec.module).__name__ == "AutoencoderTiny"
    assert backbone.digest != load_backbone(kl_folder).digest


def test_the_embedded_codec_cannot_be_replaced():
    with pytest.raises(ValueError, match=r"codec='x/y' cannot replace.*leave codec=None"):
        load_backbone("embedded", codec="x/y")


def test_a_revision_of_what_is_not_on_the_hub_is_refused_or_warned_of(kl_folder, stem_folder):
    for name in ("embedded", str(stem_folder)):
        with pytest.raises(ValueError, match=r"revision='v1' names a version.*leave revision out"):
            load_backbone(name, revision="v1")
    with pytest.warns(UserWarning, match=r"revision='v1' names a version.*loaded as it is"):
        load_backbone(kl_folder, revision="v1")


def test_it_is_loaded_once_and_again_for_another_dtype(stem_folder):
    first = load_backbone(str(stem_folder))
    assert load_backbone(str(stem_folder)) is first
    half = load_backbone(str(stem_folder), dtype=torch.bfloat16)
    assert half is not first
    assert half.digest == first.digest
    assert next(half.codec.module.parameters()).dtype == torch.bfloat16
    assert next(first.codec.module.parameters()).dtype == torch.float32


def weights_path(folder):
    return Path(folder, "vae", WEIGHTS_FILE)


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize("family", ["stem", "diffusers"])
def test_a_folder_that_changed_is_loaded_again(tmp_path, monkeypatch, settled, family):
    def save(folder, seed):
        if family == "stem":
            return tiny_models.save_stem_backbone(folder, seed)
        return tiny_models.save_diffusers_model(folder, tiny_models.kl_autoencoder(seed))

    if settled:  # as a folder is that nobody wrote to for some seconds
        monkeypatch.setattr(stamp, "SETTLED_NS", -(10**12))
    folder, other = save(tmp_path / "model", 0), save(tmp_path / "other", 1)
    first = load_backbone(folder)
    assert load_backbone(folder) is first
    path = weights_path(folder)
    before = path.stat()
    path.write_bytes(weights_path(other).read_bytes())  # of the same size, in place
    if not settled:  # and at the same time, as far as the clock of the file system tells
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = load_backbone(folder)
    assert second.digest == load_backbone(other).digest != first.digest
    assert load_backbone(folder) is second


def test_a_config_or_codec_that_changed_is_read_again(tmp_path, kl_folder):
    codec = tmp_path / "codec"
    tiny_models.kl_autoencoder(1).save_pretrained(codec)
    first = load_backbone(kl_folder, codec=str(codec))
    config = codec / "config.json"
    config.write_text(config.read_text().replace("0.18215", "0.5"))
    second = load_backbone(kl_folder, codec=str(codec))
    assert (first.codec.scale, second.codec.scale) == (0.18215, 0.5)


def test_a_relative_name_is_the_folder_that_it_leads_to_now(tmp_path, monkeypatch):
    digests = []
    for seed, place in enumerate(("p", "q", "p")):
        folder = tmp_path / place
        if not folder.exists():
            folder.mkdir()
            tiny_models.save_stem_backbone(folder / "mine", seed)
        monkeypatch.chdir(folder)
        digests.append(load_backbone("mine").digest)
    assert digests[0] == digests[2] != digests[1]


def test_a_folder_whose_times_changed_and_no_byte_is_kept(stem_folder):
    first = load_backbone(str(stem_folder))
    for path in (weights_path(stem_folder), stem_folder / "vae" / "config.json"):
        path.touch()
    assert load_backbone(str(stem_folder)) is first


def test_threads_get_one_object_from_one_load(stem_folder, monkeypatch):
    loads = []
    load = backbones._load

    def counted(*args):
        loads.append(args)
        return load(*args)

    monkeypatch.setattr(backbones, "_load", counted)
    start = threading.Barrier(4)
    found = []

    def ask():
        start.wait()
        found.append(load_backbone(str(stem_folder)))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(map(id, found))) == 1
    assert len(loads) == 1


def test_the_digest_is_the_contents_and_not_the_paths(tmp_path):
    a = tiny_models.save_stem_backbone(tmp_path / "a", seed=0)
    copy = shutil.copytree(a, tmp_path / "copy")
    other = tiny_models.save_stem_backbone(tmp_path / "other", seed=1)
    assert load_backbone(str(copy)).digest == load_backbone(a).digest
    assert load_backbone(other).digest != load_backbone(a).digest


def test_another_schedule_is_another_fingerprint(tmp_path):
    a = tiny_models.save_stem_backbone(tmp_path / "a")
    b = tiny_models.save_stem_backbone(tmp_path / "b", scheduler={"timestep_spacing": "trailing"})
    fingerprints = {StemPipeline(StemConfig(backbone=folder)).fingerprint for folder in (a, b)}
    assert len(fingerprints) == 2


def test_another_scaling_factor_is_another_fingerprint(tmp_path):
    fingerprints = set()
    for scale in (0.18215, 1.0):
        folder = tiny_models.save_diffusers_model(
            tmp_path / str(scale), tiny_models.kl_autoencoder(scaling_factor=scale)
        )
        fingerprints.add(StemPipeline(StemConfig(backbone=folder)).fingerprint)
    assert len(fingerprints) == 2


def test_an_unknown_name_is_refused_with_the_ones_there_are():
    with pytest.raises(
        ValueError, match=r"unknown backbone 'embeded'; use one of embedded.*folder"
    ):
        load_backbone("embeded")


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(OSError, match="nothing-here could not be found"):
        load_backbone(str(tmp_path / "nothing-here"))


def test_a_folder_without_a_model_is_named_with_what_it_lacks(tmp_path):
    with pytest.raises(OSError, match=r"holds neither vae/config\.json nor config\.json"):
        load_backbone(str(tmp_path))


def test_an_autoencoder_of_another_class_is_refused(tmp_path):
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "config.json").write_text(json.dumps({"_class_name": "VQModel"}))
    with pytest.raises(ValueError, match="class VQModel; supported: AutoencoderKL, AutoencoderT"):
        load_backbone(str(tmp_path))


@pytest.mark.parametrize("keep", [0, 100, 0.5])
def test_truncated_weights_are_named(stem_folder, keep):
    path = stem_folder / "vae" / WEIGHTS_FILE
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(OSError, match=rf"{path} is truncated or corrupt .*again"):
        load_backbone(str(stem_folder))


def test_truncated_weights_of_a_diffusers_model_are_named(kl_folder, tmp_path):
    folder = shutil.copytree(kl_folder, tmp_path / "model")
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(OSError, match=f"the autoencoder of {folder} could not be loaded"):
        load_backbone(str(folder))


def test_a_missing_weights_file_is_named(stem_folder):
    (stem_folder / "vae" / WEIGHTS_FILE).unlink()
    with pytest.raises(OSError, match=WEIGHTS_FILE):
        load_backbone(str(stem_folder))


def test_pickled_weights_are_not_read(kl_folder, tmp_path):
    folder = shutil.copytree(kl_folder, tmp_path / "model")
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    weights = tiny_models.kl_autoencoder().state_dict()
    torch.save(weights, folder / "vae" / "diffusion_pytorch_model.bin")
    with pytest.raises(OSError, match="could not be loaded"):
        load_backbone(str(folder))


def test_weights_that_do_not_fit_the_config_are_refused(stem_folder):
    config = stem_folder / "vae" / "config.json"
    config.write_text(config.read_text().replace('"layout_channels": 2', '"layout_channels": 8'))
    with pytest.raises(ValueError, match="do not fit"):
        load_backbone(str(stem_folder))


def test_a_failed_load_can_be_tried_again(stem_folder):
    path = stem_folder / "vae" / WEIGHTS_FILE
    data = path.read_bytes()
    path.write_bytes(data[:100])
    with pytest.raises(OSError, match="truncated"):
        load_backbone(str(stem_folder))
    path.write_bytes(data)
    assert load_backbone(str(stem_folder)).codec.channels == 4


def test_the_embedded_backbone_needs_no_diffusers():
    script = (
        "import sys; from stemob_wrappers import load_backbone; load_backbone('embedded'); "
        "sys.exit('diffusers' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
