"""Recorded frames through the same pipeline as live ones: a folder or file a format, one runner.

Names are imported at first use: h5py is an optional dependency.
"""

from stemob_wrappers.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
