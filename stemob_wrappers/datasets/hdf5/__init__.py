"""HDF5 files: copy, write and compare what is carried over."""
