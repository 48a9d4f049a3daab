import json

import numpy as np
import torch
from safetensors.numpy import save_file

from stemob_wrappers.training.batches import FrameSource


def write_scene(path, frames, **scene):
    save_file({"frames": frames}, path, metadata={"scene": json.dumps(scene)})


def test_crops_are_states_of_a_scene_under_two_appearances_and_as_it_was_made(tmp_path):
    # Red holds the state, green the appearance, blue the scene.
    for scene in range(2):
        frames = np.zeros((3, 4, 128, 128, 3), np.uint8)
        frames[..., 0] += np.arange(3, dtype=np.uint8)[:, None, None, None] * 40
        frames[..., 1] += np.arange(4, dtype=np.uint8)[:, None, None] * 40
        frames[..., 2] = scene * 40
        write_scene(tmp_path / f"scene-{scene:05d}.safetensors", frames)
    source = FrameSource(tmp_path)
    for seed in range(20):
        crops = source.draw(np.random.default_rng([seed, 2]), 4)
        assert crops.images.shape[:3] == (2, 4, 3)
        assert crops.nominal.shape == crops.images.shape[1:]
        state, appearance, scene = ((crops.nominal.mean((2, 3)) + 1) * 127.5 / 40).round().T
        assert (appearance == 0).all(), "as it was rendered, colours not shifted either"
        assert (scene[::2] == scene[1::2]).all()
        assert (state[::2] != state[1::2]).all(), "two states of a scene stand side by side"
        assert crops.known.all()


def test_folders_are_drawn_from_alike_and_procedural_rooms_have_no_nominal_appearance(tmp_path):
    for folder, source, count in (("a", "procedural", 9), ("b", "robosuite", 1)):
        (tmp_path / folder).mkdir()
        for index in range(count):
            frames = np.zeros((2, 2, 128, 128, 3), np.uint8)
            write_scene(tmp_path / folder / f"scene-{index:05d}.safetensors", frames, source=source)
    source = FrameSource(tmp_path / "a", tmp_path / "b")
    rng = np.random.default_rng(0)
    known = torch.cat([source.draw(rng, 8).known for _ in range(50)])
    assert 0.35 < known.mean() < 0.65


def test_a_batch_has_as_many_as_asked_for(tmp_path):
    frames = np.zeros((2, 2, 128, 128, 3), np.uint8)
    write_scene(tmp_path / "scene-00000.safetensors", frames)
    for count in (1, 4, 6):
        assert len(FrameSource(tmp_path).batch(np.random.default_rng(0), count)) == count
