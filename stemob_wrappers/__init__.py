"""Stem-like observations for robot learning: partial diffusion inversion as a Gymnasium wrapper.

Importing this package registers the ``stemob/…`` environments and loads neither torch nor
robosuite; public names are imported at first use.
"""

from stemob_wrappers import envs
from stemob_wrappers.lazy import attach

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = attach(__name__, __file__)

envs.register()
