"""Stem-like observations for robot learning: partial diffusion inversion as a Gymnasium wrapper.

Importing this package registers the ``stemob/…`` environments and loads neither torch nor
robosuite; public names are imported at first use.
"""

import lazy_loader

from stemob_wrappers import envs

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

envs.register()
