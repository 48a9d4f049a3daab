"""The examples in the docstrings of the frame's way run and print what they say."""

import doctest
import importlib

import pytest

MODULES = [
    "backbones",
    "backbones.autoencoder",
    "cache",
    "codec",
    "config",
    "frames",
    "inversion",
    "inverter",
    "noise",
    "pipeline",
    "schedule",
    "spaces",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(f"stemob_wrappers.{name}")
    failures, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failures == 0
