"""The real lerobot opens what we wrote, and a policy of its own sees the same frames live."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import real_lerobot
import torch
from lerobot_files import read_video
from robomimic_files import make_file

from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets import invert_dataset, verify_dataset
from stemob_wrappers.integrations.lerobot import StemProcessorStep
from stemob_wrappers.stem.pipeline import StemPipeline

CONFIG = StemConfig(inversion_steps=5)
FRONT, WRIST = "observation.images.front", "observation.images.wrist"
FRAMES = np.random.default_rng(0).integers(0, 256, (9, 64, 64, 3), dtype=np.uint8)
LENGTHS = (5, 4)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Record two episodes with lerobot itself: a video camera, and one of pictures."""
    root = tmp_path_factory.mktemp("lerobot") / "raw"
    image = {"shape": (64, 64, 3), "names": ["height", "width", "channels"]}
    features = {
        FRONT: {"dtype": "video", **image},
        WRIST: {"dtype": "image", **image},
        "observation.state": {"dtype": "float32", "shape": (3,), "names": ["x", "y", "z"]},
        "action": {"dtype": "float32", "shape": (2,), "names": None},
    }
    made = real_lerobot.datasets.LeRobotDataset.create("tests/demo", 10, features, root=root)
    row = 0
    for length in LENGTHS:
        for _ in range(length):
            state = np.full(3, row, np.float32)
            action = np.zeros(2, np.float32)
            frame = {FRONT: FRAMES[row], WRIST: FRAMES[-1 - row], "observation.state": state}
            made.add_frame({**frame, "action": action, "task": "lift"})
            row += 1
        made.save_episode()
    made.finalize()
    return root


@pytest.fixture(scope="module")
def target(source: Path) -> Path:
    made = source.with_name("stem")
    invert_dataset(source, made, CONFIG)
    assert verify_dataset(source, made) == []
    return made


def test_lerobot_iterates_a_converted_data_set(source: Path, target: Path) -> None:
    before, after = real_lerobot.open_dataset(source), real_lerobot.open_dataset(target)
    assert len(after) == len(before) == 9
    assert after.fps == before.fps
    stems = StemPipeline(CONFIG)(FRAMES)
    for row in range(9):
        one, other = before[row], after[row]
        assert set(one) == set(other)
        for key in set(one) - {FRONT, WRIST, "task"}:
            assert torch.equal(one[key], other[key])
        assert one["task"] == other["task"] == "lift"
        wrist = (other[WRIST] * 255).round().byte().permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(wrist, stems[-1 - row])
        shown = next(iter(read_video(next(target.rglob("*.mp4")))[row][1:]))
        np.testing.assert_allclose(other[FRONT].permute(1, 2, 0).numpy(), shown / 255, atol=1e-6)
    window = real_lerobot.datasets.LeRobotDataset(
        "tests/demo", target, delta_timestamps={WRIST: [-0.1, 0.0]}, video_backend="pyav"
    )
    assert window[6][WRIST].shape == (2, 3, 64, 64)


def test_statistics_are_loaded_and_codecs_kept(source: Path, target: Path) -> None:
    before, after = real_lerobot.open_dataset(source).meta, real_lerobot.open_dataset(target).meta
    codecs = [meta.features[FRONT]["info"]["video.codec"] for meta in (before, after)]
    assert codecs == ["av1", "av1"]
    stems = StemPipeline(CONFIG)(FRAMES) / 255
    stats = after.stats[WRIST]  # of the other, a codec has had the raw frames first
    np.testing.assert_allclose(stats["mean"].ravel(), stems.mean((0, 1, 2)))
    np.testing.assert_allclose(stats["std"].ravel(), stems.std((0, 1, 2)))
    assert after.stats[FRONT]["std"].min() > 0.01
    for name, value in before.stats["observation.state"].items():
        np.testing.assert_array_equal(after.stats["observation.state"][name], value)


