"""Demonstrations in robomimic's HDF5 layout."""
