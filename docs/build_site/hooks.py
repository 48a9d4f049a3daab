"""Add to the site what does not lie in docs/: the gallery, benchmark results that pages link to."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent.parent
RESULTS = "benchmarks/results/"
GALLERY = ROOT / "build" / "gallery"


def on_files(files: Files, config: Any) -> Files:
    """Add every result file, and the gallery."""
    for path in sorted((ROOT / RESULTS).iterdir()):
        if path.is_file() and path.suffix != ".md":
            place = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, place, abs_src_path=str(path)))
    draw_gallery()
    for path in sorted(GALLERY.rglob("*.*")):
        place = path.relative_to(GALLERY).as_posix()
        files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def draw_gallery() -> None:
    """Draw it again if the package, or how it is drawn, has changed since; takes half a minute."""
    script, page = Path(__file__).with_name("gallery.py"), GALLERY / "gallery.md"
    sources = [script, *(path for path in (ROOT / "stemob_wrappers").rglob("*.*"))]
    changed = max(path.stat().st_mtime for path in sources if path.suffix != ".pyc")
    if not page.exists() or page.stat().st_mtime < changed:
        shutil.rmtree(GALLERY, ignore_errors=True)
        subprocess.run([sys.executable, str(script), str(GALLERY)], check=True)


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links to them go to where they are in the site."""
    return markdown.replace(f"](../{RESULTS}", f"]({RESULTS}")
