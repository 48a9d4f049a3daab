"""``--config FILE`` and ``--save-config FILE``: a command's options from and to a YAML file."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from stemob_wrappers.extras import needs
from stemob_wrappers.work import write_text

with needs("cli"):
    import typer
    import yaml

OWN = ("config_file", "save_config")


def with_config_file(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command both options.

    The file maps names of options, without their dashes, to values. What the command line says
    comes before what the file says.
    """

    @functools.wraps(command)
    def run(ctx: typer.Context, **arguments: Any) -> None:
        del arguments["config_file"]
        target = arguments.pop("save_config")
        if target is not None:
            write_text(target, yaml.safe_dump(_given(ctx), sort_keys=False))
        command(**arguments)

    signature = inspect.signature(command, eval_str=True)
    own = [
        inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
        *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in signature.parameters.values()),
        inspect.Parameter(
            "config_file",
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                Path | None,
                typer.Option(
                    "--config",
                    is_eager=True,
                    callback=_read,
                    help="YAML file of options, as --save-config writes it.",
                ),
            ],
        ),
        inspect.Parameter(
            "save_config",
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                Path | None, typer.Option(help="Write the options that were given, and go on.")
            ],
        ),
    ]
    run.__signature__ = signature.replace(  # pyright: ignore[reportAttributeAccessIssue]
        parameters=own
    )
    run.__annotations__ = {p.name: p.annotation for p in own}
    return run


def _options(ctx: typer.Context) -> dict[str, Any]:
    """The command's options by their longest name, without dashes."""
    return {
        max(parameter.opts, key=len).lstrip("-"): parameter
        for parameter in ctx.command.params
        if parameter.param_type_name == "option" and parameter.name not in OWN
    }


def _read(ctx: typer.Context, path: Path | None) -> Path | None:
    if path is None:
        return None
    try:
        settings = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise typer.BadParameter(f"{path} cannot be read as YAML: {error}") from error
    options = _options(ctx)
    unknown = sorted(set(settings) - set(options)) if isinstance(settings, dict) else None
    if unknown or unknown is None:
        found = f"the options {unknown}" if unknown else "no options"
        raise typer.BadParameter(
            f"{path} holds {found}; '{ctx.info_name}' takes {', '.join(sorted(options))}"
        )
    ctx.default_map = {str(options[name].name): value for name, value in settings.items()}
    return path


def _given(ctx: typer.Context) -> dict[str, Any]:
    """The options that the command line or a config file set, as YAML has them."""
    given: dict[str, Any] = {}
    for name, parameter in _options(ctx).items():
        source = ctx.get_parameter_source(str(parameter.name))
        if source is not None and source.name in {"COMMANDLINE", "DEFAULT_MAP"}:
            given[name] = _plain(ctx.params[str(parameter.name)])
    return given


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value
