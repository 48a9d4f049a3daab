"""What decides a policy's actions is told: files, imports, a callable's code and state."""

import collections
import functools
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemob_wrappers.evaluation import Condition
from stemob_wrappers.evaluation.content import (
    callable_content,
    contents_of,
    import_fresh,
    module_content,
    module_sources,
)

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=2), part),
    max_leaves=6,
)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that imports in every way, beside a module that it does not import."""
    name = f"package_{tmp_path.name}"
    files = {
        "__init__.py": "",
        "policy.py": f"from . import near\nfrom .deep import inner\nimport {name}.far, numpy\n",
        "near.py": "def late():\n    from .deep.lazy import X\n",
        "far.py": "",
        "alone.py": "",
        "deep/__init__.py": "from ..named import VALUE\n",
        "deep/inner.py": "",
        "deep/lazy.py": "X = 1\n",
        "named.py": "VALUE = 1\n",
    }
    for place, text in files.items():
        (tmp_path / name / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name / place).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / name


def test_a_package_s_modules_are_followed_however_they_are_imported(package):
    found = module_sources(import_fresh(f"{package.name}.policy"))
    inside = [*("", ".deep", ".deep.inner", ".deep.lazy", ".far", ".named", ".near", ".policy")]
    assert list(found) == [f"{package.name}{end}" for end in inside]


@pytest.mark.parametrize(
    ("changed", "matters"),
    [("policy", 1), ("deep/lazy", 1), ("named", 1), ("__init__", 1), ("alone", 0)],
)
def test_whatever_is_imported_matters_and_nothing_else(package, changed, matters):
    module = import_fresh(f"{package.name}.policy")
    before = module_content(module)
    with (package / f"{changed}.py").open("a") as file:
        file.write("# changed\n")
    assert (module_content(module) != before) == bool(matters)


def test_of_an_installed_package_one_file_is_told_and_of_none_nothing():
    import gymnasium

    assert list(module_sources(gymnasium)) == ["gymnasium"]
    assert module_sources(sys) == {}


def test_changed_code_is_imported_anew_and_the_same_only_once(package):
    module = import_fresh(f"{package.name}.near")
    assert import_fresh(f"{package.name}.near") is module
    (package / "deep" / "lazy.py").write_text("X = 2\n")  # of the same size, within a second
    assert import_fresh(f"{package.name}.near") is not module
    assert sys.modules[f"{package.name}.near"].__name__ == f"{package.name}.near"
    assert import_fresh(f"{package.name}.deep.lazy").X == 2


def test_two_lambdas_differ_by_what_they_do():
    one, other = (lambda o: o + 1), (lambda o: o + 2)
    assert callable_content(one) != callable_content(other)
    assert callable_content(one) == callable_content(one)


@settings(max_examples=25, deadline=None)
@given(PLAIN, PLAIN)
def test_state_is_told_wherever_it_is(a, b):
    class Holder:
        def __init__(self, value):
            self.value = value

        def act(self, observation):
            return self.value

        __call__ = act

    def closure(value):
        return lambda o: value

    def default(value):
        return lambda o, v=value: v

    def partial(value):
        return functools.partial(isinstance, value)

    def array(value):
        return closure(np.array([len(repr(value)), hash(repr(value))]))

    makers = (Holder, lambda v: Holder(v).act, closure, default, array, lambda v: closure([{1: v}]))
    for make in makers:
        assert callable_content(make(a)) is not None
        same = callable_content(make(a)) == callable_content(make(b))
        assert same == (repr(a) == repr(b))
    # A built-in function has no code that could be told.
    assert callable_content(partial(a)) is None


def test_constants_of_every_kind_and_what_refers_to_itself_are_told():
    def recursive(o):
        return recursive(o) if o in {1, 2} else [..., b"x", lambda: {3}]

    assert callable_content(recursive) is not None


def test_a_function_from_a_console_is_told_with_what_it_refers_to():
    def typed(value):
        names = {"__name__": "no_such_module", "VALUE": value}
        exec("def act(o):\n    return helper(o)\ndef helper(o):\n    return VALUE", names)
        return callable_content(names["act"])

    assert typed(1) == typed(1) != typed(2)


def test_what_cannot_be_told_is_not_guessed():
    import torch

    network = torch.nn.Linear(1, 1)
    generator = np.random.default_rng(0)
    assert callable_content(network) is None
    assert callable_content(lambda o: network(o)) is None  # noqa: PLW0108
    assert callable_content(lambda o: generator.random()) is None
    ordered = collections.OrderedDict(a=1)
    assert callable_content(lambda o: ordered) is None
    assert Condition("a", network).identity()["content"] is None


def test_paths_that_are_named_count_by_what_they_hold(tmp_path):
    (tmp_path / "folder" / "__pycache__").mkdir(parents=True)
    (tmp_path / "folder" / "a").write_text("1")
    (tmp_path / "file").write_text("1")
    paths = [tmp_path / "folder", tmp_path / "file"]
    before = contents_of(paths)
    (tmp_path / "folder" / "__pycache__" / "a.pyc").write_text("compiled")
    assert contents_of(paths) == before
    for path in (tmp_path / "folder" / "a", tmp_path / "file", tmp_path / "folder" / "new"):
        path.write_text("2")
        assert contents_of(paths) != before
        before = contents_of(paths)
    with pytest.raises(FileNotFoundError, match=r"no .*gone, which the policies are said to"):
        contents_of([*paths, tmp_path / "gone"])
