"""Trainings of a second: four crops of 32 pixels a step, none of them repainted."""

import pytest

from stemob_wrappers.training import batches, codec


@pytest.fixture(scope="session")
def small_batches():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "SIZES", (32, 40))
        patch.setattr(batches, "CROP", 32)
        patch.setattr(codec, "BATCH_SIZE", 4)
        patch.setattr(codec, "REPAINTED", 0.0)
        yield
