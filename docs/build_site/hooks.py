"""Let pages of the site link to benchmark results, which lie beside docs/ in the repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent.parent
RESULTS = "benchmarks/results/"


def on_files(files: Files, config: Any) -> Files:
    """Add every result file to the site."""
    for path in sorted((ROOT / RESULTS).iterdir()):
        if path.is_file() and path.suffix != ".md":
            place = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links to them go to where they are in the site."""
    return markdown.replace(f"](../{RESULTS}", f"]({RESULTS}")
