"""A converted file is the source with other pixels, and nothing else."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from robomimic_files import contents, make_file

from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets import invert_dataset, read_provenance, verify_dataset
from stemob_wrappers.stem.pipeline import StemPipeline

CONFIG = StemConfig(inversion_steps=5)
IMAGES = ("agentview_image", "eye_image")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_file(tmp_path_factory.mktemp("source") / "demo.hdf5")


@pytest.fixture(scope="module")
def converted(source: Path) -> Path:
    target = source.with_name("stem.hdf5")
    before = source.read_bytes(), source.stat().st_mtime_ns
    summary = invert_dataset(source, target, CONFIG)
    assert (source.read_bytes(), source.stat().st_mtime_ns) == before
    assert (summary.items, summary.failed, summary.frames) == (3, [], 3 * 2 * 2 * 6)
    assert not target.with_name("stem.hdf5.parts").exists()
    return target


def is_image(name: str) -> bool:
    return name.endswith(IMAGES)


def test_all_but_the_images_is_carried_over_bit_for_bit(source: Path, converted: Path) -> None:
    before, after = contents(source), contents(converted)
    assert set(before) == set(after)
    for name in before:
        if name != "/data attrs" and not is_image(name):
            assert after[name] == before[name], name
    for name in ("/data/demo_0/obs/depth_image", "/data/demo_0/elsewhere", "/mask/train"):
        assert name in after


def test_the_bytes_do_not_depend_on_when_they_are_written(
    source: Path, converted: Path, tmp_path: Path
) -> None:
    # HDF5 would note the second; `converted` may have been made in this one.
    time.sleep(max(0.0, converted.stat().st_mtime + 1.1 - time.time()))
    again = tmp_path / "stem.hdf5"
    invert_dataset(source, again, CONFIG)
    assert again.read_bytes() == converted.read_bytes()


def test_compressed_data_is_copied_as_raw_chunks(source: Path, converted: Path) -> None:
    with h5py.File(source) as before, h5py.File(converted) as after:
        ours: Any = after["data/demo_1/actions"]
        theirs: Any = before["data/demo_1/actions"]
        assert ours.id.get_num_chunks() == theirs.id.get_num_chunks() > 1
        for row in range(0, len(ours), 2):
            chunk = ours.id.read_direct_chunk((row, 0))
            assert chunk == theirs.id.read_direct_chunk((row, 0))


def test_objects_with_two_names_stay_one_object(converted: Path) -> None:
    with h5py.File(converted) as file:
        assert file["data/demo_0/actions"] == file["data/demo_0/rewards"]


def test_an_image_under_two_names_is_converted_under_both(tmp_path: Path) -> None:
    source = make_file(tmp_path / "demo.hdf5", demos=1)
    with h5py.File(source, "a") as file:
        file["data/demo_0/next_obs/alias"] = file["data/demo_0/obs/eye_image"]
        file["data/demo_0/itself"] = file["data/demo_0"]
    invert_dataset(source, tmp_path / "stem.hdf5", CONFIG)
    with h5py.File(source) as before, h5py.File(tmp_path / "stem.hdf5") as file:
        demo: Any = file["data/demo_0"]
        raw: Any = before["data/demo_0/obs/eye_image"]
        assert demo["next_obs/alias"] == demo["obs/eye_image"]
        assert demo["itself"] == demo
        assert (demo["obs/eye_image"][:] != raw[:]).any()
    assert verify_dataset(source, tmp_path / "stem.hdf5") == []


def test_images_are_the_pipelines_frames(source: Path, converted: Path) -> None:
    pipeline = StemPipeline(CONFIG, cache=False)
    with h5py.File(source) as before, h5py.File(converted) as after:
        for path in ("demo_0/obs/agentview_image", "demo_2/next_obs/eye_image"):
            raw: Any = before[f"data/{path}"]
            stem: Any = after[f"data/{path}"]
            assert (stem.chunks, stem.compression) == (raw.chunks, raw.compression)
            error = np.abs(pipeline(raw[:]).astype(int) - stem[:])
            assert error.max() <= 1
        shared: Any = after["data/demo_0/obs/eye_image"]
        following: Any = after["data/demo_0/next_obs/eye_image"]
        np.testing.assert_array_equal(shared[1:], following[:-1])
        assert shared.attrs.keys() == {"fov"}


def test_frames_that_obs_and_next_obs_share_are_inverted_once(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    invert = StemPipeline._invert

    def counted(self: Any, frames: Any, noise: Any) -> Any:
        counts.append(len(frames))
        return invert(self, frames, noise)

    monkeypatch.setattr(StemPipeline, "_invert", counted)
    twins = tmp_path / "twins.hdf5"
    shutil.copyfile(source, twins)
    with h5py.File(twins, "a") as file:
        data: Any = file["data"]
        file.copy(data["demo_0"], data, "demo_3")
    invert_dataset(twins, tmp_path / "stem.hdf5", CONFIG)
    # Demos, cameras, frames of an episode of 6 steps: batches depend on the demo alone.
    assert counts == [7] * 4 * 2


def test_provenance_stands_beside_env_kwargs(source: Path, converted: Path) -> None:
    made_by = read_provenance(converted)
    assert made_by["config"] == CONFIG.to_dict()
    assert made_by["fingerprint"] == StemPipeline(CONFIG).fingerprint
    with h5py.File(source) as before, h5py.File(converted) as after:
        theirs = json.loads(str(before["data"].attrs["env_args"]))
        ours = json.loads(str(after["data"].attrs["env_args"]))
    assert ours.pop("stemob")["fingerprint"] == made_by["fingerprint"]
    assert ours == theirs
    with pytest.raises(ValueError, match="does not say what made its frames"):
        read_provenance(source)


def test_selection_by_key_filter_and_number(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "stem.hdf5"
    invert_dataset(source, target, CONFIG, keys=["eye_image"], filter_key="train", num_trajs=1)
    before, after = contents(source), contents(target)
    name = "/data/demo_0/obs/agentview_image"
    assert after[name] == before[name]
    assert after[name.replace("agentview", "eye")] != before[name.replace("agentview", "eye")]
    with h5py.File(target) as file:
        data: Any = file["data"]
        masks: Any = file["mask"]
        assert (list(data), data.attrs["total"]) == (["demo_0"], 6)
        assert (list(masks["train"][:]), list(masks["valid"][:])) == ([b"demo_0"], [])


@pytest.mark.parametrize("noise", ["frame", "fixed", "episode", "fresh"])
def test_draws_become_extra_demos(source: Path, tmp_path: Path, noise: str) -> None:
    target = tmp_path / "stem.hdf5"
    invert_dataset(source, target, CONFIG.replace(noise=noise), draws=2)
    with h5py.File(target) as file:
        data: Any = file["data"]
        masks: Any = file["mask"]
        assert sorted(data) == [f"demo_{number}" for number in range(6)]
        assert data.attrs["total"] == 36
        assert set(masks["valid"][:]) == {b"demo_2", b"demo_5"}
        first, second = data["demo_1/obs/eye_image"][:], data["demo_4/obs/eye_image"][:]
        assert (first != second).mean() > 0.3
        np.testing.assert_array_equal(data["demo_1/actions"][:], data["demo_4/actions"][:])
        assert data["demo_4"].attrs["stemob_source"] == "demo_1"


def test_robomimics_own_reader_reads_it(converted: Path) -> None:
    dataset = pytest.importorskip(
        "robomimic.utils.dataset", reason="robomimic is not installed: pip install --no-deps"
    )
    from robomimic.utils import obs_utils  # pyright: ignore[reportMissingImports]

    obs_utils.initialize_obs_utils_with_obs_specs({"obs": {"rgb": list(IMAGES)}})
    reader = dataset.SequenceDataset(
        hdf5_path=str(converted),
        obs_keys=IMAGES,
        dataset_keys=("actions",),
        seq_length=2,
        filter_by_attribute="train",
        load_next_obs=True,
    )
    assert len(reader) == 12
    sample = reader[7]
    with h5py.File(converted) as file:
        stored: Any = file["data/demo_1/obs/eye_image"]
        np.testing.assert_array_equal(sample["obs"]["eye_image"][0], stored[1])
        np.testing.assert_array_equal(sample["next_obs"]["eye_image"][0], stored[2])
    reader.close_and_delete_hdf5_handle()


@pytest.mark.parametrize("layout", ["channels first", "stacked", "nested"])
def test_other_image_layouts(tmp_path: Path, layout: str) -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (5, 2, 16, 16, 3), dtype=np.uint8)
    arrays = {
        "channels first": np.moveaxis(frames[:, 0], -1, 1),
        "stacked": frames,
        "nested": frames[:, 0],
    }
    key = "images/front" if layout == "nested" else "front"
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file[f"data/demo_0/obs/{key}"] = arrays[layout]
        file["data/demo_0/obs/front_depth"] = frames[:, 0]
    invert_dataset(tmp_path / "a.hdf5", tmp_path / "b.hdf5", CONFIG, keys=[key])
    with h5py.File(tmp_path / "b.hdf5") as file:
        stem: Any = file[f"data/demo_0/obs/{key}"]
        stem = np.moveaxis(stem[:], 1, -1) if layout == "channels first" else stem[:]
        depth: Any = file["data/demo_0/obs/front_depth"]
        np.testing.assert_array_equal(depth[:], frames[:, 0])
    expected = StemPipeline(CONFIG)(frames.reshape(-1, 16, 16, 3)).reshape(frames.shape)
    error = np.abs(stem.reshape(5, -1, 16, 16, 3).astype(int) - expected[:, : stem.ndim - 3])
    assert error.max() <= 1


def test_bad_requests(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "stem.hdf5"
    with pytest.raises(ValueError, match="'agentview_image', 'eye_image'"):
        invert_dataset(source, target, CONFIG, keys=["agentview"])
    with pytest.raises(ValueError, match="it has 'train', 'valid'"):
        invert_dataset(source, target, CONFIG, filter_key="test")
    for num_trajs in (0, -1):
        with pytest.raises(ValueError, match="num_trajs must be 1 or more"):
            invert_dataset(source, target, CONFIG, num_trajs=num_trajs)
    with pytest.raises(FileNotFoundError, match="no data set"):
        invert_dataset(tmp_path / "none.hdf5", target, CONFIG)
    (tmp_path / "text.hdf5").write_text("no HDF5")
    with pytest.raises(OSError, match=r"text\.hdf5"):
        invert_dataset(tmp_path / "text.hdf5", target, CONFIG)
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["a"] = 1
    with pytest.raises(ValueError, match="no group 'data'"):
        invert_dataset(tmp_path / "other.hdf5", target, CONFIG)
    assert not list(tmp_path.glob("stem*"))


def test_a_name_that_is_no_text_is_carried_over(source: Path, tmp_path: Path) -> None:
    odd = shutil.copy(source, tmp_path / "odd.hdf5")
    with h5py.File(odd, "r+") as file:
        low: Any = h5py.h5a
        attribute = low.create(
            file["data"].id, b"\xff", h5py.h5t.NATIVE_INT64, h5py.h5s.create(h5py.h5s.SCALAR)
        )
        attribute.write(np.array(7))
    invert_dataset(odd, tmp_path / "stem.hdf5", CONFIG)
    with h5py.File(tmp_path / "stem.hdf5") as file:
        assert h5py.h5a.exists(file["data"].id, b"\xff")
