"""Names of factors and groups, and severities: what users write, checked and resolved."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SEVERITIES = (1, 2, 3, 4, 5)

FactorNames = str | Sequence[str] | Mapping[str, int]
"""A name of a factor or group, several, or a mapping from names to severities."""


@dataclass(frozen=True)
class Choice:
    """A factor by name, how severe, and the group it came with; "" if it was named itself."""

    name: str
    severity: int
    group: str


def choose(
    factors: FactorNames,
    severity: int,
    known: Iterable[str],
    groups: Mapping[str, Sequence[str]],
) -> list[Choice]:
    """The factors that names stand for, in the order of ``known``.

    A factor named itself keeps its severity whatever groups are named beside it. A name that is
    both a group and a factor is the factor.

    Args:
        factors: names.
        severity: of those without one of their own, 1 to 5.
        known: every factor.
        groups: the factors of each group.

    Raises:
        ValueError: an unknown name, none at all, or a severity out of range.

    Example:
        >>> choose({"warm": 2}, 3, ["red", "blue", "orange"], {"warm": ["red", "orange"]})[0]
        Choice(name='red', severity=2, group='warm')
    """
    known = list(known)
    everything = list(dict.fromkeys([*known, *groups]))
    names = [factors] if isinstance(factors, str) else list(factors)
    if not names:
        raise ValueError(f"Need at least one factor or group: {', '.join(everything)}.")
    chosen: dict[str, Choice] = {}
    for name in sorted(names, key=known.__contains__):  # groups first
        if name not in everything:
            raise ValueError(f"Unknown factor {name!r}: {nearest(name, everything)}")
        own = factors[name] if isinstance(factors, Mapping) else severity
        check_severity(own)
        single = name in known
        for member in (name,) if single else groups[name]:
            chosen[member] = Choice(member, own, "" if single else name)
    return [chosen[name] for name in known if name in chosen]


def check_severity(severity: Any) -> None:
    """Raise ValueError unless it is a whole number from 1 to 5."""
    if isinstance(severity, bool) or severity not in SEVERITIES:
        raise ValueError(f"severity must be one of 1, 2, 3, 4, 5; got {severity!r}.")


def nearest(name: str, known: Sequence[str]) -> str:
    """The end of a message about an unknown name: what was perhaps meant, else all there is.

    Example:
        >>> nearest("lightning", ["lighting", "texture"])
        'did you mean lighting?'
    """
    close = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"choose from {', '.join(known)}."


def plain(factors: FactorNames) -> str | list[str] | dict[str, int]:
    """Names as JSON has them."""
    if isinstance(factors, str):
        return factors
    return dict(factors) if isinstance(factors, Mapping) else list(factors)
