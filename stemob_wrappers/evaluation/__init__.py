"""Success kept under visual change: roll policies out, count, compare.

Names are imported at first use.
"""

from stemob_wrappers.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
