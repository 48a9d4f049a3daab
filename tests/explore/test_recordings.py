"""Frames of every format by episode and camera, as the files hold them."""

from __future__ import annotations

from typing import Any

import h5py
import lerobot_files
import numpy as np
import pytest
from robomimic_files import make_file

from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets import invert_dataset
from stemob_wrappers.explore.recordings import Recordings
from stemob_wrappers.pictures import write_image
from stemob_wrappers.videos import read_video, write_video


def test_frames_of_a_robomimic_file(tmp_path):
    path = make_file(tmp_path / "demos.hdf5", demos=2)
    recordings = Recordings(path)
    cameras = ("agentview_image", "eye_image")
    assert list(recordings.tracks) == [f"demo_{n} {camera}" for n in (0, 1) for camera in cameras]
    with h5py.File(path) as file:
        for row in (0, 5):
            stored: Any = file["data/demo_1/obs/eye_image"]
            np.testing.assert_array_equal(recordings.frame("demo_1 eye_image", row), stored[row])


def test_of_stacked_frames_channels_first_the_newest_is_shown(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (3, 2, 3, 16, 20), np.uint8)
    with h5py.File(tmp_path / "demos.hdf5", "w") as file:
        file["data/demo_0/obs/front"] = frames
    recordings = Recordings(tmp_path / "demos.hdf5")
    shown = recordings.frame("demo_0 front", 2)
    np.testing.assert_array_equal(shown, frames[2, 1].transpose(1, 2, 0))


def test_frames_of_a_lerobot_data_set(tmp_path):
    recordings = Recordings(lerobot_files.make_dataset(tmp_path / "lift"))
    track = f"1 {lerobot_files.VIDEO}"
    assert recordings.tracks[track].count == 4
    shapes = {recordings.frame(track, row).shape for row in range(4)}
    assert shapes == {lerobot_files.SHAPE}
    first, last = recordings.frame(track, 0), recordings.frame(track, 3)
    assert np.abs(first.astype(int) - last).mean() > 1


def test_a_folder_of_pictures_is_one_track_and_a_video_another(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    for number, frame in enumerate(frames):
        write_image(tmp_path / "set" / "a" / f"{number}.png", frame)
    write_video(tmp_path / "set" / "b.mp4", iter(frames), 10.0)
    recordings = Recordings(tmp_path / "set")
    assert {name: track.count for name, track in recordings.tracks.items()} == {"a": 3, "b.mp4": 3}
    np.testing.assert_array_equal(recordings.frame("a", 1), frames[1])
    decoded = list(read_video(tmp_path / "set" / "b.mp4"))
    np.testing.assert_array_equal(recordings.frame("b.mp4", 2), decoded[2])


def test_what_is_not_there_is_said(tmp_path):
    path = make_file(tmp_path / "demos.hdf5", demos=1)
    recordings = Recordings(path)
    with pytest.raises(ValueError, match="no 'demo_9 eye_image'; it has demo_0 agentview_image"):
        recordings.frame("demo_9 eye_image", 0)
    with pytest.raises(ValueError, match="frames 0 to 5, received 6"):
        recordings.frame("demo_0 eye_image", 6)
    with pytest.raises(FileNotFoundError):
        Recordings(tmp_path / "gone.hdf5")
    invert_dataset(path, tmp_path / "stem.hdf5", StemConfig())
    with pytest.raises(ValueError, match="stem frames already"):
        Recordings(tmp_path / "stem.hdf5")
