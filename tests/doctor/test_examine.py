"""Every fault that the doctor names, made in a real file of robosuite's states and frames."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from doctor_files import KEY, SIZE, STATES, damaged, faults

from stemob_wrappers import StemConfig
from stemob_wrappers.cli.app import app
from stemob_wrappers.datasets import invert_dataset
from stemob_wrappers.doctor.examine import examine
from stemob_wrappers.doctor.findings import MENDS
from stemob_wrappers.doctor.replay import Replay
from stemob_wrappers.doctor.sample import take_sample

if importlib.util.find_spec("robosuite") is None:
    pytest.skip("needs robosuite", allow_module_level=True)


def test_a_sound_file_has_no_fault(sound: Path) -> None:
    found = examine(sound, states=STATES)
    assert not found.findings
    assert found.comparisons[0].apart == 0  # rendered again to the last bit
    assert len(found.comparisons[0].rows) == STATES


def test_a_sound_converted_file_has_no_fault(stem: Path) -> None:
    found = examine(stem, states=STATES)
    assert not found.findings
    assert found.comparisons[0].apart <= 1


def test_small_stem_frames_are_those_of_the_size_that_the_env_renders(
    sound: Path, tmp_path: Path
) -> None:
    target = tmp_path / "small.hdf5"
    invert_dataset(sound, target, StemConfig(resize=(24, 24), output="small"))
    found = examine(target, states=STATES)
    assert not found.findings
    assert found.comparisons[0].rows[0][2].shape == (24, 24, 3)


GAMMA = (255 * (np.arange(256) / 255) ** 1.8).astype(np.uint8)
CONTRAST = np.clip(0.7 * np.arange(256) + 20, 0, 255).astype(np.uint8)
DAMAGES = {
    "flipped": (lambda f: f[:, ::-1], {"flipped"}, "upside down"),
    "mirrored": (lambda f: f[:, :, ::-1], {"mirrored"}, "left for right"),
    "turned by 180 degrees": (lambda f: f[:, ::-1, ::-1], {"flipped", "mirrored"}, "upside down"),
    "BGR": (lambda f: f[..., ::-1], {"channel order"}, "stored as BGR"),
    "flipped BGR": (lambda f: f[:, ::-1, :, ::-1], {"flipped", "channel order"}, "BGR"),
    "gamma": (lambda f: GAMMA[f], {"colour or contrast"}, "gamma 1.8"),
    "contrast": (lambda f: CONTRAST[f], {"colour or contrast"}, "contrast times 0.70, brightness"),
    "mirrored gamma": (lambda f: GAMMA[f[:, :, ::-1]], {"mirrored", "colour or contrast"}, "left"),
    "noise": (
        lambda f: np.random.default_rng(0).integers(0, 256, f.shape, np.uint8),
        {"unexplained"},
        "whatever view",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_frames_that_were_changed(sound: Path, tmp_path: Path, name: str) -> None:
    change, expected, said = DAMAGES[name]
    found = examine(damaged(sound, tmp_path, change), states=STATES)
    assert faults(found) == expected
    assert any(said in finding.seen for finding in found.findings)
    if not expected & {"unexplained", "colour or contrast"}:  # then nothing else is wrong
        for _, stored, _, mended in found.comparisons[0].rows:
            np.testing.assert_array_equal(stored, mended)


def test_another_camera(sound: Path, tmp_path: Path) -> None:
    other = np.load(sound.with_suffix(".npy"))
    found = examine(damaged(sound, tmp_path, lambda _: other), states=STATES)
    assert faults(found) == {"other camera"}
    assert "it shows frontview" in found.findings[0].seen
    found = examine(damaged(sound, tmp_path, lambda f: f, "left_image"), states=STATES)
    assert faults(found) == {"other camera"}
    assert "it shows agentview" in found.findings[0].seen


@pytest.mark.parametrize("how", ["rendered at that size", "resized from 48 x 48"])
def test_another_size(sound: Path, lift: Any, tmp_path: Path, how: str) -> None:
    def smaller(frames: Any) -> Any:
        return np.stack([cv2.resize(f, (36, 24), interpolation=cv2.INTER_AREA) for f in frames])

    if how == "rendered at that size":
        size = {"camera_heights": SIZE + 16, "camera_widths": SIZE + 16}
        kwargs = {"robots": ["Panda"], "camera_names": ["agentview"], **size}
        broken = damaged(sound, tmp_path, env_kwargs=kwargs)
    else:
        broken = damaged(sound, tmp_path, smaller)
    found = examine(broken, states=1)
    assert faults(found) == {"other size"}
    assert found.findings[0].seen.endswith(f"they were {how}")


def test_another_rendering(sound: Path, lift: Any, tmp_path: Path) -> None:
    sample = take_sample(sound, STATES)
    replay = Replay(sample.env_args, sample.states)
    fast = replay.draw("agentview", (SIZE, SIZE), "fast")
    replay.close()
    found = examine(damaged(sound, tmp_path, lambda _: fast), states=STATES)
    assert faults(found) == {"other rendering"}


def test_another_version(sound: Path, tmp_path: Path) -> None:
    broken = damaged(sound, tmp_path, env_version="1.4.1", mujoco_version="2.3.2")
    found = examine(broken, states=STATES)
    assert faults(found) == {"robosuite version", "MuJoCo version"}
    assert "recorded with 1.4.1, here is" in found.findings[0].seen
    assert "the frames are the same" in found.findings[0].seen


def test_a_missing_model_file(sound: Path, tmp_path: Path) -> None:
    broken = damaged(sound, tmp_path)
    with h5py.File(broken, "r+") as file:
        del file["data/demo_0"].attrs["model_file"]
    found = examine(broken, states=STATES)
    assert "missing model file" in faults(found)
    assert not next(f for f in found.findings if f.fault == "missing model file").mendable


def test_states_of_another_model(sound: Path, tmp_path: Path) -> None:
    broken = damaged(sound, tmp_path, env_version="1.0.0")
    with h5py.File(broken, "r+") as file:
        demo: Any = file["data/demo_0"]
        states = demo["states"][:, :-2]
        del demo["states"]
        demo["states"] = states
    found = examine(broken, states=STATES)
    assert faults(found) == {"states do not fit", "robosuite version"}
    assert "the model here" in found.findings[0].seen


def test_arguments_of_another_robosuite(sound: Path, tmp_path: Path) -> None:
    broken = damaged(sound, tmp_path, env_kwargs={"robots": ["Panda"], "gripper_visualization": 1})
    found = examine(broken, states=STATES)
    assert faults(found) == {"states do not fit"}
    assert "cannot build the file's env" in found.findings[0].seen


def test_a_stem_level_that_is_not_what_the_file_says(stem: Path, tmp_path: Path) -> None:
    broken = damaged(stem, tmp_path)
    with h5py.File(broken, "r+") as file:
        attributes: Any = file["data"].attrs
        config = json.loads(attributes["stemob_config"])
        attributes["stemob_config"] = json.dumps({**config, "inversion_steps": 3})
    found = examine(broken, states=STATES)
    assert faults(found) == {"wrong stem level", "wrong fingerprint"}
    assert "10 inversion steps, where the file says 3" in [f.seen for f in found.findings][-1]


def test_weights_that_are_not_those_here(stem: Path, tmp_path: Path) -> None:
    broken = damaged(stem, tmp_path)
    with h5py.File(broken, "r+") as file:
        attributes: Any = file["data"].attrs
        identity = json.loads(attributes["stemob_identity"])
        attributes["stemob_identity"] = json.dumps({**identity, "weights": "others"})
        attributes["stemob_fingerprint"] = "0" * 32
    found = examine(broken, states=STATES)
    assert faults(found) == {"wrong fingerprint"}
    assert "weights: 'others' in the file" in found.findings[0].seen


def test_raw_frames_under_the_name_of_stems(sound: Path, stem: Path, tmp_path: Path) -> None:
    with h5py.File(sound) as file:
        raw: Any = file[f"data/demo_0/obs/{KEY}"]
        raw = raw[:]
    found = examine(damaged(stem, tmp_path, lambda _: raw), states=STATES)
    assert faults(found) == {"not stem frames"}


@pytest.mark.parametrize("level", [5, 15])
def test_stems_of_frames_that_were_recorded_in_motion(
    sound: Path, tmp_path: Path, level: int
) -> None:
    """One pixel is another: all noise is, and yet view and level are told."""

    def moved(frames: Any) -> Any:
        frames = frames[:, :, ::-1].copy()
        frames[:, 0, 0] ^= 1
        return frames

    mirrored = damaged(sound, tmp_path, moved)
    target = tmp_path / "stem.hdf5"
    invert_dataset(mirrored, target, StemConfig(inversion_steps=level))
    assert faults(examine(target, states=STATES)) == {"mirrored"}


def test_the_command_writes_one_page(sound: Path, tmp_path: Path, capsys: Any) -> None:
    page = tmp_path / "page.html"
    broken = damaged(sound, tmp_path, DAMAGES["flipped BGR"][0])
    arguments = ["doctor", str(broken), "--out", str(page), "--states", str(STATES)]
    assert app(arguments, standalone_mode=False) == 1
    printed = capsys.readouterr().out
    assert f"flipped ({KEY}): upside down" in printed
    assert "images[:, ::-1]: nothing is lost" in printed
    text = page.read_text()
    assert text.count("<img") == 5 * STATES
    assert "://" not in text
    assert app([*arguments[:1], str(sound), *arguments[2:]], standalone_mode=False) != 1
    assert "nothing is wrong" in page.read_text()


def test_bad_requests(sound: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"no image 'front' in obs; there is {KEY}"):
        examine(sound, keys=["front"])
    broken = damaged(sound, tmp_path)
    with h5py.File(broken, "r+") as file:
        del file["data/demo_0/states"]
    with pytest.raises(ValueError, match="has no states"):
        examine(broken)


def test_every_fault_has_a_test_and_a_mend() -> None:
    text = Path(__file__).read_text()
    assert [fault for fault in MENDS if f'"{fault}"' not in text] == []
