"""Diffusion models that a frame goes through: loading, networks, codecs, families."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
