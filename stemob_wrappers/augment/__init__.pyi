from .by_name import AUGMENTATIONS, NAMES, Augmentation, augment
from .colour import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    colour_jitter,
)
from .light import gamma, patch_brightness, planckian_jitter, random_shadow
from .literature import mixup, random_conv, random_overlay, random_shift, srm

__all__ = [
    "AUGMENTATIONS",
    "NAMES",
    "Augmentation",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "augment",
    "colour_jitter",
    "gamma",
    "mixup",
    "patch_brightness",
    "planckian_jitter",
    "random_conv",
    "random_overlay",
    "random_shadow",
    "random_shift",
    "srm",
]
