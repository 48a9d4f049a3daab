"""A LeRobot folder becomes one whose cameras alone are others: read with pyarrow and PyAV."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from lerobot_files import (
    DATA,
    DEPTH,
    PICTURE,
    TABLE,
    VIDEO,
    contents,
    make_dataset,
    read_video,
    video_file,
)
from PIL import Image
from robomimic_files import make_file
from typer.testing import CliRunner

from stemob_wrappers.cli.app import app
from stemob_wrappers.config import StemConfig
from stemob_wrappers.datasets import invert_dataset, read_provenance, verify_dataset
from stemob_wrappers.datasets.lerobot import source as module
from stemob_wrappers.datasets.lerobot.stats import count_levels, image_stats
from stemob_wrappers.stem.pipeline import StemPipeline

CONFIG = StemConfig(inversion_steps=5)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("source") / "data")


@pytest.fixture(scope="module")
def target(source: Path) -> Path:
    made = source.with_name("stem")
    invert_dataset(source, made, CONFIG)
    return made


def pictures(root: Path) -> Any:
    cells = pq.read_table(root / DATA).column(PICTURE).to_pylist()
    return np.stack([np.asarray(Image.open(io.BytesIO(cell["bytes"]))) for cell in cells])


def test_cameras_are_stem_frames_and_all_else_is_as_it_was(source: Path, target: Path) -> None:
    assert verify_dataset(source, target) == []
    before, after = contents(source), contents(target)
    assert set(after) == {*before, "stemob.json"}
    changed = {name for name in before if before[name] != after[name]}
    tables = {DATA, TABLE, "meta/info.json", "meta/stats.json"}
    assert changed == {*tables, video_file(VIDEO)}
    for name, left_out in ((DATA, {PICTURE}), (TABLE, set[str]())):
        one, other = pq.read_table(source / name), pq.read_table(target / name)
        assert one.schema.equals(other.schema, check_metadata=True)
        for column in one.column_names:
            if column not in left_out and not column.startswith(
                (f"stats/{VIDEO}", f"stats/{PICTURE}")
            ):
                assert one.column(column).equals(other.column(column)), column
    np.testing.assert_array_equal(pictures(target), StemPipeline(CONFIG)(pictures(source)))


def test_videos_keep_codec_times_and_what_a_codec_leaves_of_frames(
    source: Path, target: Path
) -> None:
    before, after = (read_video(root / video_file(VIDEO)) for root in (source, target))
    assert [time for time, _ in after] == pytest.approx([time for time, _ in before])
    stems = StemPipeline(CONFIG)(np.stack([frame for _, frame in before]))
    off = np.abs(np.stack([frame for _, frame in after]).astype(int) - stems).mean()
    assert off < 4
    feature = json.loads((target / "meta/info.json").read_text())["features"][VIDEO]
    assert feature["info"]["video.codec"] == "h264"
    assert feature["info"]["stemob.fingerprint"] == read_provenance(target)["fingerprint"]


def test_statistics_are_made_again(target: Path) -> None:
    frames = pictures(target)
    stats = json.loads((target / "meta/stats.json").read_text())
    assert stats["action"] == {"mean": [0.0, 0.0]}
    assert stats[PICTURE]["count"] == [len(frames)]
    np.testing.assert_allclose(np.ravel(stats[PICTURE]["mean"]), frames.mean((0, 1, 2)) / 255)
    first = pq.read_table(target / TABLE).column(f"stats/{PICTURE}/mean").to_pylist()[0]
    np.testing.assert_allclose(np.ravel(first), frames[:5].mean((0, 1, 2)) / 255)


def test_statistics_are_those_of_numpy() -> None:
    frames = np.random.default_rng(0).integers(0, 200, (3, 8, 9, 3), dtype=np.uint8)
    made = image_stats(count_levels(frames))
    values = frames.reshape(-1, 3) / 255
    for name in ("min", "max", "mean", "std"):
        np.testing.assert_allclose(np.ravel(made[name]), getattr(values, name)(axis=0))
    for name, share in (("q01", 0.01), ("q50", 0.5), ("q99", 0.99)):
        expected = np.quantile(values, share, axis=0, method="inverted_cdf")
        np.testing.assert_allclose(np.ravel(made[name]), expected)
    with pytest.raises(ValueError, match="unknown statistic"):
        image_stats(count_levels(frames), ["median"])


def test_what_is_left_out_is_said(source: Path, tmp_path: Path) -> None:
    summary = invert_dataset(source, tmp_path / "stem", CONFIG, keys=[PICTURE])
    assert summary.left_out == [
        f"{DEPTH}: its name speaks of depth, segmentation, mask, normal or flow"
    ]
    assert contents(tmp_path / "stem")[video_file(VIDEO)] == contents(source)[video_file(VIDEO)]
    assert read_provenance(tmp_path / "stem")["converted"] == [PICTURE]
    with pytest.raises(ValueError, match="no camera 'rear'; its cameras are"):
        invert_dataset(source, tmp_path / "other", CONFIG, keys=["rear"])


def test_a_run_cut_short_goes_on_and_workers_change_no_byte(
    source: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "stem"
    with monkeypatch.context() as patch:
        patch.setattr(module, "join_episodes", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            invert_dataset(source, made, CONFIG)
    assert not made.exists()
    summary = invert_dataset(source, made, CONFIG)
    assert (summary.items, summary.resumed) == (4, 4)
    assert contents(made) == contents(target)
    assert not made.with_name("stem.parts").exists()


@pytest.mark.slow
def test_workers_change_no_byte(source: Path, target: Path, tmp_path: Path) -> None:
    invert_dataset(source, tmp_path / "stem", CONFIG, workers=2)
    assert contents(tmp_path / "stem") == contents(target)


def test_damage_is_found(source: Path, target: Path, tmp_path: Path) -> None:
    made = tmp_path / "stem"
    shutil.copytree(target, made)
    shutil.copy(source / video_file(VIDEO), made / video_file(VIDEO))
    (made / "README.md").write_text("another card")
    (made / "extra").touch()
    table = pq.read_table(made / DATA)
    wrong = table.column("index").to_numpy() + 1
    pq.write_table(
        table.set_column(table.column_names.index("index"), "index", [wrong]), made / DATA
    )
    text = "\n".join(verify_dataset(source, made))
    for part in (
        "README.md differs",
        "extra is not made",
        "'index' differs",
        "off its recomputation",
    ):
        assert part in text
    (made / video_file(VIDEO)).unlink()
    assert "missing" in "\n".join(verify_dataset(source, made))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda root: (root / video_file(VIDEO)).unlink(), "file-000.mp4; copy it again"),
        (lambda root: (root / TABLE).unlink(), "lists 0 episodes, but meta/info.json says 2"),
        (lambda root: (root / DATA).write_bytes(b"PAR1"), "cannot be read"),
        (lambda root: edit(root, codebase_version="v2.1"), "convert_dataset_v21_to_v30"),
        (lambda root: edit(root, features={}), "no RGB camera"),
    ],
)
def test_bad_data_sets_are_refused_and_nothing_is_written(
    tmp_path: Path, harm: Any, message: str
) -> None:
    source = make_dataset(tmp_path / "source")
    harm(source)
    with pytest.raises((ValueError, OSError), match=message):
        invert_dataset(source, tmp_path / "stem", CONFIG)
    assert not (tmp_path / "stem").exists()


def edit(root: Path, **fields: Any) -> None:
    info = json.loads((root / "meta/info.json").read_text())
    (root / "meta/info.json").write_text(json.dumps(info | fields))


def test_a_video_that_is_too_short_fails_by_name(tmp_path: Path) -> None:
    source = make_dataset(tmp_path / "source")
    short = make_dataset(tmp_path / "short", lengths=(5, 3))
    shutil.copy(short / video_file(VIDEO), source / video_file(VIDEO))
    with pytest.raises(OSError, match=f"the first is: 1 {VIDEO}"):
        invert_dataset(source, tmp_path / "stem", CONFIG)
    assert not (tmp_path / "stem").exists()


def test_options_of_other_formats_are_refused(source: Path, tmp_path: Path) -> None:
    others: list[dict[str, Any]] = [
        {"draws": 2},
        {"filter_key": "train"},
        {"allow_short": True},
        {"to": "lerobot"},
    ]
    for options in others:
        with pytest.raises(ValueError, match=f"{next(iter(options))} is for"):
            invert_dataset(source, tmp_path / "stem", CONFIG, **options)
    invert_dataset(source, tmp_path / "stem", CONFIG, keys=[PICTURE])
    with pytest.raises(ValueError, match="stem frames already"):
        invert_dataset(tmp_path / "stem", tmp_path / "twice", CONFIG)


def test_a_robomimic_file_becomes_a_lerobot_data_set(tmp_path: Path) -> None:
    file = make_file(tmp_path / "demo.hdf5", size=64, demos=2, length=3)
    summary = invert_dataset(file, tmp_path / "stem", CONFIG, to="lerobot")
    assert summary.items == 4
    assert any(text.startswith("states: it is not in the result") for text in summary.left_out)
    assert verify_dataset(file, tmp_path / "stem") == []
    invert_dataset(file, tmp_path / "stem.hdf5", CONFIG)
    with h5py.File(tmp_path / "stem.hdf5") as stem:
        rows = pq.read_table(tmp_path / "stem" / DATA)
        actions = np.stack(rows.column("action").to_numpy())
        expected: Any = stem["data/demo_1/actions"]
        np.testing.assert_array_equal(actions[3:], expected[:].astype(np.float32))
        key = "observation.images.agentview"
        frames = [frame for _, frame in read_video(tmp_path / "stem" / video_file(key))]
        exact: Any = stem["data/demo_1/obs/agentview_image"]
        assert np.abs(np.stack(frames[3:]).astype(int) - exact[:]).mean() < 12  # of random pixels
    with pytest.raises(ValueError, match="one draw a frame"):
        invert_dataset(file, tmp_path / "other", CONFIG, to="lerobot", draws=2)


def test_the_command_takes_a_folder_by_itself(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "stem"
    arguments = ["invert-dataset", str(source), str(target), "--keys", PICTURE, "--verify"]
    result = CliRunner().invoke(app, [*arguments, "--inversion-steps", "5"])
    assert result.exit_code == 0, result.output
    assert f"{target}: verified" in result.output
    assert f"left as it was: {DEPTH}" in result.output
    file = make_file(tmp_path / "demo.hdf5", size=64, demos=1, length=2)
    command = ["invert-dataset", str(file), str(tmp_path / "made"), "--to"]
    assert CliRunner().invoke(app, [*command, "lerobot", "--verify"]).exit_code == 0
    assert CliRunner().invoke(app, [*command, "rlds"]).exit_code == 2
