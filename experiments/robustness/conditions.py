"""The arms of the robustness table: what a policy learns from, and what it sees when it is tested.

One row each. A stem is named by its backbone; ``appearance`` says how demonstrations are rendered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stemob_wrappers.augment import NAMES as AUGMENTATIONS
from stemob_wrappers.config import METHODS, NOISE_POLICIES, StemConfig

STEM, CANONICAL = "embedded", "embedded-canonical"


@dataclass(frozen=True)
class ArmSpec:
    """One row of the table.

    Attributes:
        name: what the table calls it.
        train_stem, test_stem: backbone of the stem that the demonstrations, and the frames at test
            time, go through; None leaves them raw.
        augment: what is done to the frames in training, after the stem.
        appearance: "train" renders each demonstration under another light, other textures, colours
            and background; as many are rendered as of nominal ones.
        copies: whether it learns from augmented copies of the demonstrations, which the stem goes
            over as over any other; see `experiments.imitation.augment_demos`.
    """

    name: str
    train_stem: str | None = None
    test_stem: str | None = None
    augment: str = "none"
    appearance: str | None = None
    copies: bool = False


SINGLE: tuple[ArmSpec, ...] = (
    ArmSpec("raw"),
    ArmSpec(STEM, STEM, STEM),
    ArmSpec(CANONICAL, CANONICAL, CANONICAL),
    ArmSpec(f"{STEM} (test only)", None, STEM),
    ArmSpec(f"{STEM} (train only)", STEM, None),
    *(ArmSpec(name, augment=name) for name in AUGMENTATIONS),
    ArmSpec("random appearance", appearance="train"),
)
"""What is screened first; the two best augmentations of these are joined with the stems then."""

JOINED: tuple[ArmSpec, ...] = tuple(
    ArmSpec(f"{stem} + {name}", stem, stem, name)
    for stem in (STEM, CANONICAL)
    for name in AUGMENTATIONS
)

AUGMENTED: tuple[ArmSpec, ...] = (
    ArmSpec("augmented", augment="colour_jitter", copies=True),
    *(
        ArmSpec(f"{stem} of augmented", stem, stem, "colour_jitter", copies=True)
        for stem in (STEM, CANONICAL)
    ),
)
"""Augmented before the stem, so that a policy sees in training what the stem makes of other looks;
the first has all of it but the stem."""

ARMS: dict[str, ArmSpec] = {arm.name: arm for arm in (*SINGLE, *JOINED, *AUGMENTED)}

ALWAYS = ("raw", STEM)
"""In every full table: what others are compared with, and the plain stem by itself."""


@dataclass(frozen=True)
class Level:
    """How far stems go; chosen on the "dev" split of textures, looks and seeds.

    Attributes:
        inversion_steps: of 50, of every backbone; chosen by `stemob levels`.
    """

    method: str = METHODS[0]
    noise: str = NOISE_POLICIES[0]
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


def choose_arms(names: Sequence[str]) -> list[ArmSpec]:
    """The arms of these names, in their order.

    Raises:
        ValueError: an unknown name.

    Example:
        >>> [arm.augment for arm in choose_arms(["raw", "embedded + random_conv"])]
        ['none', 'random_conv']
    """
    unknown = [name for name in names if name not in ARMS]
    if unknown:
        raise ValueError(f"unknown arms {unknown}; choose from {', '.join(ARMS)}")
    return [ARMS[name] for name in names]


def joined_with(augmentation: str, among: Sequence[ArmSpec]) -> list[ArmSpec]:
    """The stems among some arms, each joined with an augmentation."""
    stems = [arm.name for arm in among if arm.name in (STEM, CANONICAL)]
    return choose_arms([f"{stem} + {augmentation}" for stem in stems])


def best_placed(gen: dict[str, float], count: int) -> list[str]:
    """The names of the arms with the highest Gen, after those that are always there.

    Args:
        gen: mean success over the perturbed cells, by arm.
        count: how many beside them.

    Example:
        >>> best_placed({"raw": 0.1, "srm": 0.2, "mixup": 0.3, "embedded": 0.25}, 1)
        ['raw', 'embedded', 'mixup']
    """
    others = sorted((name for name in gen if name not in ALWAYS), key=lambda name: -gen[name])
    return [*(name for name in ALWAYS if name in gen), *others[:count]]
