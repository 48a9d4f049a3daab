"""Data sets of frames that a config gives back small: what they say of sizes, and their bytes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import fakes
import gymnasium as gym
import h5py
import minari
import numpy as np
import pytest
from gymnasium import spaces
from lerobot_files import PICTURE, VIDEO, make_dataset, read_video, video_file
from robomimic_files import contents, make_file

from stemob_wrappers import StemConfig, StemObservation, StemPipeline
from stemob_wrappers.datasets import invert_dataset, verify_dataset
from stemob_wrappers.datasets.lerobot.source import LeRobotSource
from stemob_wrappers.pictures import read_image, write_image
from stemob_wrappers.videos import read_video as read_frames
from stemob_wrappers.videos import write_video

CROPPED = StemConfig(resize=(16, 16), aspect="crop", output="small")
KEPT = StemConfig(resize=(32, 40), output="small")


class Shown(gym.Env[Any, Any]):
    """Shows given frames one after the other."""

    action_space = spaces.Discrete(1)

    def __init__(self, frames: np.ndarray) -> None:
        self.frames = iter(frames)
        self.observation_space = spaces.Dict(
            agentview_image=spaces.Box(0, 255, frames.shape[1:], np.uint8)
        )

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return {"agentview_image": next(self.frames)}, {}

    def step(self, action: Any) -> Any:
        return {"agentview_image": next(self.frames)}, 0.0, False, False, {}


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = make_file(tmp_path_factory.mktemp("small") / "demo.hdf5", size=24, demos=2, length=3)
    with h5py.File(path, "r+") as file:
        for demo in ("demo_0", "demo_1"):
            group: Any = file[f"data/{demo}"]
            wide = np.random.default_rng(1).integers(0, 256, (3, 3, 24, 40), np.uint8)
            group.create_dataset("obs/wide", data=wide, maxshape=(None, 3, 24, 40), chunks=True)
    return path


def test_hdf5_has_the_frames_that_the_env_gives_live(demos: Path, tmp_path: Path) -> None:
    target = tmp_path / "stem.hdf5"
    invert_dataset(demos, target, CROPPED)
    assert verify_dataset(demos, target) == []
    with h5py.File(demos) as before, h5py.File(target) as after:
        raw: Any = before["data/demo_1/obs/agentview_image"]
        stored: Any = after["data/demo_1/obs/agentview_image"]
        assert stored.shape == (3, 16, 16, 3)
        assert (stored.chunks, stored.compression) == ((1, 16, 16, 3), "gzip")
        assert stored.attrs["fov"] == 45.0
        wide: Any = after["data/demo_1/obs/wide"]
        assert (wide.shape, wide.maxshape) == ((3, 3, 16, 16), (None, 3, 16, 16))
        env = StemObservation(Shown(raw[:]), CROPPED, expect=str(target))
        live = [env.reset(seed=0)[0], env.step(0)[0], env.step(0)[0]]
        np.testing.assert_array_equal([seen["agentview_image"] for seen in live], stored[:])
        # What the env is made with stays: frames of that size become these.
        sizes = [json.loads(str(f["data"].attrs["env_args"])) for f in (before, after)]
        assert sizes[0]["env_kwargs"] == sizes[1]["env_kwargs"]
    made, source = contents(target), contents(demos)
    frames = ("_image", "/wide", "/data attrs", "_image attrs", "/wide attrs")
    same = [key for key in source if not key.endswith(frames)]
    assert len(same) > 20
    assert all(made[key] == source[key] for key in same)


def test_a_wrong_size_and_a_wrong_frame_are_found(demos: Path, tmp_path: Path) -> None:
    target = tmp_path / "stem.hdf5"
    invert_dataset(demos, target, CROPPED)
    with h5py.File(target, "r+") as file:
        file["data/demo_0/obs/agentview_image"][0] ^= 255  # pyright: ignore
        whole: Any = file["data/demo_1/obs"]
        del whole["eye_image"]
        whole["eye_image"] = np.zeros((3, 24, 24, 3), np.uint8)
    problems = "\n".join(verify_dataset(demos, target))
    assert "off its recomputation" in problems
    assert "which becomes (3, 16, 16, 3)" in problems


def test_frames_smaller_than_a_crop_fail_by_name(demos: Path, tmp_path: Path) -> None:
    source = tmp_path / "demo.hdf5"
    shutil.copy(demos, source)
    with h5py.File(source, "r+") as file:
        demo: Any = file["data/demo_0"]
        del demo["obs/eye_image"]
        demo["obs/eye_image"] = np.zeros((3, 12, 12, 3), np.uint8)
    summary = invert_dataset(source, tmp_path / "stem.hdf5", CROPPED)
    assert [text.partition(" makes")[0] for text in summary.failed] == ["demo_0: resize=(16, 16)"]


@pytest.mark.parametrize("config", [CROPPED, KEPT])
def test_a_lerobot_folder_says_its_sizes(config: StemConfig, tmp_path: Path) -> None:
    source, target = make_dataset(tmp_path / "source"), tmp_path / "stem"
    info = json.loads((source / "meta/info.json").read_text())
    info["features"][VIDEO]["info"] |= {"video.height": 64, "video.width": 80}
    (source / "meta/info.json").write_text(json.dumps(info))
    invert_dataset(source, target, config)
    assert verify_dataset(source, target) == []
    features = json.loads((target / "meta/info.json").read_text())["features"]
    assert config.resize is not None
    height, width = config.resize
    for key in (VIDEO, PICTURE):
        assert features[key]["shape"] == [height, width, 3]
    said = features[VIDEO]["info"]
    assert (said["video.height"], said["video.width"]) == (height, width)
    frames = [frame for _, frame in read_video(target / video_file(VIDEO))]
    assert frames[0].shape == (height, width, 3)
    for before, after in zip(*map(pictures, (source, target)), strict=True):
        np.testing.assert_array_equal(StemPipeline(config)(before[None])[0], after)
    features[VIDEO]["shape"] = [64, 80, 3]
    written = json.loads((target / "meta/info.json").read_text()) | {"features": features}
    (target / "meta/info.json").write_text(json.dumps(written))
    assert any("info.json differs" in text for text in verify_dataset(source, target))


def pictures(root: Path) -> list[Any]:
    reader = LeRobotSource(root)
    return [
        frame
        for item in reader.items()
        if item.source.endswith(PICTURE)
        for frame in reader.frames(item)
    ]


def test_sizes_that_no_video_has_are_refused_before_work_begins(
    demos: Path, tmp_path: Path
) -> None:
    source = make_dataset(tmp_path / "source")
    odd = StemConfig(resize=(33, 80), output="small")
    with pytest.raises(ValueError, match="become 33 x 41, and videos have even sides"):
        invert_dataset(source, tmp_path / "stem", odd)
    large = StemConfig(resize=(96, 96), aspect="crop", output="small")
    with pytest.raises(ValueError, match="makes frames smaller"):
        invert_dataset(source, tmp_path / "stem", large)
    with pytest.raises(ValueError, match="even sides"):
        invert_dataset(demos, tmp_path / "stem", odd.replace(resize=(15, 15)), to="lerobot")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_robomimic_demos_become_a_lerobot_folder_of_small_frames(tmp_path: Path) -> None:
    file = make_file(tmp_path / "demo.hdf5", size=96, demos=1, length=2)
    invert_dataset(file, tmp_path / "stem", KEPT, to="lerobot")
    assert verify_dataset(file, tmp_path / "stem") == []
    features = json.loads((tmp_path / "stem/meta/info.json").read_text())["features"]
    assert features["observation.images.eye"]["shape"] == [32, 32, 3]


@pytest.mark.filterwarnings("ignore::UserWarning:minari")
def test_a_minari_data_set_has_the_space_of_the_env_that_is_recovered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    layout: Any = {"front": {"shape": [32, 40, 3]}, "arm": {"shape": [2], "dtype": "float32"}}
    nested: Any = {"cameras": [layout["front"], layout["front"]], "arm": layout["arm"]}
    env = gym.make("fakes:fake/Frame-v0", layout=nested)
    collector = minari.DataCollector(env, jpeg_encoding=True)
    collector.reset(seed=1, options={"hard": True})
    while not any(collector.step(collector.action_space.sample())[2:4]):
        pass
    collector.create_dataset("fakes/raw-v0", algorithm_name="a", author="b", author_email="c")
    source, target = tmp_path / "fakes/raw-v0", tmp_path / "fakes/stem-v0"
    invert_dataset(source, target, CROPPED)
    assert verify_dataset(source, target) == []
    made = minari.load_dataset("fakes/stem-v0")
    recovered = made.recover_environment()
    assert made.observation_space == recovered.observation_space
    assert made.observation_space["cameras"][0].shape == (16, 16, 3)  # pyright: ignore
    raw = minari.load_dataset("fakes/raw-v0")[0].observations["cameras"]
    for before, after in zip(raw, made[0].observations["cameras"], strict=True):
        np.testing.assert_array_equal(StemPipeline(CROPPED)(before), after)
    assert fakes.FrameEnv is type(recovered.unwrapped)


def test_a_folder_of_pictures_and_videos(tmp_path: Path) -> None:
    source, target = tmp_path / "frames", tmp_path / "stem"
    coarse = np.random.default_rng(0).integers(0, 256, (3, 4, 6, 3), np.uint8)
    frames = [cv2.resize(each, (48, 32), interpolation=cv2.INTER_CUBIC) for each in coarse]
    write_image(source / "a" / "0.png", frames[0])
    write_image(source / "tiny.png", frames[0][:12, :12])
    write_video(source / "b.mp4", frames, 10)
    summary = invert_dataset(source, target, CROPPED)
    assert ["tiny.png" in text for text in summary.failed] == [True]
    stem = read_image(target / "a" / "0.png")
    np.testing.assert_array_equal(stem, StemPipeline(CROPPED)(frames[0][None])[0])
    assert next(read_frames(target / "b.mp4")).shape == (16, 16, 3)
    (source / "tiny.png").unlink()
    assert verify_dataset(source, target) == []
    write_image(target / "a" / "0.png", frames[0])
    assert "should be (16, 16, 3)" in "\n".join(verify_dataset(source, target))
