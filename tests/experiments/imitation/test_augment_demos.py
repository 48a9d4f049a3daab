"""Every demonstration is there once for each augmentation, and only its frames change."""

import h5py
import numpy as np
import pytest
import squares
import torch

from experiments.imitation import augment_demos as script
from experiments.imitation import data
from stemob_wrappers.augment import AUGMENTATIONS

CHOSEN = ["none", "random_conv", "colour_jitter"]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return squares.make_demos(tmp_path_factory.mktemp("demos") / "demos.hdf5", length=6)


@pytest.fixture(scope="module")
def augmented(source):
    return script.augment_demos(source, source.with_name("augmented.hdf5"), CHOSEN)


def test_all_stay_in_the_split_of_their_demonstration(source, augmented):
    for split in ("train", "valid"):
        once, every = data.load_demos(source, split), data.load_demos(augmented, split)
        assert len(every) == len(CHOSEN) * len(once)
        for part in every.actions.chunk(len(CHOSEN)):
            assert torch.equal(part, once.actions)
        for part in every.hand.chunk(len(CHOSEN)):
            assert torch.equal(part, once.hand)
    with h5py.File(augmented) as file:
        assert file["data"].attrs["total"] == 5 * 6 * len(CHOSEN)


def test_frames_are_the_augmentations(source, augmented):
    with h5py.File(source) as original, h5py.File(augmented) as file:
        for number, augmentation in ((0, "none"), (5, "random_conv"), (10, "colour_jitter")):
            for place, camera in enumerate(squares.CAMERAS):
                frames = np.asarray(original[f"data/demo_0/obs/{camera}"])
                written = np.asarray(file[f"data/demo_{number}/obs/{camera}"])
                if augmentation == "none":
                    assert np.array_equal(written, frames)
                    continue
                generator = torch.Generator().manual_seed(1_000 * number + place)
                images = torch.from_numpy(frames).permute(0, 3, 1, 2) / 255
                wanted = AUGMENTATIONS[augmentation](images, generator).permute(0, 2, 3, 1)
                assert np.abs(written / 255 - wanted.numpy()).max() <= 0.5 / 255 + 1e-6
                assert np.abs(written.astype(int) - frames).mean() > 5


def test_more_copies_are_more_draws_and_fewer_take_turns(source, tmp_path):
    seven = script.augment_demos(source, tmp_path / "seven.hdf5", CHOSEN, copies=7)
    with h5py.File(source) as original, h5py.File(seven) as file:
        assert len(list(file["data"])) == 7 * 5  # pyright: ignore
        camera = f"obs/{squares.CAMERAS[0]}"
        frames = np.asarray(original[f"data/demo_0/{camera}"])
        copies = [np.asarray(file[f"data/demo_{5 * copy}/{camera}"]) for copy in range(7)]
    assert [np.array_equal(copy, frames) for copy in copies] == [True] + 6 * [False]
    assert len({copy.tobytes() for copy in copies}) == 7
    one = script.augment_demos(source, tmp_path / "one.hdf5", ["none", "random_conv"], copies=1)
    with h5py.File(source) as original, h5py.File(one) as file:
        same = [
            np.array_equal(
                np.asarray(original[f"data/demo_{n}/{camera}"]),
                np.asarray(file[f"data/demo_{n}/{camera}"]),
            )
            for n in range(4)  # of the training split
        ]
    assert same == [True, False, True, False]


def test_what_cannot_be_is_refused(source, augmented, tmp_path):
    with pytest.raises(ValueError, match=r"none or of .*; received \['mixup'\]"):
        script.augment_demos(source, tmp_path / "a.hdf5", ["none", "mixup"])
    with pytest.raises(ValueError, match="copies must be 1 or more, received 0"):
        script.augment_demos(source, tmp_path / "a.hdf5", copies=0)
    with pytest.raises(FileNotFoundError, match="no demonstrations at"):
        script.augment_demos(tmp_path / "none.hdf5", tmp_path / "a.hdf5")
    with pytest.raises(FileExistsError, match="move it or name another"):
        script.augment_demos(source, augmented)


def test_one_that_broke_off_leaves_no_file(source, tmp_path, monkeypatch):
    def fail(images, generator):
        raise OSError("disk full")

    monkeypatch.setitem(AUGMENTATIONS, "random_conv", fail)
    with pytest.raises(OSError, match="disk full"):
        script.augment_demos(source, tmp_path / "a.hdf5", CHOSEN)
    assert not (tmp_path / "a.hdf5").exists()
