"""Demonstrations on disk: a robomimic HDF5 file, written episode by episode and then merged."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import numpy as np
from numpy.typing import NDArray

from stemob_wrappers.datasets.hdf5.write import new_file
from stemob_wrappers.work import whole_file, write_text

VALID_SHARE = 10  # one episode of so many is kept for validation, and one of fewer
SETTINGS = "collected_with"


@dataclass
class Demo:
    """One recorded episode.

    Args:
        reset_seed: what the env was reset with.
        model_file: the simulation's model, MJCF XML.
        env_args: see `env_args`.
    """

    reset_seed: int
    model_file: str
    env_args: dict[str, Any]
    observations: list[dict[str, NDArray[Any]]] = field(default_factory=list)
    rows: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Number of actions."""
        return len(self.observations)

    def add(
        self,
        observation: dict[str, NDArray[Any]],
        state: NDArray[np.float64],
        action: NDArray[np.float32],
        executed: NDArray[np.float32],
        reward: float,
        done: bool,
    ) -> None:
        """Append a step: what was seen, where the simulation was, what was done, what came."""
        self.observations.append(observation)
        values = {
            "actions": action,
            "executed_actions": executed,
            "states": state,
            "rewards": reward,
            "dones": int(done),
        }
        for name, value in values.items():
            self.rows.setdefault(name, []).append(value)

    def write(self, group: h5py.Group) -> None:
        """Write the episode to a group, which becomes a ``demo_<i>``."""
        group.attrs["num_samples"] = self.steps
        group.attrs["model_file"] = self.model_file
        group.attrs["reset_seed"] = self.reset_seed
        for name, rows in self.rows.items():
            group[name] = np.stack(rows)
        for key in self.observations[0]:
            frames = np.stack([observation[key] for observation in self.observations])
            image = frames.dtype == np.uint8
            group.create_dataset(
                f"obs/{key}",
                data=frames,
                chunks=(1, *frames.shape[1:]) if image else None,
                compression="gzip" if image else None,
                compression_opts=1 if image else None,
            )


def env_args(env: gym.Env[Any, Any], cameras: tuple[str, ...], size: int) -> dict[str, Any]:
    """What robomimic rebuilds the env from: ``env_kwargs`` go to ``robosuite.make``.

    Args:
        env: a `stemob_wrappers.envs.robosuite.RobosuiteEnv`, or wrappers around one.
        cameras: names of the cameras recorded.
        size: height and width of their images, in pixels.
    """
    import mujoco
    import robosuite

    simulator: Any = env.unwrapped.simulator  # pyright: ignore[reportAttributeAccessIssue]
    robot = simulator.robots[0]
    return {
        "env_name": type(simulator).__name__,
        "env_version": robosuite.__version__,
        "mujoco_version": mujoco.__version__,  # not robomimic's: `stemob doctor` compares it
        "type": 1,  # robomimic's number for robosuite
        "env_kwargs": {
            "robots": [robot.name],
            "controller_configs": robosuite.load_composite_controller_config(robot=robot.name),
            "has_renderer": False,
            "has_offscreen_renderer": True,
            "use_camera_obs": True,
            "use_object_obs": True,
            "camera_names": list(cameras),
            "camera_heights": size,
            "camera_widths": size,
            "camera_depths": False,
            "control_freq": simulator.control_freq,
            "reward_shaping": False,
            "ignore_done": True,
        },
    }


def as_settings(settings: Any) -> dict[str, Any]:
    """A dataclass of settings as what is stored beside the data."""
    return dataclasses.asdict(settings)


def read_settings(path: Path) -> dict[str, Any] | None:
    """The settings that a demonstrations file was made with; None where it names none."""
    with h5py.File(path, "r") as file:
        data: Any = file.get("data")
        text = None if data is None else data.attrs.get(SETTINGS)
    return None if text is None else json.loads(str(text))


