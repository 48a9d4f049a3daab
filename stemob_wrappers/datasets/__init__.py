"""Recorded frames through the same pipeline as live ones: a folder or file a format, one runner.

Names are imported at first use: h5py is an optional dependency.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
