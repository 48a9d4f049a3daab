"""Diffusion models that a frame goes through: loading, networks, codecs, families."""

from stemob_wrappers.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
