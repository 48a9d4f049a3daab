"""``stemob doctor``: why do demonstrations look otherwise than what the policy sees?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from stemob_wrappers.extras import needs

with needs("cli"):
    import typer

if TYPE_CHECKING:
    from stemob_wrappers.doctor.examine import Examination

from stemob_wrappers.cli.options import Device, Overwrite


def doctor(
    demos: Annotated[Path, typer.Argument(help="robomimic file, raw or converted.")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("doctor.html"),
    states: Annotated[int, typer.Option(min=1, help="Stored states to render again.")] = 6,
    keys: Annotated[str | None, typer.Option(help="Images below obs, by commas; all.")] = None,
    mend: Annotated[
        Path | None, typer.Option(help="Write a copy with what can be put right, and examine it.")
    ] = None,
    overwrite: Overwrite = False,
    device: Device = None,
) -> None:
    """Render stored states again: flipped, other camera, size or colour, other version or level?

    The code is 1 if something is wrong, with --mend if something is in the copy.
    """
    from stemob_wrappers.doctor.examine import examine
    from stemob_wrappers.doctor.mend import mend as write_mended
    from stemob_wrappers.doctor.sheet import verdict, write_sheet

    named = None if keys is None else keys.split(",")
    found = examine(demos, states=states, keys=named, device=device)
    _tell(found)
    typer.echo(f"{verdict(found)}\n{write_sheet(found, out)}")
    if mend is not None and found.findings:
        mended = write_mended(found, mend, overwrite=overwrite)
        typer.echo(f"{mend}: mended {', '.join(mended)}")
        found = examine(mend, states=states, keys=named, device=device)
        _tell(found)
        typer.echo(f"{mend}: {verdict(found)}")
    if found.findings:
        raise typer.Exit(1)


def _tell(found: Examination) -> None:
    for finding in found.findings:
        typer.echo(f"{finding.fault} ({finding.where}): {finding.seen}\n  mend: {finding.mend}")
