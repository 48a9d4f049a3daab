"""A LeRobot data set of random smooth frames, written by pyarrow and PyAV alone."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

FPS = 10
VIDEO, DEPTH, PICTURE = "observation.images.front", "observation.images.depth", "wrist"
SHAPE = (64, 80, 3)
DATA, TABLE = "data/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-000.parquet"


def video_file(key: str) -> str:
    return f"videos/{key}/chunk-000/file-000.mp4"


def make_dataset(root: Path, lengths: tuple[int, ...] = (5, 4), codec: str = "h264") -> Path:
    """Write a data set with a video camera, a depth video, a camera of pictures, and more."""
    rng = np.random.default_rng(0)
    total = sum(lengths)
    frames = {key: smooth(rng, total) for key in (VIDEO, DEPTH, PICTURE)}
    for key in (VIDEO, DEPTH):
        write_video(root / video_file(key), frames[key], codec)
    episode = np.repeat(np.arange(len(lengths)), lengths)
    index = np.concatenate([np.arange(length) for length in lengths])
    actions = rng.normal(size=(total, 2)).astype(np.float32)
    pictures = [
        {"bytes": png(frame), "path": f"{n}.png"} for n, frame in enumerate(frames[PICTURE])
    ]
    columns: dict[str, Any] = {
        PICTURE: pictures,
        "action": pa.FixedSizeListArray.from_arrays(pa.array(actions.ravel()), 2),
        "timestamp": (index / FPS).astype(np.float32),
        "frame_index": index,
        "episode_index": episode,
        "index": np.arange(total),
        "task_index": np.zeros(total, int),
    }
    image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    columns[PICTURE] = pa.array(pictures, image)
    rows = pa.table(columns).replace_schema_metadata({"huggingface": huggingface()})
    write(rows, root / DATA)
    write(pa.table({"task_index": [0], "task": ["lift"]}), root / "meta/tasks.parquet")
    write(pa.Table.from_pylist(episodes(lengths)), root / TABLE)
    features: dict[str, Any] = {
        VIDEO: {"dtype": "video", "shape": SHAPE, "names": None, "info": video_info(codec)},
        DEPTH: {"dtype": "video", "shape": SHAPE, "names": None, "info": video_info(codec)},
        PICTURE: {"dtype": "image", "shape": SHAPE, "names": None},
        "action": {"dtype": "float32", "shape": [2], "names": None},
        "timestamp": {"dtype": "float32", "shape": [1], "names": None},
    }
    for name in ("frame_index", "episode_index", "index", "task_index"):
        features[name] = {"dtype": "int64", "shape": [1], "names": None}
    info = {
        "codebase_version": "v3.0",
        "robot_type": None,
        "total_episodes": len(lengths),
        "total_frames": total,
        "total_tasks": 1,
        "chunks_size": 1000,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": FPS,
        "splits": {"train": f"0:{len(lengths)}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": features,
    }
    (root / "meta/info.json").write_text(json.dumps(info))
    stats = {key: {"mean": [[[0.1]]] * 3, "count": [1]} for key in (VIDEO, DEPTH, PICTURE)}
    (root / "meta/stats.json").write_text(json.dumps({**stats, "action": {"mean": [0.0, 0.0]}}))
    (root / "README.md").write_text("a card")
    return root


def smooth(rng: Any, count: int) -> Any:
    """Frames that a codec does not spoil: random pictures of 4 x 5 enlarged, [N, 64, 80, 3]."""
    coarse = rng.integers(0, 256, (count, 4, 5, 3), dtype=np.uint8)
    large = [Image.fromarray(frame).resize((80, 64), Image.Resampling.BICUBIC) for frame in coarse]
    return np.stack([np.asarray(frame) for frame in large])


def png(frame: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, format="PNG")
    return file.getvalue()


def write_video(path: Path, frames: Any, codec: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, FPS, options={"g": "2", "crf": "10"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode())


def read_video(path: Path) -> list[tuple[float, Any]]:
    container: Any = av.open(str(path))
    with container:
        return [
            (float(frame.pts * frame.time_base), frame.to_ndarray(format="rgb24"))
            for frame in container.decode(video=0)
        ]


def video_info(codec: str) -> dict[str, Any]:
    return {"video.codec": codec, "video.pix_fmt": "yuv420p", "video.fps": FPS}


def episodes(lengths: tuple[int, ...]) -> list[dict[str, Any]]:
    rows, first = [], 0
    for number, length in enumerate(lengths):
        row = {
            "episode_index": number,
            "tasks": ["lift"],
            "length": length,
            "data/chunk_index": 0,
            "data/file_index": 0,
            "dataset_from_index": first,
            "dataset_to_index": first + length,
            "stats/action/mean": [0.0, 0.0],
            "meta/episodes/chunk_index": 0,
            "meta/episodes/file_index": 0,
        }
        for key in (VIDEO, DEPTH):
            row[f"videos/{key}/chunk_index"] = row[f"videos/{key}/file_index"] = 0
            row[f"videos/{key}/from_timestamp"] = first / FPS
            row[f"videos/{key}/to_timestamp"] = (first + length) / FPS
        for key in (VIDEO, DEPTH, PICTURE):
            row[f"stats/{key}/mean"] = [[[0.1]]] * 3
            row[f"stats/{key}/count"] = [1]
        rows.append(row)
        first += length
    return rows


def huggingface() -> str:
    kinds = {"timestamp": "float32", "frame_index": "int64", "index": "int64"}
    kinds |= {"episode_index": "int64", "task_index": "int64"}
    features: dict[str, Any] = {
        name: {"dtype": kind, "_type": "Value"} for name, kind in kinds.items()
    }
    features[PICTURE] = {"_type": "Image"}
    features["action"] = {
        "feature": {"dtype": "float32", "_type": "Value"},
        "length": 2,
        "_type": "List",
    }
    return json.dumps({"info": {"features": features}})


def write(table: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def contents(root: Path) -> dict[str, bytes]:
    """The bytes of every file below a folder."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
