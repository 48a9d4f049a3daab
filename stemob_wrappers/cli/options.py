"""Options that several commands have: the fields of StemConfig by a decorator, devices, JSON."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
from collections.abc import Callable, Collection
from typing import Annotated, Any, Literal, get_type_hints

from stemob_wrappers.extras import needs

with needs("cli"):
    import typer

from stemob_wrappers.config import StemConfig

HELP = {
    "backbone": "Embedded backbone, folder or hub name.",
    "method": "ddpm, ddim, ddim-renoise, ddim-fixed-point or ddim-warm.",
    "num_steps": "Steps of the full noising process.",
    "inversion_steps": "Steps that a frame climbs.",
    "noise": "frame, fixed, episode or fresh.",
    "seed": "Seed of the noise.",
    "codec": "Another autoencoder than the backbone's own.",
    "revision": "Revision of a hub model.",
    "resize": "HEIGHTxWIDTH that larger frames are shrunk to first.",
    "aspect": "With --resize: keep, crop or stretch.",
    "output": "With --resize: give back the size of the frame, or the small one.",
    "resolution": "Side that frames are inverted at, or 'model' for the backbone's own.",
}
# Names beside --backbone and so on; some are those of the authors' scripts.
NAMES = {
    "method": ("--method", "--model"),
    "num_steps": ("--num-steps", "--num_steps"),
    "inversion_steps": ("--inversion-steps", "--inversion_steps"),
    "resolution": ("--resolution", "--image_size"),
}


def stem_options(
    *, without: Collection[str] = (), optional: bool = False, **names: str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each field of StemConfig; it receives them as ``config``.

    Args:
        without: fields that the command has no option for.
        optional: ``config`` is None unless the number of inversion steps is given.
        **names: what a field's option is called where the command uses the name for another thing.
    """
    types = get_type_hints(StemConfig) | {"resolution": str | None, "resize": str | None}
    parameters = []
    for field in dataclasses.fields(StemConfig):
        if field.name in without:
            continue
        flags = (names[field.name],) if field.name in names else NAMES.get(field.name, ())
        default, kind = field.default, types[field.name]
        if optional and field.name == "inversion_steps":
            default, kind = None, kind | None
        parameters.append(
            inspect.Parameter(
                f"stem_{field.name}",
                inspect.Parameter.KEYWORD_ONLY,
                default=default,
                annotation=Annotated[
                    kind,
                    typer.Option(*(flags or (f"--{field.name}",)), help=HELP[field.name]),
                ],
            )
        )

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(**arguments: Any) -> None:
            fields = {p.name.removeprefix("stem_"): arguments.pop(p.name) for p in parameters}
            command(**arguments, config=_config(fields))

        signature = inspect.signature(command, eval_str=True)
        others = [p for p in signature.parameters.values() if p.name != "config"]
        others = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in others]
        run.__signature__ = signature.replace(  # pyright: ignore[reportAttributeAccessIssue]
            parameters=[*others, *parameters]
        )
        run.__annotations__ = {p.name: p.annotation for p in [*others, *parameters]}
        return run

    return decorate


def _config(fields: dict[str, Any]) -> StemConfig | None:
    if fields.get("inversion_steps") is None:
        return None
    if "resolution" in fields:
        fields["resolution"] = _resolution(fields["resolution"])
    if fields.get("resize") is not None:
        fields["resize"] = integers("--resize", fields["resize"].replace("x", ","))
    return StemConfig(**fields)


def _resolution(text: str | None) -> int | Literal["model"] | None:
    if text is None or text == "model":
        return text
    try:
        return int(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"--resolution must be a number of pixels or 'model', received {text!r}"
        ) from error


def json_object(option: str, text: str) -> dict[str, Any]:
    """Read an option that is a JSON object."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise typer.BadParameter(f"{option} must be a JSON object, received {text!r}")
    return value


def integers(option: str, text: str) -> tuple[int, ...]:
    """Read an option that is integers by commas."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(
            f"{option} must be integers by commas, received {text!r}"
        ) from error


def _check_device(device: str | None) -> str | None:
    if device is None:
        return None
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise typer.BadParameter(f"there is no device {device!r}; take cpu or cuda") from error
    try:
        torch.zeros(1, device=device).item()  # meta has no numbers
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise typer.BadParameter(
            f"{kind} cannot be used here ({reason}); leave --device out, or take cpu"
        ) from error
    return device


Device = Annotated[
    str | None,
    typer.Option(callback=_check_device, help="Where the networks run: cpu, cuda, cuda:1, …"),
]
EnvKwargs = Annotated[str, typer.Option(help="Arguments of the env, as JSON: '{\"size\": 84}'.")]
Overwrite = Annotated[bool, typer.Option(help="Replace a target that is there.")]
Positive = typer.Option(min=1)
