"""The rows of the robustness table: what a policy learns from, and what it sees in the test.

One row each. A stem is named by its backbone; ``appearance`` says how demonstrations are rendered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stemob_wrappers.augment import NAMES as AUGMENTATIONS
from stemob_wrappers.config import METHODS, NOISE_POLICIES, Method, NoisePolicy, StemConfig

STEM, CANONICAL = "embedded", "embedded-canonical"
OWN = "own"
"""In place of a backbone: the one that was trained on each task's own env (`Recipe.own`)."""

COPIES = (1, 3, 6)
"""Of each augmented demonstration, as the screening tries them; the second is usual."""
USUAL_COPIES = COPIES[1]


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
        augmented: how many augmented copies of each demonstration it learns from, which the stem
            goes over as over any other; see `experiments.imitation.augment_demos`. 0 for none.
    """

    name: str
    train_stem: str | None = None
    test_stem: str | None = None
    augment: str = "none"
    appearance: str | None = None
    augmented: int = 0


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


def augmented(stem: str | None, copies: int = USUAL_COPIES) -> ConditionSpec:
    """Augmented before the stem: training shows what the stem makes of other looks.

    Without a stem it is the control, which has all of it but the stem.

    Example:
        >>> augmented("embedded").name, augmented(None, 6).name
        ('embedded of augmented', 'augmented x6')
    """
    name = "augmented" if copies == USUAL_COPIES else f"augmented x{copies}"
    name = name if stem is None else f"{stem} of {name}"
    return ConditionSpec(name, stem, stem, "colour_jitter", augmented=copies)


AUGMENTED: tuple[ConditionSpec, ...] = tuple(
    augmented(stem, copies) for copies in COPIES for stem in (None, STEM, CANONICAL)
)
"""How many copies are best is chosen on "dev", for each stem and for the control by itself."""

OWN_BACKBONE: tuple[ConditionSpec, ...] = (
    ConditionSpec(OWN, OWN, OWN),
    *(augmented(OWN, copies) for copies in COPIES),
)
"""A backbone that was trained on renders of the very env, alone and of augmented copies."""

CONDITIONS: dict[str, ConditionSpec] = {
    condition.name: condition for condition in (*SINGLE, *JOINED, *AUGMENTED, *OWN_BACKBONE)
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


def epochs_for(
    spec: ConditionSpec, task: str, epochs: Mapping[str, int], augmented_epochs: Mapping[str, int]
) -> int:
    """Passes over the demonstrations of a condition: as many steps whatever the copies.

    Args:
        spec: the condition.
        task: the task.
        epochs: passes over demonstrations as they are, by task.
        augmented_epochs: passes over `USUAL_COPIES` augmented copies of each, by task.

    Example:
        >>> [epochs_for(augmented(None, n), "Lift", {}, {"Lift": 20}) for n in COPIES]
        [60, 20, 10]
    """
    if not spec.augmented:
        return epochs[task]
    return max(1, round(augmented_epochs[task] * USUAL_COPIES / spec.augmented))


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
