"""The Python blocks of the README and of docs/ run as they stand; what pages name is there."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BLOCKS = {
    f"{page.stem}-{number}": (page, code)
    for page in PAGES
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
}


def test_there_are_examples():
    assert sum(page == README for page, _ in BLOCKS.values()) >= 3


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_runs(name, tmp_path, monkeypatch):
    page, code = BLOCKS[name]
    if "stemob/" in code:
        pytest.importorskip("robosuite")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(page), "exec"), {"__name__": "__main__"})


def test_a_script_that_renders_ends_without_a_word(tmp_path):
    """Contexts that the interpreter frees after the display complain on the way out."""
    script = tmp_path / "cheetah.py"
    script.write_text(BLOCKS["README-1"][1])
    assert "HalfCheetah" in script.read_text()
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_links_to_is_there(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_program_that_a_page_names_is_there(page):
    text = page.read_text()
    for module in re.findall(r"python -m ([a-z_.]+[a-z])", text):
        assert importlib.util.find_spec(module), module
    for path in re.findall(r"python ([a-z_/]+\.py)", text):
        assert (ROOT / path).is_file(), path
