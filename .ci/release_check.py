"""Is this what we want to release? Build both distributions, check them, and use each as a user.

    python .ci/release_check.py [FOLDER]

Builds into FOLDER (dist/ if left out) with the `build` that runs this, checks the metadata with
twine, installs wheel and sdist in a clean virtual environment each and runs `smoke.py`, the command
and the demo there. Environments lie under the temporary folder and are removed.
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
SMOKE = Path(__file__).parent / "smoke.py"
EXTRAS = "robosuite"
SUITES = ("core", "cli", "mujoco", "robosuite")
PIP = ("-m", "pip", "install", "-q", "--no-compile")


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command and return what it printed; exit with it where it fails."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(folder: Path) -> list[Path]:
    """The sdist, and the wheel that is built of it."""
    old = list(folder.glob("*")) if folder.exists() else []
    if old:
        sys.exit(f"{folder} is not empty, so what is there could be taken for new: {old[0]}")
    run(sys.executable, "-m", "build", "--outdir", folder)
    return sorted(folder.iterdir())


def check_metadata(files: list[Path]) -> None:
    """What the package index would refuse."""
    with tempfile.TemporaryDirectory(prefix="stemob-twine-") as name:
        python = new_environment(Path(name))
        run(python, *PIP, "twine")
        print(run(python, "-m", "twine", "check", "--strict", *files), end="")


def try_out(file: Path, version: str) -> None:
    """Install a distribution, and use it from outside the checkout."""
    with tempfile.TemporaryDirectory(prefix="stemob-release-") as name:
        folder = Path(name)
        python = new_environment(folder)
        package = f"stemob_wrappers[{EXTRAS}] @ file://{file}"
        locked = ROOT / "requirements.lock"
        run(python, *PIP, "--constraint", locked, package)
        print(run(python, SMOKE, *SUITES, cwd=folder), end="")
        said = run(python, "-m", "stemob_wrappers", "--version", cwd=folder)
        if said != f"stemob_wrappers {version}\n":
            sys.exit(f"{file.name} says that it is {said!r}, its name says {version}")
        print(run(python, "-m", "stemob_wrappers", "demo", cwd=folder), end="")
        if not (folder / "out" / "demo.png").is_file():
            sys.exit("the demo drew no picture")


def new_environment(folder: Path) -> Path:
    """A virtual environment in a folder; returns its Python."""
    venv.create(folder / "venv", with_pip=True)
    return folder / "venv" / "bin" / "python"


def main() -> None:
    """Check a release."""
    files = build(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist").resolve())
    check_metadata(files)
    wheel = next(file for file in files if file.suffix == ".whl")
    version = wheel.name.split("-")[1]
    for file in files:
        print(f"== {file.name}", flush=True)
        try_out(file, version)
    print(f"{len(files)} distributions of {version} work")


if __name__ == "__main__":
    main()
