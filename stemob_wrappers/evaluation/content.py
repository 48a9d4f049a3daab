"""What decides a policy's actions: its source files, what it loads, and a callable's own state.

A finished cell is taken again only if all of that is as it was.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import inspect
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from stemob_wrappers.work import digest, file_digest

_OURS = "stemob_wrappers"  # what it does to frames is in a stem's fingerprint

_PLAIN = (bool, int, float, complex, str, bytes, np.generic, PurePath)

_HEAP_TYPE = 1 << 9  # classes in C that pretend to be of a module in Python are not

_known: dict[str, str] = {}  # by module: the digest of its sources when it was imported


def import_fresh(name: str) -> ModuleType:
    """Import a module, again if its source files have changed since this process did.

    Raises:
        ImportError: it cannot be imported.
    """
    module = importlib.import_module(name)
    sources = module_sources(module)
    found = digest(_contents(sources))
    if _known.setdefault(name, found) != found:
        for source, path in sources.items():
            sys.modules.pop(source, None)
            # Python tells an old compiled file by size and second, which may be the same.
            Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
        importlib.invalidate_caches()
        module = importlib.import_module(name)
        _known[name] = found
    return module


def module_sources(module: ModuleType) -> dict[str, Path]:
    """The source files, by module, of a module and of those that it imports from where it lies.

    Those are modules of its own package, or, if it is in none, of its folder. Imports are read from
    the source, inside functions too; a module that is named at run time only is not found. Of an
    installed package, and where there is no file, nothing more is followed.

    Example:
        >>> from stemob_wrappers.evaluation import content
        >>> "stemob_wrappers.work" in module_sources(content)
        True
    """
    file = Path(getattr(module, "__file__", None) or "")
    if not file.is_file():
        return {}
    file = file.resolve()
    spec = getattr(module, "__spec__", None)  # `__main__` has its name there, a script none
    name = file.stem if spec is None else spec.name
    if _is_installed(file):
        return {name: file}
    package, parts = name.partition(".")[0], name.split(".")
    root = file.parents[len(parts) - (file.name != "__init__.py")]
    in_package = len(parts) > 1 or file.name == "__init__.py"
    found: dict[str, Path] = {name: file}
    waiting = _imports(file, name) + [".".join(parts[:n]) for n in range(1, len(parts))]
    while waiting:
        asked = waiting.pop()
        first = asked.partition(".")[0]
        wanted = first == package if in_package else first != _OURS
        path = _file_of(root, asked) if wanted and asked not in found else None
        if path is not None:
            found[asked] = path
            waiting += _imports(path, asked)
    return dict(sorted(found.items()))


def module_content(module: ModuleType) -> Any:
    """Digests of a module's sources, as JSON; where they lie does not matter."""
    return _contents(module_sources(module))


def path_content(path: Path) -> Any:
    """The digest of a file, or those of all files in a folder by their place in it, as JSON.

    Raises:
        FileNotFoundError: nothing is there.
    """
    if path.is_dir():
        files = (p for p in sorted(path.rglob("*")) if p.is_file() and "__pycache__" not in p.parts)
        return {file.relative_to(path).as_posix(): file_digest(file) for file in files}
    return file_digest(path)


def contents_of(paths: Sequence[Path]) -> Any:
    """Name and content of each path that was named as deciding, as JSON.

    Raises:
        FileNotFoundError: one is not there.
    """
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise FileNotFoundError(
            f"no {', '.join(missing)}, which the policies are said to depend on"
        )
    return [[path.name, path_content(path)] for path in paths]


def callable_content(policy: Any) -> Any | None:
    """What a callable does, as JSON: its code, its module's sources, its state.

    State is what closures, default values and attributes hold: plain values, arrays, functions and
    objects of classes written in Python. None if some of it is anything else, such as a network:
    its content cannot be told then.

    Example:
        >>> callable_content(lambda x: x + 1) == callable_content(lambda x: x + 2)
        False
    """
    found = _Content()
    try:
        state = found.of(policy)
    except _UnreadableError:
        return None
    return [state, {name: module_content(module) for name, module in found.modules.items()}]


class _UnreadableError(Exception):
    """Something holds what has no content that could be told."""


