"""The frames that a policy learned from, and those that it is tested on: alike, or the row says so.

A policy tells by an attribute ``learned_from``: None for raw frames, or what `made_by.learned_from`
gives of a data set, a dict with ``fingerprint``, ``config`` and ``converted``. One without the
attribute does not tell, and is tested on whatever it is given.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from gymnasium import spaces

from stemob_wrappers.config import StemConfig
from stemob_wrappers.evaluation.policies import RAW, UNTOLD, Condition, Policy, load_policy
from stemob_wrappers.wrappers.spaces import find_images, name


def learned_from(policy: Policy) -> Any:
    """What a policy says that it learned from; UNTOLD if it says nothing.

    Example:
        >>> learned_from(len)
        'untold'
    """
    return getattr(policy, "learned_from", UNTOLD)


def as_tested(condition: Condition, policy: Policy, fingerprint: str | None) -> Condition:
    """Return the condition under the name of its row, which tells frames that are no match.

    Args:
        condition: whose stem frames go through.
        policy: its policy, loaded.
        fingerprint: of the stem; None for raw frames.

    Raises:
        ValueError: the policy learned from other frames, and the condition does not say that this
            is meant.

    Example:
        >>> def policy(observation): ...
        >>> policy.learned_from = {"fingerprint": "ab", "config": {"backbone": "embedded"}}
        >>> as_tested(Condition("embedded", policy, allow_mismatch=True), policy, None).name
        'embedded (test raw)'
    """
    learned = learned_from(policy)
    if learned == UNTOLD or (learned or {}).get("fingerprint") == fingerprint:
        return condition
    tested = f"(test {_difference(learned, condition.stem)})"
    if not condition.allow_mismatch:
        raise ValueError(
            f"the policy of condition {condition.name!r} learned from {_told(learned)}, but would "
            f"be tested on {'raw frames' if fingerprint is None else f'frames of {fingerprint}'} "
            f"{tested}: leave the stem to the policy, or say that this is meant with "
            f"allow_mismatch=True (--allow-mismatch), and the row is called '… {tested}'"
        )
    if condition.name.endswith(tested):
        return condition
    return dataclasses.replace(condition, name=f"{condition.name} {tested}")


def stem_of(learned: Any) -> StemConfig | None:
    """The stem of the frames that a policy learned from; None for raw ones.

    Raises:
        ValueError: its images had stems of their own each, and an evaluation has one for all.
    """
    if learned is None:
        return None
    if learned["config"] is None:
        raise ValueError(f"this policy learned from {_told(learned)}: name a condition for it")
    return StemConfig.from_dict(learned["config"])


def cross(
    policies: Sequence[str],
    stems: Sequence[str] | None,
    config: StemConfig,
    *,
    allow_mismatch: bool = False,
) -> list[Condition]:
    """A condition for every policy under every stem, called after what the policy learned from.

    Args:
        policies: names, as `load_policy` takes them.
        stems: ``"raw"`` for none, or backbones. None is what each policy learned from; raw and
            embedded for one that does not tell.
        config: what the stems have beside the backbone.
        allow_mismatch: as for `Condition`.

    Raises:
        ValueError, OSError, ImportError: no policy, or one that cannot be loaded.

    Example:
        >>> [c.name for c in cross(["numpy:zeros_like"], None, StemConfig())]
        ['raw', 'embedded']
    """
    if not policies:
        raise ValueError("name at least one policy, as 'module:function:PATH'")
    conditions: list[Condition] = []
    for policy in policies:
        learned = learned_from(load_policy(policy))
        if stems is None and learned != UNTOLD:
            chosen = [stem_of(learned)]
        else:
            named = stems or (RAW, StemConfig.backbone)
            chosen = [None if stem == RAW else config.replace(backbone=stem) for stem in named]
        for stem in chosen:
            label = _label(learned, stem)
            label = label if len(policies) == 1 else f"{policy}, {label}"
            conditions.append(Condition(label, policy, stem, allow_mismatch=allow_mismatch))
    return conditions


def keys_for(policy: Policy, space: spaces.Space[Any]) -> list[str] | None:
    """Which images of a space become stem frames: those that did where the policy learned.

    None stands for all of them, also where they have other names.
    """
    learned = learned_from(policy)
    converted = [] if learned in (None, UNTOLD) else learned.get("converted") or []
    images = [name(path) for path in find_images(space, any_name=True)]
    return [image for image in images if image in converted] or None


def _label(learned: Any, stem: StemConfig | None) -> str:
    """What a policy learned from, and what it is tested on if that is another thing."""
    config = stem and stem.to_dict()
    told = config if learned == UNTOLD else learned and learned["config"]
    several = not told and learned not in (None, UNTOLD)
    label = told["backbone"] if told else "several stems" if several else RAW
    if told == config and not several:
        return label
    return f"{label} (test {_difference(learned, stem)})"


def _told(learned: dict[str, Any] | None) -> str:
    if learned is None:
        return "raw frames"
    if learned["config"] is None:
        return f"frames of several stems ({learned['fingerprint']})"
    return f"frames of {learned['fingerprint']} ({learned['config']})"


def _difference(learned: Any, stem: StemConfig | None) -> str:
    """What the frames of the test are, as short as tells them from those that were learned from."""
    if stem is None:
        return RAW
    before = (learned or {}).get("config")
    if before is None or before["backbone"] != stem.backbone:
        return stem.backbone
    now = stem.to_dict()
    differing = [f"{key}={now[key]}" for key in now if before.get(key) != now[key]]
    return ", ".join([stem.backbone, *(differing or ["other weights"])])
