"""Make the page of the robustness table again, from its results and the frames of its run.

python -m experiments.robustness.republish RESULTS.json --frames WORK/robustness
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.robustness.about import about_rows
from experiments.robustness.conditions import USUAL_COPIES, ConditionSpec
from stemob_wrappers.report.comparison import compare
from stemob_wrappers.report.page import write_report
from stemob_wrappers.report.pairing import current_format
from stemob_wrappers.work import write_text


def main(arguments: Sequence[str] | None = None) -> Path:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, help="JSON file, of any format")
    parser.add_argument("--frames", type=Path, required=True, help="folder of the run")
    settings = parser.parse_args(arguments)
    content = with_meanings(current_format(json.loads(settings.results.read_text())))
    content["summary"] = compare(content)
    content["reference"] = content["summary"]["reference"]
    page = write_report(content, settings.frames, settings.results.with_suffix(".html"))
    write_text(settings.results, json.dumps(content, indent=1) + "\n")
    return page


def with_meanings(content: Mapping[str, Any]) -> dict[str, Any]:
    """The results with what their rows are."""
    made = content["benchmark"]
    study = made["study"]
    specs = [ConditionSpec(**_with_copies(spec)) for spec in made["conditions"]]
    sizes = (study["demos"], study["epochs"], study["augmented_epochs"])
    return {**content, "about": about_rows(specs, *sizes)}


def _with_copies(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A condition whose results are of a time when there was one number of copies."""
    return {**spec, "augmented": USUAL_COPIES} if spec["augmented"] is True else dict(spec)


if __name__ == "__main__":
    print(main())
