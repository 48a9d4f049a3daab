import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_models
from hypothesis import given, settings
from hypothesis import strategies as st

from stemob_wrappers.backbones.engines import GRAPH_FILE, GraphEngine
from stemob_wrappers.backbones.export import frame_graph, write_graph
from stemob_wrappers.backbones.folder import EMBEDDED, WEIGHTS, StemFolder
from stemob_wrappers.backbones.load import load_backbone
from stemob_wrappers.backbones.stored import read_network
from stemob_wrappers.config import StemConfig
from stemob_wrappers.diffusion.noise import draw_noise
from stemob_wrappers.stem.inverter import FrameInverter

SHIPPED = ("embedded", "embedded-canonical")
LEVELS = (0, 1, 5, 15, 25, 50)


def pictures(count, height, width, seed=0):
    """Smooth frames with hard edges."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, -(-height // 8), -(-width // 8), 3), np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width].copy()


def both(name, steps, frames):
    """The stem frames of PyTorch and of ONNX Runtime."""
    config = StemConfig(backbone=name, inversion_steps=steps)
    graph = GraphEngine(StemFolder.named(name), config)
    inverter = FrameInverter(load_backbone(name), config)
    shape = graph.latent_shape(*frames.shape[1:3])
    assert shape == inverter.latent_shape(*frames.shape[1:3])
    noise = draw_noise(0, [bytes([row]) for row in range(len(frames))], shape)
    return inverter(frames, noise).numpy(), graph(frames, noise)


def assert_within_one_level(expected, found):
    assert found.shape == expected.shape
    assert found.dtype == np.uint8
    difference = np.abs(expected.astype(int) - found)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.001


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("steps", LEVELS)
def test_both_engines_agree_at_all_levels(name, steps):
    assert_within_one_level(*both(name, steps, pictures(2, 84, 84)))


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("size", [(64, 64), (65, 91), (128, 128), (200, 132), (256, 256)])
def test_both_engines_agree_at_all_sizes(name, size):
    assert_within_one_level(*both(name, 5, pictures(1, *size)))


@settings(max_examples=15, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 99))
def test_small_and_odd_frames_are_padded_alike(height, width, seed):
    assert_within_one_level(*both("embedded", 15, pictures(2, height, width, seed)))


def test_other_widths_and_random_weights_agree_too(tmp_path):
    folder = tmp_path / "tiny"
    name = tiny_models.save_stem_backbone(folder)
    write_graph(folder)
    assert_within_one_level(*both(name, 5, pictures(3, 30, 50)))


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_is_what_would_be_written(name):
    folder = WEIGHTS / EMBEDDED[name]
    assert (folder / GRAPH_FILE).read_bytes() == frame_graph(read_network(folder, "vae"))


def test_a_graph_holds_no_weights_and_names_one_file():
    path = str(WEIGHTS / EMBEDDED["embedded"] / GRAPH_FILE)
    onnx.checker.check_model(path, full_check=True)
    model = onnx.load(path, load_external_data=False)
    outside = [
        {entry.key: entry.value for entry in tensor.external_data}["location"]
        for tensor in model.graph.initializer
        if tensor.external_data
    ]
    assert set(outside) == {"vae/diffusion_pytorch_model.safetensors"}
    assert len(outside) > 40
    assert all(node.domain == "" for node in model.graph.node)
    inside = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    assert inside < 20_000


def test_it_is_written_whole_or_not_at_all(tmp_path):
    folder = Path(shutil.copytree(WEIGHTS / EMBEDDED["embedded"], tmp_path / "copy"))
    before = (folder / GRAPH_FILE).read_bytes()
    (folder / "vae" / "config.json").write_text(json.dumps({"_class_name": "Other"}))
    with pytest.raises(ValueError, match="holds a Other, of which no graph is known"):
        write_graph(folder)
    assert (folder / GRAPH_FILE).read_bytes() == before
    assert len(list(folder.iterdir())) == len(list((WEIGHTS / EMBEDDED["embedded"]).iterdir()))
