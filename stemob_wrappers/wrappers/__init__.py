"""Gymnasium wrappers for one env; their vector twins are in `stemob_wrappers.vector`."""
