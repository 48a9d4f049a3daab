"""The directions of imports, and one job for a name: what docs/architecture.md says holds."""

import ast
import graphlib
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text()
# A line of the page's list is a layer; a layer may import from those below it.
LAYERS = re.findall(r"```text layers\n(.*?)```", PAGE, flags=re.DOTALL)[0].splitlines()
DEPTH = {part.strip(): depth for depth, line in enumerate(LAYERS) for part in line.split(",")}

# Names that several files have, and the one job that each of them stands for.
SHARED_NAMES = {
    "__main__": "what `python -m` runs of a package",
    "card": "a backbone's model card: training writes it, backbones reads it",
    "files": "which files there are, and how they are named: of a model, of rendered scenes",
    "invert": "a file of cli/ is named after its command",
    "loop": "the optimiser's loop: of backbones, of the experiments' policies",
    "robosuite": "an adapter is named after its library: as envs, as scenes to render",
    "sheet": "a page of pictures side by side: of any study, of the doctor",
    "source": "one for each data format",
    "verify": "one for each data format, and what they share",
}


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# The stubs (.pyi) say what a package loads at first use.
TREES = {
    path: ast.parse(path.read_text())
    for top in ("stemob_wrappers", "experiments", "benchmarks", "examples")
    for path in sorted((ROOT / top).rglob("*.py*"))
    if path.suffix in (".py", ".pyi")
}
MODULES = {dotted(path) for path in TREES}


def imported(path: Path) -> set[str]:
    """Return what a file imports, in functions and for type checkers too."""
    package = path.relative_to(ROOT).parts[:-1]
    names = set()
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            base = ".".join((*above, node.module) if node.module else above)
            # The version is a constant of the package, which runs before any module of it.
            names |= {f"{base}.{alias.name}" for alias in node.names if alias.name != "__version__"}
    return {nearest_module(name) for name in names} - {dotted(path)}


def nearest_module(name: str) -> str:
    """Return the module of ours that a name is or lies in; of others, the first part."""
    while name not in MODULES and "." in name:
        name = name.rpartition(".")[0]
    return name


GRAPH: dict[str, set[str]] = defaultdict(set)
for file in TREES:
    GRAPH[dotted(file)] |= imported(file)


def part(module: str) -> str:
    """Return the part of the page's list that a module belongs to."""
    top, *inner = module.split(".")
    return inner[0] if top == "stemob_wrappers" and inner else top


def test_the_page_lists_every_part():
    assert set(DEPTH) == {part(module) for module in MODULES}


def test_imports_point_down():
    upward = [
        f"{module} -> {target}"
        for module in MODULES
        for target in GRAPH[module] & MODULES
        if part(target) != part(module) and DEPTH[part(target)] <= DEPTH[part(module)]
    ]
    assert not upward, "a layer imports from those below it only; found " + ", ".join(upward)


def test_no_modules_import_each_other_in_a_circle():
    try:
        graphlib.TopologicalSorter(GRAPH).prepare()
    except graphlib.CycleError as error:
        pytest.fail("imports go in a circle: " + " <- ".join(error.args[1]))


def test_from_stem_downward_nothing_imports_gymnasium():
    reached: set[str] = set()
    ahead = {module for module in MODULES if part(module) == "stem"}
    while ahead:
        reached |= ahead
        ahead = {target for module in ahead for target in GRAPH[module]} - reached
    assert "torch" in reached
    assert not reached & {"gymnasium", "robosuite", "mujoco", "stable_baselines3"}


def test_files_of_one_name_do_one_job():
    places = defaultdict(list)
    for module in MODULES - {dotted(path) for path in TREES if path.stem == "__init__"}:
        if part(module) != "benchmarks":  # each is named after what it measures
            places[module.rpartition(".")[2]].append(module)
    shared = {name: modules for name, modules in places.items() if len(modules) > 1}
    assert set(shared) == set(SHARED_NAMES), shared


def test_the_first_line_of_each_module_says_its_job():
    first_lines = {
        path: (ast.get_docstring(tree) or "").partition("\n")[0]
        for path, tree in TREES.items()
        if path.suffix == ".py"
    }
    silent = [
        str(path.relative_to(ROOT)) for path, line in first_lines.items() if len(line.split()) < 3
    ]
    assert not silent, f"say in the docstring's first line what these are for: {silent}"
