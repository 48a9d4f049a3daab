"""Image augmentations that people train robust policies with, for batches in torch.

Each is defined as its paper or library defines it, which its docstring names. They take images
``[N, 3, H, W]``, float in [0, 1], and a `torch.Generator` that decides every draw; it may live on
another device than the images. Unless said otherwise each image has draws of its own, and none
depends on its neighbours.

Example:
    >>> import torch
    >>> from stemob_wrappers.augment import AUGMENTATIONS
    >>> generator = torch.Generator().manual_seed(0)
    >>> AUGMENTATIONS["random_shift"](torch.rand(2, 3, 84, 84), generator).shape
    torch.Size([2, 3, 84, 84])
"""

from stemob_wrappers.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
