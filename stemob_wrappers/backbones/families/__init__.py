"""Diffusers models by folder or hub name: a small adapter for each family.

A family is one function from a :class:`~stemob_wrappers.backbones.families.loading.Model` to its
parts. Weights are safetensors, never pickled, and no code is ever taken from a model.
"""
