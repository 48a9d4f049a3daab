"""What the links and the storage of a source say: never written to, never left raw in silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from stemob_wrappers.cli.visualize import visualize
from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets import invert_dataset, merge_shards, verify_dataset
from stemob_wrappers.datasets.hdf5.outside import is_plain
from stemob_wrappers.stem.pipeline import StemPipeline

CONFIG = StemConfig(inversion_steps=5)
FRAMES = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
IMAGE = "data/demo_0/obs/front"


def external(path: Path) -> Path:
    """The image, and the actions, lie in raw files that the source names."""
    (path.parent / "raw.bin").write_bytes(FRAMES.tobytes())
    (path.parent / "actions.bin").write_bytes(np.arange(28.0).tobytes())
    with h5py.File(path, "w") as file:
        raw = [(str(path.parent / "raw.bin"), 0, FRAMES.nbytes)]
        file.create_dataset(IMAGE, FRAMES.shape, np.uint8, external=raw)
        raw = [(str(path.parent / "actions.bin"), 0, 28 * 8)]
        file.create_dataset("data/demo_0/actions", (4, 7), float, external=raw)
        file.create_dataset("notes", (4, 7), float, external=raw)
    return path.parent / "raw.bin"


def virtual(path: Path) -> Path:
    """The image maps to a data set of another file."""
    other = path.parent / "raw.hdf5"
    with h5py.File(other, "w") as file:
        file["frames"] = FRAMES
    layout = h5py.VirtualLayout(FRAMES.shape, np.uint8)
    layout[:] = h5py.VirtualSource("raw.hdf5", "frames", FRAMES.shape)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset(IMAGE, layout)
    return other


@pytest.mark.parametrize("make", [external, virtual])
def test_values_in_other_files_are_read_and_never_written(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    source, target = tmp_path / "demo.hdf5", tmp_path / "stem.hdf5"
    make(source)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    invert_dataset(source, target, CONFIG)
    assert verify_dataset(source, target) == []
    for index in (0, 1):
        invert_dataset(source, tmp_path / f"{index}.hdf5", CONFIG, draws=2, shard=(index, 2))
    merge_shards(tmp_path / "merged.hdf5", [tmp_path / "0.hdf5", tmp_path / "1.hdf5"])
    visualize(target, tmp_path / "pictures", raw=source)
    assert {path: path.read_bytes() for path in before} == before
    for result in (target, tmp_path / "merged.hdf5"):
        with h5py.File(result) as file:
            image: Any = file[IMAGE]
            assert np.abs(StemPipeline(CONFIG)(FRAMES).astype(int) - image[:]).max() <= 1
            plain: list[bool] = []
            file.visititems(lambda _, item, plain=plain: plain.append(is_plain(item)))
            assert all(plain)
    if make is external:
        with h5py.File(target) as file:
            assert file["data/demo_0/actions"][3, 6] == file["notes"][3, 6] == 27.0  # type: ignore[index]


@pytest.mark.parametrize("make", [external, virtual])
def test_values_that_are_gone_fail_the_demo_by_name(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    """HDF5 itself gives zeros for them."""
    source = tmp_path / "demo.hdf5"
    raw = make(source)
    with h5py.File(source, "a") as file:
        file["data/demo_1/obs/front"] = FRAMES
        if "notes" in file:
            del file["notes"]
    raw.unlink()
    summary = invert_dataset(source, tmp_path / "stem.hdf5", CONFIG)
    assert summary.items == 1
    assert summary.failed[0].startswith("demo_0: ")
    assert "missing" in summary.failed[0]


def test_a_target_that_points_elsewhere_is_no_sound_result(tmp_path: Path) -> None:
    source, target = tmp_path / "demo.hdf5", tmp_path / "stem.hdf5"
    virtual(source)
    invert_dataset(source, target, CONFIG)
    with h5py.File(target, "a") as file:
        image: Any = file[IMAGE]
        stems = image[:]
        del file[IMAGE]
        (tmp_path / "stem.bin").write_bytes(stems.tobytes())
        raw = [(str(tmp_path / "stem.bin"), 0, stems.nbytes)]
        file.create_dataset(IMAGE, stems.shape, np.uint8, external=raw)
    assert "has its values in another file" in verify_dataset(source, target)[0]


def soft(file: h5py.File, folder: Path) -> None:
    file["pool/front"] = FRAMES
    file[IMAGE] = h5py.SoftLink("/pool/front")


def soft_group(file: h5py.File, folder: Path) -> None:
    file["pool/front"], file["pool/state"] = FRAMES, np.arange(4)
    file["pool/again"] = h5py.SoftLink("state")  # relative to the pool
    file["pool/itself"] = file["pool"]
    file.create_group("data/demo_0")["obs"] = h5py.SoftLink("/pool")


def external_image(file: h5py.File, folder: Path) -> None:
    with h5py.File(folder / "pool.hdf5", "w") as pool:
        pool["front"] = FRAMES
    file[IMAGE] = h5py.ExternalLink("pool.hdf5", "/front")
    file["data/demo_0/next_obs/front"] = h5py.ExternalLink("pool.hdf5", "/front")


def external_group(file: h5py.File, folder: Path) -> None:
    with h5py.File(folder / "pool.hdf5", "w") as pool:
        pool["o/front"], pool["states"] = FRAMES, np.arange(4)
        pool["o/state"] = h5py.SoftLink("/states")
    file.create_group("data/demo_0")["obs"] = h5py.ExternalLink("pool.hdf5", "/o")


def external_demo(file: h5py.File, folder: Path) -> None:
    with h5py.File(folder / "pool.hdf5", "w") as pool:
        pool["one/obs/front"], pool["one/states"] = FRAMES, np.arange(4)
        pool["one/again"] = h5py.SoftLink("/one/states")
    file.create_group("data")["demo_0"] = h5py.ExternalLink("pool.hdf5", "/one")


@pytest.mark.parametrize("link", [soft, soft_group, external_image, external_group, external_demo])
def test_images_behind_links_are_converted(tmp_path: Path, link: Callable[..., None]) -> None:
    source, target = tmp_path / "demo.hdf5", tmp_path / "elsewhere" / "stem.hdf5"
    with h5py.File(source, "w") as file:
        link(file, tmp_path)
    target.parent.mkdir()  # where relative links lead nowhere
    before = {path: path.read_bytes() for path in tmp_path.glob("*.hdf5")}
    summary = invert_dataset(source, target, CONFIG)
    assert (summary.items, summary.failed) == (1, [])
    assert verify_dataset(source, target) == []
    assert {path: path.read_bytes() for path in before} == before
    expected = StemPipeline(CONFIG)(FRAMES)
    with h5py.File(target) as file:
        assert isinstance(file["data"].get("demo_0", getlink=True), h5py.HardLink)  # type: ignore[union-attr]
        demo: Any = file["data/demo_0"]
        for group in demo:
            for name in demo[group] if isinstance(demo[group], h5py.Group) else ():
                assert isinstance(demo[group].get(name, getlink=True), h5py.HardLink)
                if name == "front":
                    assert np.abs(expected.astype(int) - demo[group][name][:]).max() <= 1


def test_a_link_that_leads_nowhere_fails_its_demo_alone(tmp_path: Path) -> None:
    source = tmp_path / "demo.hdf5"
    with h5py.File(source, "w") as file:
        for demo in range(4):
            file[f"data/demo_{demo}/obs/front"] = FRAMES
        file["data/demo_1/obs/wrist"] = h5py.SoftLink("/none")
        file["data/demo_2/obs/wrist"] = h5py.ExternalLink("none.hdf5", "/none")
        file["data/demo_3/obs/a"] = h5py.SoftLink("/data/demo_3/obs/b")
        file["data/demo_3/obs/b"] = h5py.SoftLink("/data/demo_3/obs/a")
    summary = invert_dataset(source, tmp_path / "stem.hdf5", CONFIG)
    assert summary.items == 1
    for text, link in zip(
        summary.failed, ("1: obs/wrist", "2: obs/wrist", "3: obs/a"), strict=True
    ):
        assert text.replace("cannot be read (", "").startswith(f"demo_{link}")


def test_another_file_that_changed_is_seen_when_a_run_goes_on(tmp_path: Path) -> None:
    source, target = tmp_path / "demo.hdf5", tmp_path / "stem.hdf5"
    with h5py.File(source, "w") as file:
        external_image(file, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stemob_wrappers.datasets.invert.remove", interrupt)
        with pytest.raises(KeyboardInterrupt):
            invert_dataset(source, target, CONFIG)
    with h5py.File(tmp_path / "pool.hdf5", "a") as pool:
        pool["front"][0] = 0  # type: ignore[index]
    with pytest.raises(FileExistsError, match="files differ"):
        invert_dataset(source, target, CONFIG)
    invert_dataset(source, target, CONFIG, overwrite=True)
    assert verify_dataset(source, target) == []


def interrupt(path: Path) -> None:
    raise KeyboardInterrupt
