"""A mended copy has no fault left, and all else that the file has."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from doctor_files import KEY, SIZE, STATES, damaged, faults

from stemob_wrappers import StemConfig
from stemob_wrappers.cli.app import app
from stemob_wrappers.doctor.examine import examine
from stemob_wrappers.doctor.mend import mend
from stemob_wrappers.made_by import read_provenance


def stored(path: Path, name: str = f"data/demo_0/obs/{KEY}") -> Any:
    with h5py.File(path) as file:
        values: Any = file[name]
        return values[:]


@pytest.mark.parametrize(
    ("change", "mended"),
    [
        (lambda f: f[:, ::-1], ["flipped"]),
        (lambda f: f[:, ::-1, ::-1], ["flipped", "mirrored"]),
        (lambda f: f[..., [2, 0, 1]], ["channel order"]),
        (lambda f: f[:, ::-1, :, ::-1], ["flipped", "channel order"]),
    ],
)
def test_turns_and_colours_are_undone_to_the_bit(
    sound: Path, tmp_path: Path, change: Any, mended: list[str]
) -> None:
    broken = damaged(sound, tmp_path, change)
    with h5py.File(broken, "r+") as file:
        frames: Any = file[f"data/demo_0/obs/{KEY}"]
        file.create_dataset(f"data/demo_0/next_obs/{KEY}", data=frames[:], chunks=True)
        file["data/demo_0/link"] = h5py.SoftLink(f"/data/demo_0/obs/{KEY}")
        file["mask/train"] = np.array(["demo_0"], "S6")
    before = broken.read_bytes()
    copy = tmp_path / "mended.hdf5"
    assert mend(examine(broken, states=STATES), copy) == [f"{each} ({KEY})" for each in mended]
    assert broken.read_bytes() == before
    assert not examine(copy, states=STATES).findings
    for name in ("obs", "next_obs"):
        np.testing.assert_array_equal(stored(copy, f"data/demo_0/{name}/{KEY}"), stored(sound))
    with h5py.File(copy) as after, h5py.File(broken) as file:
        assert dict(after["data/demo_0"].attrs) == dict(file["data/demo_0"].attrs)
        assert after["data"].attrs["env_args"] == file["data"].attrs["env_args"]
        assert isinstance(after.get("data/demo_0/link", getlink=True), h5py.SoftLink)
        for name in ("data/demo_0/states", "data/demo_0/actions", "mask/train"):
            np.testing.assert_array_equal(stored(copy, name), stored(broken, name))


def test_a_wrong_level_is_put_right_in_what_the_file_says(stem: Path, tmp_path: Path) -> None:
    broken = damaged(stem, tmp_path)
    with h5py.File(broken, "r+") as file:
        config = StemConfig(inversion_steps=3)
        file["data"].attrs["stemob_config"] = config.to_json()
    copy = tmp_path / "mended.hdf5"
    mended = mend(examine(broken, states=STATES), copy)
    assert mended == [f"wrong fingerprint ({KEY})", f"wrong stem level ({KEY})"]
    assert not examine(copy, states=STATES).findings
    assert read_provenance(copy) == read_provenance(stem)
    np.testing.assert_array_equal(stored(copy), stored(stem))


def test_larger_frames_are_shrunk_to_what_the_env_renders(sound: Path, tmp_path: Path) -> None:
    half = {"camera_heights": SIZE // 2, "camera_widths": SIZE // 2}
    kwargs = {"robots": ["Panda"], "camera_names": ["agentview"], **half}
    broken = damaged(sound, tmp_path, lambda f: f[:, ::-1], env_kwargs=kwargs)
    found = examine(broken, states=STATES)
    assert faults(found) == {"other size", "flipped"}
    copy = tmp_path / "mended.hdf5"
    assert mend(found, copy) == [f"other size ({KEY})", f"flipped ({KEY})"]
    assert stored(copy).shape == (STATES, SIZE // 2, SIZE // 2, 3)
    again = examine(copy, states=STATES)
    assert not again.findings
    assert again.facts[f"mended: {KEY}"] == f"shrunk from {SIZE} x {SIZE}"
    assert 0 < again.comparisons[0].apart < 4  # from what the env draws at that size


def test_what_cannot_be_mended_is_refused_and_nothing_is_written(
    sound: Path, stem: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "mended.hdf5"
    for broken in (sound, damaged(sound, tmp_path, lambda f: f // 2)):
        with pytest.raises(ValueError, match=r"can be mended in a copy \((nothing|colour)"):
            mend(examine(broken, states=STATES), copy)
    turned = examine(damaged(stem, tmp_path, lambda f: f[:, ::-1]), states=STATES)
    with pytest.raises(ValueError, match="can be mended in a copy"):
        mend(turned, copy)
    found = examine(damaged(sound, tmp_path, lambda f: f[:, ::-1]), states=STATES)
    with pytest.raises(ValueError, match="is the file itself"):
        mend(found, found.path, overwrite=True)
    copy.write_text("mine")
    with pytest.raises(FileExistsError, match="is there already"):
        mend(found, copy)
    assert copy.read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"damaged.hdf5", "mended.hdf5"}


def test_a_copy_that_fails_leaves_nothing(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = examine(damaged(sound, tmp_path, lambda f: f[:, ::-1]), states=STATES)
    monkeypatch.setattr("stemob_wrappers.doctor.mend.copy_tree", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        mend(found, tmp_path / "mended.hdf5")
    assert [path.name for path in tmp_path.iterdir()] == ["damaged.hdf5"]


def test_the_command_mends_and_looks_again(sound: Path, tmp_path: Path, capsys: Any) -> None:
    broken = damaged(sound, tmp_path, lambda f: f[:, ::-1])
    page, copy = tmp_path / "page.html", tmp_path / "mended.hdf5"
    arguments = ["doctor", str(broken), "--out", str(page), "--states", str(STATES)]
    assert app([*arguments, "--mend", str(copy)], standalone_mode=False) != 1
    printed = capsys.readouterr().out
    assert f"{copy}: mended flipped ({KEY})" in printed
    assert f"{copy}: nothing is wrong" in printed
