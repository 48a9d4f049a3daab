"""``stemob doctor``: why do demonstrations look otherwise than what the policy sees?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from stemob_wrappers.extras import needs

with needs("cli"):
    import typer

from stemob_wrappers.cli.options import Device


def doctor(
    demos: Annotated[Path, typer.Argument(help="robomimic file, raw or converted.")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("doctor.html"),
    states: Annotated[int, typer.Option(min=1, help="Stored states to render again.")] = 6,
    keys: Annotated[str | None, typer.Option(help="Images below obs, by commas; all.")] = None,
    device: Device = None,
) -> None:
    """Render stored states again: flipped, other camera, size or colour, other version or level?

    The code is 1 if something is wrong.
    """
    from stemob_wrappers.doctor.examine import examine
    from stemob_wrappers.doctor.sheet import verdict, write_sheet

    named = None if keys is None else keys.split(",")
    found = examine(demos, states=states, keys=named, device=device)
    for finding in found.findings:
        typer.echo(f"{finding.fault} ({finding.where}): {finding.seen}\n  mend: {finding.mend}")
    typer.echo(f"{verdict(found)}\n{write_sheet(found, out)}")
    if found.findings:
        raise typer.Exit(1)
