"""Stem frames inside other libraries' own pipelines: a file a library, imported by its name."""
