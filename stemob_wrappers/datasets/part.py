"""A part of a conversion: one item, converted, in a file of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemob_wrappers.datasets.stems import CorruptSourceError, Item, Stems
from stemob_wrappers.work import file_digest, whole_file


@dataclass
class Part:
    """A finished part, as it is listed in the folder.

    Attributes:
        name: of its item.
        digest: of its bytes.
        stamp: which state of the source it was made of.
        notes: what is to be said of it.
    """

    name: str
    digest: str
    stamp: str
    notes: list[str]


def convert_part(
    reader: Any, item: Item, stems: Stems, path: Path, advance: Callable[[int], None]
) -> Part | str:
    """Write one part and return it, or say what could not be read."""
    try:
        stamp = reader.stamp(item)
        with whole_file(path) as temporary:
            notes = reader.convert(item, stems, temporary, advance)
            if not stamp.startswith(reader.stamp(item, content=False)):
                raise CorruptSourceError(f"{item.source}: changed while it was read")
            digest = file_digest(temporary)
    except CorruptSourceError as error:
        return f"{item.name}: {error}"
    return Part(item.name, digest, stamp, notes)
