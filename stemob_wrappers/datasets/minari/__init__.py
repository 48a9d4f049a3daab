"""Minari data sets: one HDF5 file of episodes, and what is known of them in JSON."""