def test_lerobot_opens_what_becomes_of_a_robomimic_file(tmp_path: Path) -> None:
    file = make_file(tmp_path / "demo.hdf5", size=64, demos=2, length=3)
    invert_dataset(file, tmp_path / "stem", CONFIG, to="lerobot")
    made = real_lerobot.open_dataset(tmp_path / "stem")
    assert len(made) == 6
    item = made[4]
    assert item["task"] == "Lift"
    assert item["observation.images.eye"].shape == (3, 64, 64)
    assert (item["action"].shape, item["observation.state"].shape) == ((7,), (3,))
    assert made.meta.stats["observation.images.eye"]["mean"].shape == (3, 1, 1)


def preprocessor(meta: Any) -> Any:
    """The pre-processor that lerobot makes for ACT."""
    policies = real_lerobot.policies
    inputs = {key: meta.features[key]["shape"] for key in (WRIST, "observation.state")}
    feature, kinds = policies.PolicyFeature, policies.FeatureType
    config = policies.ACTConfig(
        input_features={
            WRIST: feature(kinds.VISUAL, (3, 64, 64)),
            "observation.state": feature(kinds.STATE, inputs["observation.state"]),
        },
        output_features={"action": feature(kinds.ACTION, (2,))},
        device="cpu",
    )
    return policies.make_act_pre_post_processors(config, meta.stats)[0]


def test_a_policys_saved_preprocessor_gives_live_frames_as_the_data_set_has_them(
    target: Path, tmp_path: Path
) -> None:
    data = real_lerobot.open_dataset(target)
    trained = preprocessor(data.meta)
    seen = [trained(data[row])[WRIST] for row in range(9)]
    deployed = preprocessor(data.meta)
    step = StemProcessorStep.from_dataset(target)
    deployed.steps.insert(0, StemProcessorStep(step.config, [WRIST], step.expect))
    deployed.save_pretrained(tmp_path)
    loaded = real_lerobot.processor.DataProcessorPipeline.from_pretrained(
        tmp_path, config_filename="policy_preprocessor.json"
    )
    for row in range(9):
        live = torch.from_numpy(FRAMES[-1 - row]).permute(2, 0, 1) / 255
        assert torch.equal(loaded({**data[row], WRIST: live})[WRIST], seen[row])


def test_a_step_refuses_other_frames_than_the_policy_learned(target: Path, tmp_path: Path) -> None:
    pipeline = real_lerobot.processor.DataProcessorPipeline(
        [StemProcessorStep.from_dataset(target)]
    )
    pipeline.save_pretrained(tmp_path)
    saved = next(tmp_path.glob("*.json"))
    changed = json.loads(saved.read_text())
    changed["steps"][0]["config"]["config"]["inversion_steps"] = 6
    saved.write_text(json.dumps(changed))
    with pytest.raises(Exception, match="expected frames with fingerprint"):
        real_lerobot.processor.DataProcessorPipeline.from_pretrained(
            tmp_path, config_filename=saved.name
        )


def test_images_keep_dtype_and_layout_and_the_rest_its_values() -> None:
    step = StemProcessorStep(CONFIG)
    stem = StemPipeline(CONFIG)(FRAMES[:1])
    state, depth = torch.ones(3), torch.zeros(64, 64, 3)
    live = {FRONT: FRAMES[0], "observation.state": state, "observation.images.depth": depth}
    made = step.observation(live)
    np.testing.assert_array_equal(made[FRONT], stem[0])
    assert made["observation.state"] is state
    assert made["observation.images.depth"] is depth
    half = torch.from_numpy(FRAMES[:1]).permute(0, 3, 1, 2).to(torch.float16) / 255
    assert step.observation({FRONT: half})[FRONT].dtype == torch.float16
    with pytest.raises(KeyError, match="name the images with keys"):
        step.observation({"pixels": FRAMES[0]})
    with pytest.raises(ValueError, match="noise='episode'"):
        StemProcessorStep({"noise": "episode"})
