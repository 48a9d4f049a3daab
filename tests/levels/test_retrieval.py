"""A weak look leaves retrieval whole, a strong one leaves it to chance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemob_wrappers.levels.retrieval import own_state_share


def states(count, size=24, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 180, (1, count, size // 8, size // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=2).repeat(8, axis=3)


def test_the_clean_frames_themselves_are_found():
    clean = states(20)
    assert own_state_share(np.concatenate([clean, clean, clean])) == 1.0


def test_by_chance_it_is_one_over_the_number_of_states():
    shares = [
        own_state_share(np.concatenate([states(10), states(10, seed=seed)]))
        for seed in range(1, 101)
    ]
    assert np.mean(shares) == pytest.approx(0.1, abs=0.035)  # 3.7 standard errors


def test_each_look_counts_alike():
    clean = states(10)
    gone = np.full_like(clean, 120)  # all states look the same: one of them is found by luck
    assert own_state_share(np.concatenate([clean, clean, gone])) == pytest.approx(0.55)


@settings(max_examples=20, deadline=None)
@given(shift=st.integers(0, 60), count=st.integers(2, 12), seed=st.integers(0, 9))
def test_the_order_of_states_does_not_matter(shift, count, seed):
    clean = states(count, seed=seed)
    looks = np.concatenate([clean, clean + np.uint8(shift)])
    order = np.random.default_rng(seed).permutation(count)
    assert own_state_share(looks[:, order]) == own_state_share(looks)
