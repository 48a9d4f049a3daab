"""What is shown, written as Python and as a command; both make the same stem frame, byte for byte.

With a change of look it is the frame of the changed look.
"""

from __future__ import annotations

import dataclasses
import shlex

from stemob_wrappers.config import StemConfig
from stemob_wrappers.explore.shown import Change, Picture, RecordedFrame, Shown, Source
from stemob_wrappers.perturb.factors import FACTORS

# What the command does without these options, so that they are left out.
DEFAULTS = {"size": 84, "camera": None, "seed": 0, "steps": 0, "frame": 0, "severity": 3, "draw": 0}


def as_python(shown: Shown) -> str:
    """A program that ends with the raw frame in ``frame`` and the stem frame in ``stem``.

    Example:
        >>> from pathlib import Path
        >>> print(as_python(Shown(Picture(Path("photo.png")))))
        from pathlib import Path
        <BLANKLINE>
        from stemob_wrappers import StemConfig, StemPipeline
        from stemob_wrappers.pictures import read_image
        <BLANKLINE>
        frame = read_image(Path('photo.png'))
        stem = StemPipeline(StemConfig())(frame[None])[0]
    """
    imports, lines = _frame(shown.source, shown.change)
    if shown.change is not None and shown.change.factor not in FACTORS:
        change = shown.change
        imports.append("from stemob_wrappers.explore.looks import corrupt")
        arguments = f"{change.factor!r}, severity={change.severity}, draw={change.draw}"
        lines.append(f"frame = corrupt(frame, {arguments})")
    lines.append(f"stem = StemPipeline({_config(shown.config)})(frame[None])[0]")
    own = sorted([*imports, "from stemob_wrappers import StemConfig, StemPipeline"])
    standard = [line for line in own if "stemob_wrappers" not in line]
    blocks = [standard, [line for line in own if line not in standard], lines]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def as_command(shown: Shown, save: str = "stem.png") -> str:
    """The command that writes the stem frame; without ``--save`` it opens the page at it.

    Example:
        >>> from pathlib import Path
        >>> as_command(Shown(Picture(Path("photo.png")), Change("hue", 4)))
        'stemob explore --picture photo.png --change hue --severity 4 --save stem.png'
    """
    options = _source_options(shown.source)
    if (change := shown.change) is not None:
        options |= {"change": change.factor, "severity": change.severity, "draw": change.draw}
    options = {name: value for name, value in options.items() if DEFAULTS.get(name, "") != value}
    options |= _config_options(shown.config) | {"save": save}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return shlex.join(["stemob", "explore", *words])


def _frame(source: Source, change: Change | None) -> tuple[list[str], list[str]]:
    """Imports, and the lines that make the frame, its scene changed if that is what changes."""
    if isinstance(source, Picture):
        imports = [
            "from pathlib import Path",
            "from stemob_wrappers.pictures import read_image",
        ]
        return imports, [f"frame = read_image(Path({str(source.path)!r}))"]
    if isinstance(source, RecordedFrame):
        imports = ["from stemob_wrappers.explore.recordings import Recordings"]
        track = f"{source.track!r}, {source.row}"
        return imports, [f"frame = Recordings({str(source.path)!r}).frame({track})"]
    imports = ["from stemob_wrappers.wrappers.rendering import make_frames"]
    camera = "" if source.camera is None else f", camera={source.camera!r}"
    lines = [f"env = make_frames({source.env_id!r}, size={source.size}{camera})"]
    if change is not None and change.factor in FACTORS:
        imports.append("from stemob_wrappers.perturb import ScenePerturbation")
        drawn = f"severity={change.severity}, seed={change.draw}"
        lines.append(f"env = ScenePerturbation(env, {change.factor!r}, {drawn})")
    lines.append(f"env.reset(seed={source.seed})")
    if source.steps:
        if source.camera is None and not source.env_id.startswith("stemob/"):
            lines.append("env.render()  # a free camera stays where the first picture finds it")
        lines += [
            f"env.action_space.seed({source.seed})",
            f"for _ in range({source.steps}):",
            "    env.step(env.action_space.sample())",
        ]
    return imports, [*lines, "frame = env.render()"]


def _config(config: StemConfig) -> str:
    given = ", ".join(f"{name}={value!r}" for name, value in _given(config).items())
    return f"StemConfig({given})"


def _given(config: StemConfig) -> dict[str, object]:
    """The fields that are not the defaults."""
    return {
        field.name: value
        for field in dataclasses.fields(StemConfig)
        if (value := getattr(config, field.name)) != field.default
    }


def _source_options(source: Source) -> dict[str, object]:
    if isinstance(source, Picture):
        return {"picture": source.path}
    if isinstance(source, RecordedFrame):
        return {"data": source.path, "demo": source.track, "frame": source.row}
    fields = dataclasses.asdict(source)
    return {"env": fields.pop("env_id"), **fields}


def _config_options(config: StemConfig) -> dict[str, object]:
    given = _given(config)
    if config.resize is not None:
        given["resize"] = "x".join(map(str, config.resize))
    return {
        "noise-seed" if name == "seed" else name.replace("_", "-"): value
        for name, value in given.items()
    }
