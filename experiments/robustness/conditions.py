"""The rows of the robustness table: what a policy learns from, and what it sees in the test.

One row each. A stem is named by its backbone; ``appearance`` says how demonstrations are rendered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stemob_wrappers.augment import NAMES as AUGMENTATIONS
from stemob_wrappers.config import METHODS, NOISE_POLICIES, Method, NoisePolicy, StemConfig

STEM, CANONICAL = "embedded", "embedded-canonical"


@dataclass(frozen=True)
class ConditionSpec:
    """One row of the table.

    Attributes:
        name: what the table calls it.
        train_stem, test_stem: backbone of the stem that the demonstrations, and the frames at test
            time, go through; None leaves them raw.
        augment: what is done to the frames in training, after the stem.
        appearance: "train" renders each demonstration under another light, other textures, colours
            and background; as many are rendered as of nominal ones.
        augmented: whether it learns from augmented demonstrations, which the stem goes over as over
            any other; see `experiments.imitation.augment_demos`.
    """

    name: str
    train_stem: str | None = None
    test_stem: str | None = None
    augment: str = "none"
    appearance: str | None = None
    augmented: bool = False


SINGLE: tuple[ConditionSpec, ...] = (
    ConditionSpec("raw"),
    ConditionSpec(STEM, STEM, STEM),
    ConditionSpec(CANONICAL, CANONICAL, CANONICAL),
    ConditionSpec(f"raw (test {STEM})", None, STEM),
    ConditionSpec(f"{STEM} (test raw)", STEM, None),
    *(ConditionSpec(name, augment=name) for name in AUGMENTATIONS),
    ConditionSpec("random appearance", appearance="train"),
)
"""What is screened first; the two best augmentations of these are joined with the stems then."""

JOINED: tuple[ConditionSpec, ...] = tuple(
    ConditionSpec(f"{stem} + {name}", stem, stem, name)
    for stem in (STEM, CANONICAL)
    for name in AUGMENTATIONS
)

AUGMENTED: tuple[ConditionSpec, ...] = (
    ConditionSpec("augmented", augment="colour_jitter", augmented=True),
    *(
        ConditionSpec(f"{stem} of augmented", stem, stem, "colour_jitter", augmented=True)
        for stem in (STEM, CANONICAL)
    ),
)
"""Augmented before the stem, so that a policy sees in training what the stem makes of other looks;
the first has all of it but the stem."""

CONDITIONS: dict[str, ConditionSpec] = {
    condition.name: condition for condition in (*SINGLE, *JOINED, *AUGMENTED)
}

ALWAYS = ("raw", STEM)
"""In every full table: what others are compared with, and the plain stem by itself."""


@dataclass(frozen=True)
class Level:
    """How far stems go; chosen on the "dev" split of textures, looks and seeds.

    Attributes:
        inversion_steps: of 50, of every backbone; chosen by `stemob levels`.
    """

    method: Method = METHODS[0]
    noise: NoisePolicy = NOISE_POLICIES[0]
    inversion_steps: int = StemConfig.inversion_steps

    def stem(self, backbone: str | None) -> StemConfig | None:
        """The stem of a backbone at this level."""
        if backbone is None:
            return None
        return StemConfig(
            backbone=backbone,
            method=self.method,
            noise=self.noise,
            inversion_steps=self.inversion_steps,
        )


def choose_conditions(names: Sequence[str]) -> list[ConditionSpec]:
    """The conditions of these names, in their order.

    Raises:
        ValueError: an unknown name.

    Example:
        >>> [spec.augment for spec in choose_conditions(["raw", "embedded + random_conv"])]
        ['none', 'random_conv']
    """
    unknown = [name for name in names if name not in CONDITIONS]
    if unknown:
        raise ValueError(f"unknown conditions {unknown}; choose from {', '.join(CONDITIONS)}")
    return [CONDITIONS[name] for name in names]


def joined_with(augmentation: str, among: Sequence[ConditionSpec]) -> list[ConditionSpec]:
    """The stems among some conditions, each joined with an augmentation."""
    stems = [condition.name for condition in among if condition.name in (STEM, CANONICAL)]
    return choose_conditions([f"{stem} + {augmentation}" for stem in stems])


def best_placed(gen: dict[str, float], count: int) -> list[str]:
    """Name the conditions with the highest Gen, after those that are always there.

    Args:
        gen: mean success over the perturbed cells, by condition.
        count: how many beside them.

    Example:
        >>> best_placed({"raw": 0.1, "srm": 0.2, "mixup": 0.3, "embedded": 0.25}, 1)
        ['raw', 'embedded', 'mixup']
    """
    others = sorted((name for name in gen if name not in ALWAYS), key=lambda name: -gen[name])
    return [*(name for name in ALWAYS if name in gen), *others[:count]]
