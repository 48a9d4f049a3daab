import itertools

import pytest

from stemob_wrappers import splits
from stemob_wrappers.scene.textures import FAMILIES


def test_no_split_shares_a_texture_or_a_seed_with_another():
    families = [family for names in splits.SPLITS.values() for family in names]
    assert sorted(families) == sorted(FAMILIES)
    assert len(set(families)) == len(families)
    ranges = sorted(splits.SEEDS.values(), key=lambda seeds: seeds.start)
    assert all(one.stop <= other.start for one, other in itertools.pairwise(ranges))


def test_no_policy_is_tested_on_a_reset_that_it_was_shown():
    assert splits.DEMONSTRATION_SEEDS.stop <= splits.EVALUATION_SEEDS.start
    assert splits.EVALUATION_SEEDS.stop < 2**31, "robosuite takes no larger seed"


@pytest.mark.parametrize("reserved", splits.HELD_OUT.values())
def test_nothing_that_is_held_out_is_trained_on(reserved):
    trained = {task for tasks in splits.TRAIN_TASKS.values() for task in tasks}
    assert not trained.union(splits.TRAIN_ROBOTS).intersection(reserved)