class _Content:
    """Tells what values hold, as JSON, and gathers the modules that their code is from."""

    def __init__(self) -> None:
        self.modules: dict[str, ModuleType] = {}
        self._seen: dict[int, Any] = {}  # with the values, so that no other gets the same number

    def of(self, value: Any) -> Any:
        kind = type(value).__name__
        if value is None or value is ... or isinstance(value, _PLAIN):
            return [kind, repr(value)]
        if type(value) is np.ndarray and value.dtype != object:
            return [kind, str(value.dtype), list(value.shape), digest(value.tobytes().hex())]
        if isinstance(value, ModuleType):
            return [kind, value.__name__]
        if id(value) in self._seen:
            return [kind, "seen"]
        self._seen[id(value)] = value
        return [kind, *self._parts(value)]

    def _parts(self, value: Any) -> list[Any]:  # noqa: C901, PLR0911  (a row of cases)
        if type(value) in (list, tuple):
            return [self.of(part) for part in value]
        if type(value) in (set, frozenset):
            return sorted((self.of(part) for part in value), key=str)
        if type(value) is dict:
            return [[self.of(key), self.of(part)] for key, part in value.items()]
        if isinstance(value, CodeType):
            constants = [self.of(part) for part in value.co_consts]
            return [value.co_qualname, value.co_code.hex(), value.co_names, constants]
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, MethodType):
            return [self.of(value.__func__), self.of(value.__self__)]
        if isinstance(value, functools.partial):
            return [self.of(part) for part in (value.func, value.args, value.keywords)]
        if isinstance(value, type):
            if not self._has_source(value) and value.__module__ != "builtins":
                raise _UnreadableError
            return [value.__module__, value.__qualname__]
        parents = type(value).__mro__[:-1]
        in_python = all(p.__flags__ & _HEAP_TYPE and self._has_source(p) for p in parents)
        if not (in_python and hasattr(value, "__dict__")):
            raise _UnreadableError
        return [*map(self.of, parents), self.of(vars(value))]

    def _function(self, function: FunctionType) -> list[Any]:
        cells = [cell.cell_contents for cell in function.__closure__ or ()]
        held = [function.__code__, function.__defaults__, function.__kwdefaults__, cells]
        if not self._has_source(function):
            # Typed into a console: what it refers to is in no file either.
            used = {name for code in _codes(function.__code__) for name in code.co_names}
            known = sorted(used & set(function.__globals__))
            held.append({name: function.__globals__[name] for name in known})
        return [self.of(part) for part in held]

    def _has_source(self, thing: Any) -> bool:
        """Whether a class or function comes from a source file, whose module is kept then."""
        module = sys.modules.get(thing.__module__)
        try:
            file = inspect.getsourcefile(thing)
        except TypeError:  # in C, or typed into a console
            file = None
        if module is None or file is None or not Path(file).is_file():
            return False
        self.modules[module.__name__] = module
        return True


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _codes(part)


def _contents(sources: dict[str, Path]) -> dict[str, str]:
    return {name: file_digest(path) for name, path in sources.items()}


def _imports(file: Path, module: str) -> list[str]:
    """The names of modules that a source file may import, and of the packages they are in."""
    parts = (*module.split("."), *["__init__"] * (file.name == "__init__.py"))
    found = []
    for level, dotted in _imports_in(file.read_bytes()):
        package = parts[: len(parts) - level] if level else ()
        pieces = [*package, *dotted.split(".")]
        found += [".".join(pieces[:count]) for count in range(1, len(pieces) + 1)]
    return found


@functools.lru_cache(maxsize=1024)
def _imports_in(source: bytes) -> tuple[tuple[int, str], ...]:
    """How many packages up an import begins, 0 for none, and what it names."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # no Python
        return ()
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = f"{node.module}." if node.module else ""
            found += [(node.level, base + alias.name) for alias in node.names]
    return tuple(found)


def _file_of(root: Path, module: str) -> Path | None:
    place = root.joinpath(*module.split("."))
    choices = (place / "__init__.py", place.with_name(f"{place.name}.py"))
    return next((path for path in choices if path.is_file()), None)


def _is_installed(file: Path) -> bool:
    paths = sysconfig.get_paths()
    return any(
        file.is_relative_to(Path(paths[kind]).resolve())
        for kind in ("purelib", "platlib", "stdlib")
    )
