"""CUDA graphs: what may be recorded, what is recorded once, and that replaying gives the same."""

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_pipelines
import torch
from torch.overrides import TorchFunctionMode

from stemob_wrappers import StemConfig, StemPipeline
from stemob_wrappers.backbones.load import load_backbone
from stemob_wrappers.stem import pipeline as pipelines
from stemob_wrappers.stem.captured import CapturedFunction, Recording
from stemob_wrappers.stem.inverter import FrameInverter

METHODS = ("ddpm", "ddim", "ddim-renoise", "ddim-warm")
SAVE = {
    "own": tiny_pipelines.save_stem,
    "Stable Diffusion": tiny_pipelines.save_stable_diffusion,
    "pixels": tiny_pipelines.save_pixel_ddpm,
}


class FromTheHost(TorchFunctionMode):
    """Refuses to copy the host's numbers to a device: a graph would not read them again."""

    MAKES = (torch.tensor, torch.as_tensor, torch.asarray, torch.from_numpy)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.device.type != "cpu":
            moved = args and isinstance(args[0], torch.Tensor) and args[0].device.type == "cpu"
            assert func not in self.MAKES, f"{func} copies from the host"
            assert not moved, f"{func} copies from the host"
        return result


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", SAVE)
def test_what_is_recorded_takes_nothing_from_the_host_and_looks_at_no_value(
    family, method, tmp_path
):
    """On "meta" there are no values: what looks at one fails."""
    path = SAVE[family](tmp_path / "model")
    backbone = load_backbone(path, denoiser=True, device="meta")
    config = StemConfig(backbone=path, method=method, num_steps=10, inversion_steps=4)
    inverter = FrameInverter(backbone, config)
    frames = torch.zeros(2, 20, 28, 3, dtype=torch.uint8, device="meta")
    noise = torch.zeros(2, *inverter.latent_shape(20, 28), device="meta")
    with FromTheHost(), torch.inference_mode():
        assert inverter._compute(frames, noise).shape == frames.shape


def test_the_check_above_sees_a_copy_and_a_look():
    with FromTheHost(), pytest.raises(AssertionError, match="copies from the host"):
        torch.as_tensor(0.5, device="meta")
    with FromTheHost(), pytest.raises(AssertionError, match="copies from the host"):
        torch.zeros(1).to("meta")
    with pytest.raises(RuntimeError):
        bool(torch.zeros(1, device="meta"))


def test_the_method_that_looks_at_values_is_never_recorded(tmp_path):
    path = SAVE["own"](tmp_path / "model")
    backbone = load_backbone(path, denoiser=True)
    config = StemConfig(backbone=path, method="ddim-fixed-point")
    assert FrameInverter(backbone, config).captured is None
    assert FrameInverter(backbone, config.replace(method="ddim")).captured is not None


@pytest.fixture
def on_the_cpu(monkeypatch):
    """Recordings that compute again instead of replaying, for machines without CUDA."""

    def record(self, inputs):
        self.recordings += 1
        places = tuple(tensor.clone() for tensor in inputs)
        result = self._function(*places)
        return Recording(places, result, lambda: result.copy_(self._function(*places)))

    nothing = SimpleNamespace(synchronize=lambda: None)
    monkeypatch.setattr(CapturedFunction, "_record", record)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: nothing)


@pytest.mark.usefixtures("on_the_cpu")
def test_a_shape_is_recorded_once_and_results_are_their_own():
    function = CapturedFunction(torch.add)
    first = function(torch.ones(2), torch.ones(2))
    second = function(torch.ones(2), torch.zeros(2))
    assert (first.tolist(), second.tolist(), function.recordings) == ([2, 2], [1, 1], 1)
    function(torch.ones(3), torch.ones(3))
    function(torch.ones(2).double(), torch.ones(2))
    assert function.recordings == 3


@pytest.mark.usefixtures("on_the_cpu")
def test_of_too_many_shapes_those_used_last_are_kept():
    function = CapturedFunction(torch.neg, most=2)
    for size in (1, 2, 1, 3, 1):
        assert function(torch.ones(size)).tolist() == [-1] * size
    assert function.recordings == 3
    function(torch.ones(2))
    assert function.recordings == 4


@pytest.mark.gpu
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", SAVE)
def test_a_graph_gives_the_bytes_of_its_kernels_one_by_one(family, method, tmp_path):
    path = SAVE[family](tmp_path / "model")
    backbone = load_backbone(path, denoiser=True, device="cuda")
    config = StemConfig(backbone=path, method=method, num_steps=10, inversion_steps=4)
    recorded, plain = (FrameInverter(backbone, config, capture=on) for on in (True, False))
    rng = torch.Generator("cuda").manual_seed(0)
    for count in range(1, 65):
        frames = torch.randint(0, 256, (count, 20, 28, 3), device="cuda", generator=rng)
        frames = frames.to(torch.uint8)
        noise = torch.randn(count, *plain.latent_shape(20, 28), device="cuda", generator=rng)
        assert torch.equal(recorded(frames, noise), plain(frames, noise))
    assert recorded.captured is not None
    assert recorded.captured.recordings == 6  # 2, 4, 8, 16, 32, 64


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("noise", ["fixed", "episode", "fresh"])
def test_frames_on_a_device_never_come_to_the_host_without_a_cache(noise, device, monkeypatch):
    frames = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8, device=device)
    pipeline = StemPipeline({"noise": noise}, cache=False, device=device, engine="torch")
    expected = StemPipeline({"noise": noise}, cache=False, device=device, engine="torch")(frames)
    pipeline.stats.psnr_db = 0.0  # the first frames are looked at, once
    monkeypatch.setattr(pipelines, "as_numpy", lambda frames: pytest.fail("a copy to the host"))
    stems = pipeline(frames)
    assert stems.device == frames.device
    assert torch.equal(stems, expected)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_hit_is_on_the_device_and_has_the_bytes_of_the_miss(device):
    frames = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8, device=device)
    pipeline = StemPipeline(device=device, engine="torch")
    computed, found = pipeline(frames), pipeline(frames)
    assert (pipeline.stats.misses, pipeline.stats.hits) == (3, 3)
    assert computed.device == found.device == frames.device
    assert torch.equal(computed, found)


def test_frames_that_share_their_noise_get_what_each_would_by_itself():
    frames = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    pipeline = StemPipeline({"noise": "episode"}, cache=False)
    together = pipeline(frames, episodes=[b"a", b"b", b"a", b"a"])
    for row, episode in enumerate((b"a", b"b", b"a", b"a")):
        alone = pipeline(frames[row : row + 1], episodes=[episode])
        np.testing.assert_array_equal(alone[0], together[row])
