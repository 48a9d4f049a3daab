"""How much of the inverter's speed does a conversion keep, a row a format and engine?

    python benchmarks/datasets.py

The same random frames (200 trajectories x 60 frames x 2 cameras at 84 px; --gzip compresses the
HDF5 file, as robomimic's --compress does) are written as a robomimic file, a Minari data set and a
LeRobot data set of videos, and each is converted end to end, between two runs of the bare inverter
on frames in the same batches. Bars: >= 80 % of the bare inverter's frames/s for HDF5 and Minari,
>= 60 % for LeRobot (decoding and encoding included). On a machine that others use, look at
the share of processor time, which is counted too. --ray adds two actors on Ray beside two
processes, whose rates are to lie within 10 %. The original's way is timed on a few frames: an
AutoencoderKL of true size, frames at 768 px, one at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch
from common import random_frames, report, seconds_per_call
from original import save_true_size_model

from stemob_wrappers import StemConfig, StemPipeline
from stemob_wrappers.datasets import invert_dataset
from stemob_wrappers.datasets.lerobot.encode import CODEC, encode_video, join_videos
from stemob_wrappers.datasets.lerobot.layout import INFO, VIDEO_PATH
from stemob_wrappers.datasets.lerobot.tables import write_json, write_table

BATCH = 64
BARS = {"robomimic": 0.8, "minari": 0.8, "lerobot": 0.6}
CAMERAS = ("agentview_image", "eye_image")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demos", type=int, default=200)
    parser.add_argument("--length", type=int, default=60, help="frames a demo and camera")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--formats", nargs="*", default=[*BARS], choices=[*BARS])
    parser.add_argument("--gzip", action="store_true", help="compress the images")
    parser.add_argument("--ray", action="store_true", help="also time two actors and two processes")
    parser.add_argument("--original-frames", type=int, default=2, help="0: leave the original out")
    parser.add_argument("--resolution", type=int, default=768, help="the original's frame size")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = write_demos(folder / "robomimic.hdf5", arguments)
        rows: list[dict[str, Any]] = []
        for kind in arguments.formats:
            source = write_as(kind, folder, arguments)
            before = bare_rate(frames)
            used = time.process_time()
            converted, count = convert(source, workers=arguments.workers)
            used = (time.process_time() - used) / count
            after = bare_rate(frames)
            bare = (before.frames_per_s + after.frames_per_s) / 2
            rows.append(
                {
                    "way": f"invert_dataset, {kind}, {arguments.workers} workers",
                    "frames_per_s": converted,
                    "bare inverter": bare,
                    "share": converted / bare,
                    "met": converted / bare >= BARS[kind],
                    "share of CPU time": (before.cpu_s + after.cpu_s) / 2 / used,
                }
            )
        if arguments.ray:
            rows += against_ray(folder / "robomimic.hdf5")
        if arguments.original_frames:
            rate = original_rate(folder, frames, arguments)
            rows.append({"way": "the original's way", "frames_per_s": rate})
    columns = ("way", "frames_per_s", "bare inverter", "share", "met", "share of CPU time")
    report("datasets", columns, rows, frames=2 * arguments.demos * arguments.length)


class Bare(NamedTuple):
    """The inverter alone: frames a second, and seconds of processor time a frame."""

    frames_per_s: float
    cpu_s: float


def convert(source: Path, **options: Any) -> tuple[float, int]:
    """Frames a second, and how many, of one conversion, from opening to the result."""
    started = time.perf_counter()
    target = source.with_name(f"stem-{time.monotonic_ns()}{source.suffix}")
    summary = invert_dataset(source, target, batch_size=BATCH, **options)
    return summary.frames / (time.perf_counter() - started), summary.frames


def against_ray(source: Path) -> list[dict[str, Any]]:
    """Two processes and two actors, each once to have them started, in the order ABBA."""
    os.environ.setdefault("RAY_worker_niceness", "0")  # 15 by itself: others would come first
    import ray

    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
    engines = ("local", "ray", "ray", "local")
    rates = [(engine, convert(source, workers=2, engine=engine)[0]) for engine in engines]
    ray.shutdown()
    mean = {name: np.mean([rate for one, rate in rates if one == name]) for name in engines}
    share = float(mean["ray"] / mean["local"])
    return [
        {"way": "two processes", "frames_per_s": float(mean["local"])},
        {
            "way": "two actors on Ray",
            "frames_per_s": float(mean["ray"]),
            "share": share,
            "met": share >= 0.9,
        },
    ]


def demo_frames(frames: Any, index: int, camera: str) -> Any:
    """Other frames in every demo: nothing is found in a cache."""
    moved = np.roll(frames, (index + 1) * (1 if camera == CAMERAS[0] else -1), axis=2)
    return moved ^ np.uint8(index % 7)


def write_as(kind: str, folder: Path, arguments: argparse.Namespace) -> Path:
    """Return the robomimic file, or write the same frames in another format."""
    source, frames = folder / "robomimic.hdf5", random_frames(arguments.length, 84)
    if kind == "robomimic":
        return source
    if kind == "minari":
        return write_minari(folder / "minari-v0", frames, arguments.demos)
    return write_lerobot(folder / "lerobot", frames, arguments.demos)


def write_minari(path: Path, frames: Any, demos: int) -> Path:
    (path / "data").mkdir(parents=True)
    box = {"type": "Box", "dtype": "uint8", "shape": [84, 84, 3]}
    box |= {"low": np.zeros((84, 84, 3), int).tolist()}
    box |= {"high": np.full((84, 84, 3), 255).tolist()}
    action = {"type": "Box", "dtype": "float32", "shape": [7], "low": [-1] * 7, "high": [1] * 7}
    metadata = {
        "minari_version": "0.5.4",
        "dataset_id": "minari-v0",
        "data_format": "hdf5",
        "jpeg_encoding": False,
        "total_episodes": demos,
        "observation_space": json.dumps({"type": "Dict", "subspaces": dict.fromkeys(CAMERAS, box)}),
        "action_space": json.dumps(action),
    }
    (path / "data/metadata.json").write_text(json.dumps(metadata))
    with h5py.File(path / "data/main_data.hdf5", "w") as file:
        for index in range(demos):
            for camera in CAMERAS:
                file.create_dataset(
                    f"episode_{index}/observations/{camera}",
                    data=demo_frames(frames, index, camera),
                    chunks=True,
                )
            file[f"episode_{index}/actions"] = np.zeros((len(frames), 7), np.float32)
    return path


def write_lerobot(path: Path, frames: Any, demos: int) -> Path:
    """A data set of AV1 videos, an episode a demo, with the tables that a conversion needs."""
    import pyarrow as pa

    shape, total = list(frames.shape[1:]), demos * len(frames)
    columns: dict[str, Any] = {"episode_index": list(range(demos)), "length": len(frames)}
    features: dict[str, Any] = {}
    for camera in CAMERAS:
        key = f"observation.images.{camera}"
        features[key] = {"dtype": "video", "shape": shape, "names": None}
        features[key]["info"] = {"video.codec": CODEC}
        blocks = (demo_frames(frames, index, camera) for index in range(demos))
        video = VIDEO_PATH.format(video_key=key, chunk_index=0, file_index=0)
        join_videos(path / video, [(0.0, encode_video(blocks, 20).data)])
        columns[f"videos/{key}/chunk_index"] = columns[f"videos/{key}/file_index"] = 0
        columns[f"videos/{key}/from_timestamp"] = None
    rows = [
        {
            name: value[index] if isinstance(value, list) else value
            for name, value in columns.items()
        }
        | {name: index * len(frames) / 20 for name in columns if name.endswith("from_timestamp")}
        for index in range(demos)
    ]
    write_table(pa.Table.from_pylist(rows), path / "meta/episodes/chunk-000/file-000.parquet")
    info = {"codebase_version": "v3.0", "fps": 20, "total_episodes": demos, "total_frames": total}
    write_json(path / INFO, info | {"video_path": VIDEO_PATH, "features": features})
    return path


def write_demos(path: Path, arguments: argparse.Namespace) -> Any:
    """Write the robomimic file and return the frames of one demo and camera."""
    frames = random_frames(arguments.length, 84)
    with h5py.File(path, "w") as file:
        for index in range(arguments.demos):
            for camera in CAMERAS:
                file.create_dataset(
                    f"data/demo_{index}/obs/{camera}",
                    data=demo_frames(frames, index, camera),
                    chunks=(1, 84, 84, 3) if arguments.gzip else None,
                    compression="gzip" if arguments.gzip else None,
                )
            file[f"data/demo_{index}/actions"] = np.zeros((arguments.length, 7))
            file[f"data/demo_{index}"].attrs["num_samples"] = arguments.length
    return frames


def bare_rate(frames: Any) -> Bare:
    """The inverter alone, without hashing, noise or cache."""
    inverter = StemPipeline(StemConfig(), cache=False, max_batch=BATCH).inverter
    tensor = torch.from_numpy(frames)
    noise = torch.randn(len(frames), *inverter.latent_shape(84, 84))
    rate = len(frames) / seconds_per_call(lambda: inverter(tensor, noise), budget=5.0)
    used, calls = time.process_time(), 20
    for _ in range(calls):
        inverter(tensor, noise)
    return Bare(rate, (time.process_time() - used) / calls / len(frames))


def original_rate(folder: Path, frames: Any, arguments: argparse.Namespace) -> float:
    save_true_size_model(folder)
    config = StemConfig(backbone=str(folder), resolution=arguments.resolution)
    pipeline = StemPipeline(config, cache=False)
    most = arguments.original_frames
    return 1 / seconds_per_call(lambda: pipeline(frames[:1]), budget=float("inf"), most=most)


if __name__ == "__main__":
    main()
