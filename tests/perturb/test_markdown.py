"""The page of perturbations is the one that the registry prints."""

from pathlib import Path

from stemob_wrappers.perturb.corruptions import CORRUPTIONS
from stemob_wrappers.perturb.factors import FACTORS
from stemob_wrappers.perturb.markdown import markdown

PAGE = Path(__file__).parents[2] / "docs" / "perturbations.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == markdown(), "python -m stemob_wrappers.perturb.markdown > " + str(
        PAGE
    )


def test_magnitudes_grow_with_severity():
    for factor in (*FACTORS.values(), *CORRUPTIONS.values()):
        assert list(factor.bounds) == sorted(set(factor.bounds)), factor.name
