"""The bytes are those of the golden files; ``python tests/golden/make.py`` makes them anew."""

from __future__ import annotations

import pytest
from golden import make


@pytest.mark.parametrize("section", make.SECTIONS)
def test_what_is_pinned_stays(section: str) -> None:
    differing = make.differences(section)
    assert not differing, "\n".join([f"{len(differing)} values differ", *differing])
