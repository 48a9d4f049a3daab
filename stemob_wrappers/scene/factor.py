"""Factor: one kind of change of a scene, declared on the function that makes it by `@factor`."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stemob_wrappers.scene.edit import SceneEdit

Need = Callable[[SceneEdit], str | None]
Bounds = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Factor:
    """One kind of change.

    Attributes:
        name: as users write it.
        meaning: what the magnitude measures, with its unit.
        bounds: six magnitudes; severity s lies between the s-th and the next.
        change: applies it and returns what was applied, in numbers.
        needs: what a model lacks for it, or None.
        textured: whether ``change`` takes a source of textures too.
        colosseum, libero_plus: the factor of that benchmark it answers to; "" for none.
        elsewhere: the ranges of others, with their source.
    """

    name: str
    meaning: str
    bounds: Bounds
    change: Callable[..., dict[str, Any]]
    needs: Need | None = None
    textured: bool = False
    colosseum: str = ""
    libero_plus: str = ""
    elsewhere: str = ""

    def missing(self, edit: SceneEdit) -> str | None:
        """What the model lacks for this factor, or None."""
        return None if self.needs is None else self.needs(edit)

    def apply(self, edit: SceneEdit, severity: int, episode: int, source: Any) -> dict[str, Any]:
        """Draw and apply it; the draw depends on the episode's number and this factor alone."""
        rng = np.random.default_rng([episode, zlib.crc32(self.name.encode())])
        magnitude = float(rng.uniform(self.bounds[severity - 1], self.bounds[severity]))
        sources = (source,) if self.textured else ()
        return {"severity": severity, **self.change(edit, rng, magnitude, *sources)}


def factor(
    name: str, bounds: Bounds, meaning: str, needs: Need | None = None, **others: str | bool
) -> Callable[[Callable[..., dict[str, Any]]], Factor]:
    """Make a factor of the function below: ``change(edit, rng, magnitude)``, its draws from rng.

    Args:
        name, bounds, meaning, needs: as of :class:`Factor`.
        **others: ``textured``, ``colosseum``, ``libero_plus`` and ``elsewhere``, likewise.

    Example:
        >>> @factor("fog", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), "density")
        ... def fog(edit, rng, density):
        ...     return {"density": density}
        >>> fog.bounds[0]
        0.1
    """

    def declare(change: Callable[..., dict[str, Any]]) -> Factor:
        return Factor(name, meaning, bounds, change, needs, **others)  # pyright: ignore[reportArgumentType]

    return declare