def open_parts(out: Path, settings: dict[str, Any]) -> Path:
    """The folder of the finished episodes, new or an earlier run's.

    Raises:
        FileExistsError: the earlier run had other settings.
    """
    folder = out.with_name(out.name + ".parts")
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "settings.json"
    text = json.dumps(settings, indent=1)
    if not note.exists():
        write_text(note, text, sync=True)
    elif json.loads(note.read_text()) != settings:
        raise FileExistsError(
            f"{folder} holds episodes of other settings ({note.read_text()}): delete it to begin "
            "anew, or repeat those settings to go on with it."
        )
    return folder


def write_part(path: Path, demo: Demo) -> None:
    """Write an episode, which a later run goes on from: whole, also after a power cut."""
    with whole_file(path, sync=True) as beside, new_file(beside) as (file, check):
        demo.write(file.create_group("demo"))
        file.attrs["env_args"] = json.dumps(demo.env_args)
        check()


def merge(parts: list[Path], out: Path, settings: dict[str, Any]) -> None:
    """Make the demonstrations file of all its parts, then delete these."""
    with whole_file(out, sync=True) as beside, new_file(beside) as (file, check):
        data = file.create_group("data")
        total = 0
        for index, part in enumerate(parts):
            with h5py.File(part, "r") as source:
                source.copy("demo", data, f"demo_{index}")
                samples: Any = source["demo"].attrs["num_samples"]
                total += int(samples)
                data.attrs["env_args"] = source.attrs["env_args"]
            check()
        data.attrs["total"] = total
        data.attrs[SETTINGS] = json.dumps({**settings, "episodes": len(parts)})
        share = min(VALID_SHARE, max(2, len(parts)))
        valid = [i for i in range(len(parts)) if i % share == share - 1]
        train = [i for i in range(len(parts)) if i not in valid]
        for name, members in {"train": train, "valid": valid}.items():
            file[f"mask/{name}"] = np.array([f"demo_{i}" for i in members], dtype="S16")
    shutil.rmtree(parts[0].parent)


@contextlib.contextmanager
def file_beside(
    demos: Path, out: Path
) -> Iterator[tuple[h5py.File, h5py.File, Callable[[], None]]]:
    """Open a demonstrations file, and a new one for what is made of it, there whole or not at all.

    Gives both and a function that raises if a write has failed so far.

    Raises:
        FileNotFoundError: no file ``demos``.
        FileExistsError: ``out`` is there.
    """
    if not demos.is_file():
        raise FileNotFoundError(f"no demonstrations at {demos}: collect.py writes some.")
    if out.exists():
        raise FileExistsError(f"{out} exists: move it or name another.")
    with (
        h5py.File(demos, "r") as source,
        whole_file(out) as beside,
        new_file(beside) as (file, check),
    ):
        yield source, file, check


def files_parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments of a script that makes one demonstrations file of another."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--demos", type=Path, required=True, help="a robomimic file")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    return parser


def copy_with_actions(
    demos: Path, out: Path, actions: dict[str, NDArray[np.float32]], note: dict[str, Any]
) -> Path:
    """Copy a demonstrations file with other actions in it; return ``out``.

    Args:
        demos: the file that is copied; it is only read.
        out: the file to write, which is there whole or not at all.
        actions: float32 [T, A] of every demonstration, by name.
        note: what was done, kept as an attribute of ``data`` by its one key.

    Raises:
        FileExistsError: ``out`` is there.
    """
    with file_beside(demos, out) as (source, file, check):
        file.attrs.update(source.attrs)
        for name in set(source) - {"data"}:
            source.copy(name, file)
        recorded: Any = source["data"]
        data: Any = file.create_group("data")
        data.attrs.update(recorded.attrs)
        data.attrs.update({key: json.dumps(value) for key, value in note.items()})
        for name in recorded:
            recorded.copy(name, data)
            data[name]["actions"][...] = actions[name]
            check()
    return out
