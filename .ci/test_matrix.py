"""Install the wheel beside the oldest and the newest of its dependencies, and try each extra.

    python .ci/test_matrix.py WHEEL [ROW ...]

Every row is a fresh virtual environment under the temporary folder, removed when it has been tried.
The oldest of what a row does not name is pip's choice.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SMOKE = Path(__file__).parent / "smoke.py"
TORCH = "torch==2.13.0"

# Row -> (extras, what to install beside them, what smoke.py tries).
ROWS: dict[str, tuple[str, list[str], list[str]]] = {
    "core, oldest": (
        "",
        [
            "numpy==1.26.*",
            "gymnasium==1.2.0",
            "onnxruntime==1.24.*",
            "safetensors==0.5.*",
            "lazy-loader==0.6",
        ],
        ["core"],
    ),
    "core, newest": ("", ["numpy>=2"], ["core"]),
    "mujoco 3.3.0": (
        "mujoco,cli",
        ["mujoco==3.3.0", "numpy==1.26.*", "opencv-python==4.8.*", "gymnasium==1.2.0"],
        ["core", "mujoco", "cli"],
    ),
    "mujoco newest": ("mujoco,cli", ["numpy>=2"], ["core", "mujoco", "cli"]),
    "robosuite": ("robosuite", [], ["core", "mujoco", "robosuite"]),
    "diffusers 0.35": (
        "diffusers",
        ["diffusers==0.35.*", "huggingface-hub==0.34.*", "transformers==4.56.*", "numpy==1.26.*"],
        ["core", "diffusers"],
    ),
    "diffusers newest": ("diffusers", ["numpy>=2"], ["core", "diffusers"]),
    "files, oldest": (
        "datasets,video,report,cli",
        [
            "numpy==1.26.*",
            "h5py==3.10.*",
            "av==14.0.*",
            "pillow==11.0.*",
            "simplejpeg==1.8.0",
            "opencv-python==4.8.*",
            "matplotlib==3.8.*",
            "scipy==1.11.*",
            "rich==13.0.*",
            "typer==0.19.*",
            "jinja2==3.1.0",
        ],
        ["datasets", "video", "report", "cli"],
    ),
    "files, newest": (
        "datasets,video,report,cli",
        ["numpy>=2"],
        ["datasets", "video", "report", "cli"],
    ),
    "sb3 2.7": (
        "sb3",
        ["stable-baselines3==2.7.*", "gymnasium==1.2.0", "numpy==1.26.*"],
        ["core", "sb3"],
    ),
    "sb3 newest": ("sb3", ["numpy>=2"], ["core", "sb3"]),
    "train, oldest": ("train", ["onnx==1.17.*", "numpy==1.26.*"], ["train"]),
    "train, newest": ("train", ["numpy>=2"], ["train"]),
    "metaworld": ("mujoco", ["metaworld==3.1.1"], ["core", "mujoco", "metaworld"]),
    "dm_control": (
        "mujoco",
        ["dm_control==1.0.50", "mujoco==3.17.*"],
        ["core", "mujoco", "dm_control"],
    ),
}


def try_row(wheel: Path, row: str) -> str | None:
    """Return None where a row works, else what went wrong."""
    extras, beside, suites = ROWS[row]
    folder = Path(tempfile.mkdtemp(prefix="stemob-matrix-"))
    python = folder / "venv" / "bin" / "python"
    package = f"stemob_wrappers[{extras}] @ file://{wheel}" if extras else str(wheel)
    try:
        for command in (
            [sys.executable, "-m", "venv", str(folder / "venv")],
            [str(python), "-m", "pip", "install", "-q", "--no-compile", TORCH, package, *beside],
            [str(python), str(SMOKE), *suites],
        ):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                return "\n".join((done.stdout + done.stderr).splitlines()[-25:])
        print(done.stdout, end="")
        return None
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Try the rows that are named, or all, and exit with 1 if one fails."""
    wheel, *names = sys.argv[1:]
    failed = []
    for row in names or ROWS:
        started = time.monotonic()
        print(f"== {row}", flush=True)
        reason = try_row(Path(wheel).resolve(), row)
        if reason is not None:
            failed.append(row)
            print(reason)
        print(f"{'failed' if reason else 'works'}, {time.monotonic() - started:.0f} s", flush=True)
    print(f"{len(names or ROWS) - len(failed)} passed, {len(failed)} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
