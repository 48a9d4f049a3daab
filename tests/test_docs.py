"""The examples in the docstrings run, all of them, and print what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for top in ("stemob_wrappers", "experiments")
    for path in sorted((ROOT / top).rglob("*.py"))
    if ">>> " in path.read_text()
}


@pytest.mark.parametrize("module", FILES)
def test_examples(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = importlib.import_module(module)
    assert doctest.testmod(found, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


def test_no_example_is_skipped():
    skipped = [module for module, path in FILES.items() if "doctest: +SKIP" in path.read_text()]
    assert not skipped, f"make these examples run, or drop them: {skipped}"
