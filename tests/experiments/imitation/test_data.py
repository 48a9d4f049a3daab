"""Demonstrations are read as they were written, and batches hold what belongs together."""

from typing import Any

import h5py
import numpy as np
import pytest
import squares
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from experiments.imitation import data


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return squares.make_demos(tmp_path_factory.mktemp("demos") / "demos.hdf5", length=6)


def test_splits_hold_the_steps_of_their_demonstrations(file):
    train, valid = data.load_demos(file, "train"), data.load_demos(file, "valid")
    assert (len(train), len(valid)) == (24, 6)
    assert train.shapes() == {
        "cameras": list(squares.CAMERAS),
        "size": (squares.SIZE, squares.SIZE),
        "num_actions": 7,
    }
    with h5py.File(file) as written:
        last: Any = written["data/demo_4"]
        assert np.array_equal(valid.actions, last["actions"])
        assert np.array_equal(valid.images["agentview_image"], last["obs/agentview_image"])


def test_chunks_stay_within_their_demonstration_and_repeat_its_last_action(file):
    demos = data.load_demos(file, "train")
    batch = data.take_batch(demos, torch.tensor([4, 6]), 4)
    assert torch.equal(batch.actions[0], demos.actions[[4, 5, 5, 5]])
    assert torch.equal(batch.actions[1], demos.actions[[6, 7, 8, 9]])
    assert torch.equal(batch.hand, demos.hand[[4, 6]])
    frame = batch.images["agentview_image"][1]
    assert torch.allclose(frame.permute(1, 2, 0) * 255, demos.images["agentview_image"][6].float())


@settings(max_examples=30)
@given(
    size=st.integers(5, 60), batch_size=st.integers(1, 5), epoch=st.integers(0, 3),
    seed=st.integers(0, 9),
)  # fmt: skip
def test_an_epoch_sees_no_sample_twice(size, batch_size, epoch, seed):
    steps = size // batch_size
    batches = [
        data.shuffled_index(size, batch_size, epoch * steps + step, seed) for step in range(steps)
    ]
    seen = torch.cat(batches).tolist()
    assert len(set(seen)) == len(seen) == steps * batch_size
    assert set(seen) <= set(range(size))


def test_epochs_and_seeds_are_shuffled_differently():
    orders = [
        data.shuffled_index(100, 100, step, seed).tolist()
        for step, seed in [(0, 0), (1, 0), (0, 1)]
    ]
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_the_hand_is_the_same_under_both_signs_of_its_quaternion():
    proprio = torch.from_numpy(squares.proprio(np.random.default_rng(0), 8))
    hand = data.hand_state(proprio)
    matrix = Rotation.from_quat(proprio[:, data.HAND_QUATERNION].numpy()).as_matrix()
    columns = np.concatenate([matrix[:, :, 0], matrix[:, :, 1]], axis=1)
    assert np.allclose(hand[:, 3:9], columns, atol=1e-5)
    assert torch.equal(hand[:, :3], proprio[:, 35:38])
    assert torch.equal(hand[:, 9:], proprio[:, 46:48])
    proprio[:, data.HAND_QUATERNION] *= -1
    assert torch.equal(data.hand_state(proprio), hand)


def test_the_hand_stands_where_robosuite_puts_it():
    gym = pytest.importorskip("gymnasium")
    pytest.importorskip("robosuite")
    env = gym.make("stemob_wrappers:stemob/Lift-v0", cameras=())
    observation, _ = env.reset(seed=0)
    states = env.unwrapped.simulator._get_observations()
    env.close()
    proprio = observation["proprio"]
    assert proprio.shape == (data.PROPRIO_SIZE,)
    assert np.allclose(proprio[data.HAND_POSITION], states["robot0_eef_pos"])
    assert np.allclose(proprio[data.HAND_QUATERNION], states["robot0_eef_quat"])
    assert np.allclose(proprio[data.FINGERS], states["robot0_gripper_qpos"])


def test_files_that_do_not_fit_are_refused(file, tmp_path):
    with pytest.raises(ValueError, match="needs the names of demonstrations in mask/test"):
        data.load_demos(file, "test")
    with pytest.raises(ValueError, match="got 39"):
        data.hand_state(torch.zeros(1, 39))
    blind = squares.make_demos(tmp_path / "blind.hdf5", demos=2, length=2)
    with h5py.File(blind, "a") as written:
        del written["data/demo_0/obs/proprio"]
    with pytest.raises(ValueError, match=r"obs/proprio.*demo_0 has"):
        data.load_demos(blind, "train")
