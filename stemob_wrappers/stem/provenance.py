"""Where a data set's frames come from: written into it, read back to check against."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from stemob_wrappers import __version__
from stemob_wrappers.made_by import PREFIX, read_provenance, sidecar_of
from stemob_wrappers.stem.identity import fingerprint, installed_versions
from stemob_wrappers.stem.pipeline import StemPipeline
from stemob_wrappers.work import write_text

_FINGERPRINT = re.compile(r"[0-9a-f]{32}")


def provenance(
    pipeline: StemPipeline,
    draws: int = 1,
    selection: dict[str, Any] | None = None,
    converted: Sequence[str] | None = None,
    left_out: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Describe what made a data set's frames, as JSON values; no paths, dates or hosts.

    Args:
        pipeline: the one of the first draw.
        draws: how many there are.
        selection: what of the source was asked for.
        converted: names of the images that became stem frames; None where they have no names.
        left_out: names of what looks like images and was left as it was, with the reason.

    Example:
        >>> provenance(StemPipeline(), converted=["front"])["converted"]
        ['front']
    """
    found = installed_versions()
    return {
        "converted": None if converted is None else list(converted),
        "left_out": dict(left_out or {}),
        "config": pipeline.config.to_dict(),
        "fingerprint": pipeline.fingerprint,
        "identity": pipeline.identity,
        "dtype": str(pipeline.dtype).removeprefix("torch."),
        "draws": draws,
        "selection": selection or {},
        "versions": {
            "stemob_wrappers": __version__,
            **{name: found[name] for name in ("torch", "diffusers") if name in found},
        },
    }


def write_sidecar(path: Path, made_by: dict[str, Any]) -> None:
    """Write a provenance into a folder of pictures, or beside a single video."""
    write_text(sidecar_of(path), json.dumps(made_by, indent=2) + "\n")


def write_attributes(data: Any, made_by: dict[str, Any]) -> None:
    """Write a provenance onto the group ``data`` of a robomimic file, and into its ``env_args``.

    In ``env_args`` it stands beside ``env_kwargs``, which are handed to ``robosuite.make``.
    """
    made_by = json.loads(json.dumps(made_by, sort_keys=True))
    for name, value in made_by.items():
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        data.attrs[PREFIX + name] = text
    if "env_args" in data.attrs:
        try:
            env_args: Any = json.loads(str(data.attrs["env_args"]))
        except (TypeError, ValueError):
            return  # not robomimic's JSON: left as it is
        if isinstance(env_args, dict):
            data.attrs["env_args"] = json.dumps({**env_args, "stemob": made_by}, indent=4)


def expected_identity(
    expect: str | os.PathLike[str] | dict[str, Any],
) -> str | dict[str, Any]:
    """Turn what a user may pass for ``expect`` into an identity or a fingerprint.

    Args:
        expect: identity, fingerprint (32 hexadecimal digits), or path of a converted data set.

    Raises:
        FileNotFoundError: neither a fingerprint nor a path where something is.
        ValueError: the data set at the path has no provenance.

    Example:
        >>> expected_identity({"seed": 0})
        {'seed': 0}
    """
    if isinstance(expect, dict) or (isinstance(expect, str) and _FINGERPRINT.fullmatch(expect)):
        return expect
    if not Path(expect).exists():
        raise FileNotFoundError(
            "expect must be an identity, a fingerprint (32 hexadecimal digits) or the path of a "
            f"converted data set, but there is nothing at {expect}"
        )
    return read_provenance(expect)["identity"]


def check_expect(
    expect: str | os.PathLike[str] | dict[str, Any],
    touched: Mapping[str, dict[str, Any]],
    images: Collection[str],
) -> None:
    """Raise unless the frames that a wrapper gives are those that a policy was trained on.

    Args:
        expect: identity, fingerprint, or path of a converted data set.
        touched: the identity behind each image key that becomes a stem frame.
        images: every image key of the observation.

    Raises:
        ValueError: an identity differs, or the data set has other keys as stem frames.

    Example:
        >>> check_expect({"seed": 0}, {"front": {"seed": 0}}, ["front"])
    """
    expected = expected_identity(expect)
    for identity in touched.values():
        check_expected(identity, expected)
    if expected is expect:
        return
    made_by = read_provenance(os.fspath(expect))  # type: ignore[arg-type]
    converted: list[str] = made_by.get("converted") or made_by["selection"].get("keys") or []
    if not {*images} & {*converted, *made_by.get("left_out", ())}:
        return  # the env has other names, such as that of a lone image
    differing = [key for key in images if (key in touched) != (key in converted)]
    if differing:
        raise ValueError(
            f"{expect} has stem frames under {', '.join(converted)} alone, but here "
            f"{', '.join(touched)} would be: {', '.join(differing)} differ; pass keys={converted}"
        )


def check_expected(ours: dict[str, Any], expected: str | dict[str, Any]) -> None:
    """Raise unless an identity is the expected one, given as an identity or a fingerprint.

    Raises:
        ValueError: another identity; the message shows the fields that differ.

    Example:
        >>> check_expected({"seed": 0}, {"seed": 0})
    """
    if isinstance(expected, str):
        if expected != fingerprint(ours):
            raise ValueError(
                f"expected frames with fingerprint {expected}, but this config gives "
                f"{fingerprint(ours)}: {json.dumps(ours, sort_keys=True)}; use the config that the "
                "data was written with, or leave expect out"
            )
        return
    differing = [
        f"{name}: expected {expected.get(name)!r}, this config gives {ours.get(name)!r}"
        for name in sorted({*ours, *expected})
        if ours.get(name) != expected.get(name)
    ]
    if differing:
        raise ValueError(
            f"these frames would differ from the expected ones ({'; '.join(differing)}); use the "
            "config that the data was written with, or leave expect out"
        )
